"""Homes that imports go into."""

from pathlib import Path

import pytest
from importer_home import Home

from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


@pytest.fixture
def home(database: Database, tmp_path: Path) -> Home:
    """On each kind of database."""
    return Home(database, BlobStore(str(tmp_path / "blobs")))


@pytest.fixture
def sqlite_home(sqlite_database: Database, tmp_path: Path) -> Home:
    """For tests whose subject is the reading."""
    return Home(sqlite_database, BlobStore(str(tmp_path / "blobs")))
