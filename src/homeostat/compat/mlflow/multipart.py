"""Files in several parts, sent beside each other: create, parts, complete, abort.

Nothing is kept between the calls. A part becomes a blob and its ETag is the blob's digest, which the client hands back
at the end; so an upload outlives a restart, and parts of one that was given up are swept as every nameless blob is.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from homeostat.compat.mlflow.artifact_paths import Place, place_of
from homeostat.compat.mlflow.artifacts import check_place, put_received
from homeostat.compat.mlflow.frozen_files import refuse_frozen
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, Raw, Received, Route
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.store.blobs import BlobStore

_MOST_PARTS = 10_000
_CHUNK = 1 << 20
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Create(msgspec.Struct):
    """mpu/create/{artifact_path}."""

    artifact_path: str = ""
    path: str = ""
    num_parts: int = 1
    headers: dict[str, str] = {}


class Part(msgspec.Struct):
    """A part that has been sent."""

    part_number: int = 0
    etag: str = ""


class Finish(msgspec.Struct):
    """mpu/complete/{artifact_path} and mpu/abort/{artifact_path}."""

    artifact_path: str = ""
    path: str = ""
    upload_id: str = ""
    parts: list[Part] = []


class PutPart(msgspec.Struct):
    """mpu/part/{upload_id}/{number}."""

    upload_id: str
    number: int
    received: Received


def create(context: Context, body: Create) -> dict[str, Any]:
    """Where the parts are to be sent."""
    place = _target(body.artifact_path, body.path)
    if not 1 <= body.num_parts <= _MOST_PARTS:
        raise Invalid(f"{body.num_parts} parts", field="num_parts", next_step=f"send 1 to {_MOST_PARTS}")
    with context.database.read() as conn:
        check_place(context, conn, place)
    upload_id = new_id()
    sent = body.headers
    scheme = "https" if sent.get("x-forwarded-proto", "").startswith("https") else "http"
    root = f"{scheme}://{sent.get('host', '')}/api/2.0/mlflow-artifacts/mpu/part/{upload_id}"
    # Clients send parts without their token, as to a bucket; what they need to come in goes with the address.
    headers = {"Authorization": sent["authorization"]} if "authorization" in sent else {}
    parts = [{"url": f"{root}/{n}", "part_number": n, "headers": headers} for n in range(1, body.num_parts + 1)]
    return {"upload_id": upload_id, "credentials": parts}


def put_part(_context: Context, body: PutPart) -> Raw:
    """Take a part in; the answer's ETag names it."""
    _check_upload(body.upload_id)
    return Raw(b"", "text/plain", 200, (("etag", body.received.digest),))


def complete(context: Context, body: Finish) -> dict[str, Any]:
    """Make one file of the parts, in the order of their numbers."""
    place = _target(body.artifact_path, body.path)
    _check_upload(body.upload_id)
    digests = _digests(body.parts)
    with context.database.read() as conn:
        check_place(context, conn, place)
    received = _joined(context.blobs, digests)
    with context.database.write() as conn:
        check_place(context, conn, place)
        put_received(conn, place, received)
    return {}


def abort(context: Context, body: Finish) -> dict[str, Any]:
    """Give an upload up; nothing stands under a name yet."""
    place = _target(body.artifact_path, body.path)
    _check_upload(body.upload_id)
    with context.database.read() as conn:
        check_place(context, conn, place)
    return {}


def _target(folder: str, path: str) -> Place:
    """Clients send the local path of the file; its last part is the name it gets."""
    name = re.split(r"[/\\]", require(path, "path"))[-1]
    whole = f"{folder.rstrip('/')}/{name}"
    refuse_frozen(whole)
    return place_of(whole)


def _check_upload(upload_id: str) -> None:
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise Invalid(f"Invalid upload id: {upload_id!r:.80}", field="upload_id", next_step="take it from mpu/create")


def _check_part(parts: Mapping[str, str]) -> None:
    _check_upload(parts["upload_id"])


def _digests(parts: list[Part]) -> list[str]:
    ordered = sorted(parts, key=lambda part: part.part_number)
    if not ordered or [part.part_number for part in ordered] != list(range(1, len(ordered) + 1)):
        raise Invalid("the parts are not numbered from 1 without gaps", field="parts", next_step="send all of them")
    digests = [part.etag.strip('"') for part in ordered]
    for number, digest in enumerate(digests, 1):
        if not _DIGEST.fullmatch(digest):
            raise Invalid(f"part {number} has no usable etag", field="parts.etag", next_step="send that of its answer")
    return digests


def _joined(blobs: BlobStore, digests: list[str]) -> Received:
    incoming = blobs.receive()
    try:
        for number, digest in enumerate(digests, 1):
            if not blobs.exists(digest):
                raise NotFound(f"part {number} is not here", field="parts", next_step="send it again")
            with blobs.open(digest) as part:
                while chunk := part.read(_CHUNK):
                    incoming.write(chunk)
        return Received(incoming.finish(), incoming.size)
    finally:
        incoming.discard()


_PROXY = "/mlflow-artifacts/mpu"

ROUTES = [
    Route(("POST",), f"{_PROXY}/create/{{artifact_path}}", Create, create, "write", takes_headers=True),
    Route(
        ("PUT",),
        f"{_PROXY}/part/{{upload_id}}/{{number}}",
        PutPart,
        put_part,
        "write",
        stores_body=True,
        before=_check_part,
    ),
    Route(("POST",), f"{_PROXY}/complete/{{artifact_path}}", Finish, complete, "write"),
    Route(("POST",), f"{_PROXY}/abort/{{artifact_path}}", Finish, abort, "write"),
]
