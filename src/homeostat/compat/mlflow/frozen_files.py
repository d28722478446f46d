"""The files of registered versions, as they were when they were registered, whatever became of their run since.

mlflow-artifacts:/registered/{model's key}/{number}/...
"""

import re
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.artifact_paths import safe_path
from homeostat.compat.mlflow.wire import Context, FileAnswer
from homeostat.ground.errors import Invalid, NotFound
from homeostat.registry.lookup import model_key
from homeostat.registry.models import models_of_keys
from homeostat.registry.types import ModelVersion, PackageFile
from homeostat.registry.versions import get_version

_PLACE = re.compile(r"registered/([^/]{1,128})/(\d{1,9})(?:/(.*))?", re.DOTALL)


class FrozenPlace(msgspec.Struct, frozen=True):
    """A place in a version's folder; `path` is empty for the folder itself."""

    key: str
    number: int
    path: str


def frozen_place(path: str) -> FrozenPlace | None:
    """The place a proxy's path names; None when it is not a version's."""
    match = _PLACE.fullmatch(path.rstrip("/"))
    if match is None:
        return None
    return FrozenPlace(match[1], int(match[2]), safe_path(match[3]) if match[3] else "")


def frozen_uri(conn: Connection, version: ModelVersion) -> str:
    """Where a version's files are, in MLflow's words."""
    return f"mlflow-artifacts:/registered/{model_key(conn, version.model)}/{version.version}"


def list_frozen(context: Context, conn: Connection, place: FrozenPlace) -> list[dict[str, Any]]:
    """The files and folders directly in a folder, by their names."""
    start = f"{place.path}/" if place.path else ""
    found: dict[str, dict[str, Any]] = {}
    for path, file in sorted(_files(context, conn, place).items()):
        if path.startswith(start):
            name, slash, _ = path[len(start) :].partition("/")
            entry = {"path": name, "is_dir": True} if slash else {"path": name, "is_dir": False, "file_size": file.size}
            found.setdefault(name, entry)
    return list(found.values())


def open_frozen(context: Context, conn: Connection, place: FrozenPlace) -> FileAnswer:
    """A file's bytes.

    Raises:
        NotFound: when the version has no such file.
    """
    file = _files(context, conn, place).get(place.path)
    if file is None:
        raise NotFound(f"No such artifact: {place.path!r:.120}", field="path", next_step="list the artifacts")
    return FileAnswer(context.blobs.open(file.digest), file.size, place.path.rpartition("/")[2])


def refuse_frozen(path: str) -> None:
    """Raises Invalid when a path is a version's: nothing is put there or taken away."""
    if frozen_place(path) is not None:
        raise Invalid(
            f"Invalid path: {path!r:.120} belongs to a registered version, which never changes",
            field="path",
            next_step="register another version",
        )


def _files(context: Context, conn: Connection, place: FrozenPlace) -> dict[str, PackageFile]:
    found = models_of_keys(conn, [place.key])
    if not found or found[0].deleted is not None:
        raise NotFound("No such registered version", field="path", next_step="ask get-download-uri again")
    context.identity.require_project(found[0].name)
    return get_version(conn, found[0].name, place.number).package.manifest
