"""The files of registered versions, as they were when they were registered, whatever became of their run since.

mlflow-artifacts:/registered/{model's key}/{number}/...
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.artifact_paths import safe_path
from homeostat.compat.mlflow.wire import Context, FileAnswer
from homeostat.ground.errors import Corrupt, Invalid, NotFound, Refused
from homeostat.registry.bundle import Statement
from homeostat.registry.lookup import model_key
from homeostat.registry.models import models_of_keys
from homeostat.registry.signing import check_signature, open_checked
from homeostat.registry.types import ModelVersion
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


def frozen_version(context: Context, conn: Connection, place: FrozenPlace) -> ModelVersion:
    """The version that a place is in, within reach.

    Raises:
        NotFound: when it is deleted, or never was.
    """
    found = models_of_keys(conn, [place.key])
    if not found or found[0].deleted is not None:
        raise NotFound("No such registered version", field="path", next_step="ask get-download-uri again")
    context.identity.require_project(found[0].name)
    return get_version(conn, found[0].name, place.number)


def list_frozen(context: Context, conn: Connection, place: FrozenPlace) -> list[dict[str, Any]]:
    """The files and folders directly in a folder, by their names."""
    start = f"{place.path}/" if place.path else ""
    found: dict[str, dict[str, Any]] = {}
    version = frozen_version(context, conn, place)
    with _tampering_is_refused():
        _signed_as(context, version)
    for path, file in sorted(version.package.manifest.items()):
        if path.startswith(start):
            name, slash, _ = path[len(start) :].partition("/")
            entry = {"path": name, "is_dir": True} if slash else {"path": name, "is_dir": False, "file_size": file.size}
            found.setdefault(name, entry)
    return list(found.values())


def open_frozen(context: Context, conn: Connection, place: FrozenPlace) -> FileAnswer:
    """A file's bytes, checked before the first of them is sent.

    Raises:
        NotFound: when the version has no such file.
        Refused: when it is not what was registered and signed, or a signature is required and missing.
    """
    version = frozen_version(context, conn, place)
    file = version.package.manifest.get(place.path)
    if file is None:
        raise NotFound(f"No such artifact: {place.path!r:.120}", field="path", next_step="list the artifacts")
    with _tampering_is_refused():
        stream = open_checked(context.blobs, version, place.path, _signed_as(context, version))
    return FileAnswer(stream, file.size, place.path.rpartition("/")[2])


def refuse_frozen(path: str) -> None:
    """Raises Invalid when a path is a version's: nothing is put there or taken away."""
    if frozen_place(path) is not None:
        raise Invalid(
            f"Invalid path: {path!r:.120} belongs to a registered version, which never changes",
            field="path",
            next_step="register another version",
        )


def _signed_as(context: Context, version: ModelVersion) -> Statement | None:
    return None if context.trust is None else check_signature(version, context.trust())


@contextmanager
def _tampering_is_refused() -> Iterator[None]:
    """DATA_LOSS has status 500, on which MLflow's client tries again for minutes; this will not mend itself."""
    try:
        yield
    except Corrupt as error:
        raise Refused(error.message, field=error.field, next_step=error.next_step) from error
