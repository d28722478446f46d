"""Artifacts: a run's files, as paths that stand for blobs."""

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.dialect import upsert
from homeostat.tracking import store
from homeostat.tracking.runs import find_run
from homeostat.tracking.types import Artifact

_LIMIT = 500
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")


def log_artifact(conn: Connection, blobs: BlobStore, run_id: str, path: str, data: bytes) -> Artifact:
    """Store `data` as the run's file at `path`; the same path again replaces it.

    Raises:
        Invalid: when `path` is not relative or would lead outside the run.
    """
    check_path(path)
    find_run(conn, run_id)
    artifact = Artifact(path, blobs.put(data), len(data))
    row = {"run": run_id, "path": path, "digest": artifact.digest, "size": artifact.size}
    upsert(conn, store.artifacts, [row], key=["run", "path"], update=["digest", "size"])
    return artifact


def read_artifact(conn: Connection, blobs: BlobStore, run_id: str, path: str) -> bytes:
    """The bytes of a run's file, verified.

    Raises:
        NotFound: when the run has no such file; the next step lists those it has.
    """
    find_run(conn, run_id)
    table = store.artifacts
    rows = conn.execute(sa.select(table.c.path, table.c.digest).where(table.c.run == run_id).order_by(table.c.path))
    known = {row.path: row.digest for row in rows}
    if path not in known:
        names = ", ".join(list(known)[:10]) or "none"
        raise NotFound(f"run {run_id} has no artifact {path!r}", field="path", next_step=f"it has: {names}")
    return blobs.get(known[path])


def check_path(path: str) -> str:
    """`path` if it is relative and stays inside its run: no `..`, no `.`, no empty part, no backslash or control.

    >>> check_path("plots/roc.png")
    'plots/roc.png'
    """
    usable = (
        0 < len(path) <= _LIMIT
        and not _FORBIDDEN.search(path)
        and path.encode("utf-8", "replace").decode() == path
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )
    if usable:
        return path
    raise Invalid(
        f"artifact path {path!r:.120} is not a relative path inside the run",
        field="path",
        next_step="write it like plots/roc.png",
    )
