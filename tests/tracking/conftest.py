"""A place to write runs to: a home folder, and a real catalogue as its target."""

from pathlib import Path

import pytest

from homeostat.ground.clock import Clock, SystemClock
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.tracking.place import Place
from homeostat.tracking.spool.catalogue_target import CatalogueTarget


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


class Places:
    """Makes places whose target is one catalogue."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home = home
        self._url = database.engine.url.render_as_string(hide_password=False)

    def at(self, clock: Clock | None = None, *, is_offline: bool = False, wait: float = 20.0) -> Place:
        clock = clock or SystemClock()
        return Place(
            home=self.home,
            target="",
            open_target=lambda _: self.target(clock),
            snapshots=lambda: ({}, {}),
            clock=clock,
            wait=wait,
            is_offline=is_offline,
        )

    def target(self, clock: Clock | None = None) -> CatalogueTarget:
        blobs = BlobStore(str(self.home / "blobs"))
        return CatalogueTarget(open_database(self._url), blobs, clock=clock or SystemClock(), owns_database=True)


@pytest.fixture
def places(tmp_path: Path, database: Database) -> Places:
    """On both kinds of database."""
    return Places(tmp_path / "home", database)


@pytest.fixture
def sqlite_places(tmp_path: Path, sqlite_database: Database) -> Places:
    """For tests whose subject is not the database."""
    return Places(tmp_path / "home", sqlite_database)
