"""Which way an MLflow source is read: by what it is."""

from pathlib import Path

import sqlalchemy as sa

from homeostat.compat.importers.mlflow_database import MlflowDatabase
from homeostat.compat.importers.mlflow_folders import MlflowFolders
from homeostat.compat.importers.mlflow_server import MlflowServer
from homeostat.compat.importers.mlflow_store import MlflowStore
from homeostat.compat.importers.records import Losses
from homeostat.ground.errors import NotFound

_SQLITE = b"SQLite format 3\x00"


def open_mlflow(source: str, losses: Losses, *, artifacts: list[Path]) -> MlflowStore:
    """A server's URL, a database URL, a SQLite file, or an `mlruns` folder (or the folder that holds one).

    Raises:
        NotFound: when there is nothing there.
        Invalid: when it is not MLflow's.
    """
    if source.startswith(("http://", "https://")):
        return MlflowServer(source, losses)
    if "://" in source and not source.startswith("file:"):
        return MlflowDatabase(source, losses, artifacts=artifacts)
    path = Path(source.removeprefix("file://"))
    if path.is_file() and _begins_with(path, _SQLITE):
        return MlflowDatabase(sa.URL.create("sqlite", database=str(path.resolve())), losses, artifacts=artifacts)
    if path.is_dir():
        inner = path / "mlruns"
        return MlflowFolders(inner if inner.is_dir() else path, losses, artifacts=artifacts)
    raise NotFound(
        f"there is no MLflow store at {source!r:.200}",
        field="source",
        next_step="give http://HOST:PORT, sqlite:///mlflow.db, or the folder mlruns",
    )


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as source:
        return source.read(len(start)) == start
