"""MLflow's endpoints, on both databases and on SQLite alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_helpers import Mlflow

from homeostat.store.database import Database


@pytest.fixture
def mlflow(database: Database, tmp_path: Path) -> Iterator[Mlflow]:
    with Mlflow(database, tmp_path).open() as client:
        yield client


@pytest.fixture
def mlflow_sqlite(sqlite_database: Database, tmp_path: Path) -> Iterator[Mlflow]:
    with Mlflow(sqlite_database, tmp_path).open() as client:
        yield client
