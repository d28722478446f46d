"""MLflow's artifacts: the listing of a run, and the proxy through which clients send and fetch files."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.artifact_paths import Place, place_of, safe_path
from homeostat.compat.mlflow.frozen_files import frozen_place, list_frozen, open_frozen, refuse_frozen
from homeostat.compat.mlflow.limits import check_run_id
from homeostat.compat.mlflow.reach import reachable_project, reachable_run
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, FileAnswer, Received, Route
from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking.artifacts import find_artifact, list_artifacts, list_folder, put_artifact, remove_artifacts
from homeostat.tracking.lookup import writable
from homeostat.tracking.models import find_model
from homeostat.tracking.traces import find_trace

_UPLOAD_LIMIT = 10 << 20
"""Bytes that the page's own upload takes, as MLflow has it."""


class ListOfRun(msgspec.Struct):
    """artifacts/list."""

    run_id: str | None = None
    run_uuid: str | None = None
    path: str = ""
    page_token: str = ""


class ListProxied(msgspec.Struct):
    """mlflow-artifacts/artifacts?path=."""

    path: str = ""


class Proxied(msgspec.Struct):
    """mlflow-artifacts/artifacts/{artifact_path}."""

    artifact_path: str
    received: Received | None = None


class OfRun(msgspec.Struct):
    """get-artifact and upload-artifact, by the page."""

    run_id: str | None = None
    run_uuid: str | None = None
    path: str = ""
    received: Received | None = None


def list_of_run(context: Context, body: ListOfRun) -> dict[str, Any]:
    """The files of a run's folder."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    folder = safe_path(body.path.rstrip("/")) if body.path else ""
    with context.database.read() as conn:
        run = reachable_run(context, conn, run_id)
        entries = list_folder(conn, run_id, folder=folder)
    files = [_file(item.path, is_folder=item.is_folder, size=item.size) for item in entries]
    reply: dict[str, Any] = {"root_uri": f"mlflow-artifacts:/{run.project_id}/{run_id}/artifacts"}
    return reply | ({"files": files} if files else {})


def list_proxied(context: Context, body: ListProxied) -> dict[str, Any]:
    """The files of a folder, by their names alone."""
    if not body.path:
        return {}  # everything of everybody: nobody's folder
    frozen = frozen_place(body.path)
    if frozen is not None:
        with context.database.read() as conn:
            listed = list_frozen(context, conn, frozen)
        return {"files": listed} if listed else {}
    place = place_of(body.path)
    with context.database.read() as conn:
        check_place(context, conn, place)
        entries = list_folder(conn, place.owner, folder=place.path)
    start = len(place.path) + 1 if place.path else 0
    files = [_file(item.path[start:], is_folder=item.is_folder, size=item.size) for item in entries]
    return {"files": files} if files else {}


def download(context: Context, body: Proxied) -> FileAnswer:
    """A file's bytes."""
    frozen = frozen_place(body.artifact_path)
    if frozen is not None:
        with context.database.read() as conn:
            return open_frozen(context, conn, frozen)
    place = _file_place(body.artifact_path)
    with context.database.read() as conn:
        check_place(context, conn, place)
        return open_file(context, conn, place.owner, place.path)


def upload(context: Context, body: Proxied) -> dict[str, Any]:
    """Name the body that came in."""
    place = _file_place(body.artifact_path)
    with context.database.write() as conn:
        check_place(context, conn, place)
        put_received(conn, place, body.received)
    return {}


def delete(context: Context, body: Proxied) -> dict[str, Any]:
    """Take a file or a folder away."""
    refuse_frozen(body.artifact_path)
    place = place_of(body.artifact_path)
    with context.database.write() as conn:
        check_place(context, conn, place)
        remove_artifacts(conn, place.owner, place.path)
    return {}


def get_of_run(context: Context, body: OfRun) -> FileAnswer:
    """A file of a run, for the page."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    path = safe_path(require(body.path, "path"))
    with context.database.read() as conn:
        reachable_run(context, conn, run_id)
        return open_file(context, conn, run_id, path)


def upload_of_run(context: Context, body: OfRun) -> dict[str, Any]:
    """A file from the page."""
    run_id = check_run_id(body.run_uuid, body.run_id)
    path = safe_path(require(body.path, "path"))
    if body.received is None or not body.received.size:
        raise Invalid("Request must specify data", field="body", next_step="send the file as the body")
    if body.received.size > _UPLOAD_LIMIT:
        raise Invalid("Artifact size is too large. Max size is 10MB", field="body", next_step="log it by a client")
    with context.database.write() as conn:
        reachable_run(context, conn, run_id)
        writable(conn, run_id)
        put_received(conn, Place(run_id, path), body.received)
    return {}


def open_file(context: Context, conn: Connection, owner: str, path: str) -> FileAnswer:
    """A file's bytes, ready to be sent.

    Raises:
        NotFound: when the owner has no such file.
        Invalid: when it is a folder.
    """
    try:
        found = find_artifact(conn, owner, path)
    except NotFound as error:
        if list_artifacts(conn, owner, below=path, limit=1):
            raise Invalid(
                f"Artifact path refers to a directory, not a file: {path!r:.120}", field="path", next_step="list it"
            ) from error
        raise NotFound(f"No such artifact: {path!r:.120}", field="path", next_step="list the artifacts") from error
    return FileAnswer(context.blobs.open(found.digest), found.size, path.rpartition("/")[2])


def _file_place(path: str) -> Place:
    place = place_of(path)
    if not place.path:
        raise Invalid(f"Invalid path: {path!r:.120} names no file", field="path", next_step="add the file's name")
    return place


def _check_target(parts: Mapping[str, str]) -> None:
    refuse_frozen(parts["artifact_path"])
    _file_place(parts["artifact_path"])


def put_received(conn: Connection, place: Place, received: Received | None) -> None:
    """Name a body that has been stored."""
    assert received is not None  # the route stores its body
    put_artifact(conn, place.owner, place.path, digest=received.digest, size=received.size)


def check_place(context: Context, conn: Connection, place: Place) -> None:
    """See that an owner is where the path says, and that its project is within reach of who asks.

    Raises:
        NotFound: when it is not there.
        Denied: when it is in a project the token was not made for.
    """
    if place.is_run:
        _check_home(place, reachable_run(context, conn, place.owner).project_id)
    elif context.identity.projects is None:
        return  # files may come before their model or trace is told of
    elif place.experiment is None:
        context.identity.require_project(place.owner.partition(":")[2])
    else:
        reachable_project(context, conn, place.experiment)
        if place.owner.startswith(("m-", "tr-")):
            find = find_model if place.owner.startswith("m-") else find_trace
            _check_home(place, find(conn, place.owner)[1])


def _check_home(place: Place, project: int) -> None:
    if project != place.experiment:
        raise NotFound(
            f"{place.owner} is not in experiment {place.experiment}", field="path", next_step="see its artifact_uri"
        )


def _file(path: str, *, is_folder: bool, size: int) -> dict[str, Any]:
    return {"path": path, "is_dir": True} if is_folder else {"path": path, "is_dir": False, "file_size": size}


_PROXY = "/mlflow-artifacts/artifacts/{artifact_path}"

ROUTES = [
    Route(("GET",), "/mlflow/artifacts/list", ListOfRun, list_of_run, "read"),
    Route(("GET",), "/mlflow-artifacts/artifacts", ListProxied, list_proxied, "read"),
    Route(("GET",), _PROXY, Proxied, download, "read"),
    Route(("PUT",), _PROXY, Proxied, upload, "write", stores_body=True, before=_check_target),
    Route(("DELETE",), _PROXY, Proxied, delete, "write"),
    Route(("GET",), "/get-artifact", OfRun, get_of_run, "read"),
    Route(("POST",), "/mlflow/upload-artifact", OfRun, upload_of_run, "write", stores_body=True),
]
