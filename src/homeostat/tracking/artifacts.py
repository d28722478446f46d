"""Artifacts: the files of a run (or a logged model, or a trace), as paths that stand for blobs."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.dialect import upsert
from homeostat.tracking import store
from homeostat.tracking.types import Artifact
from homeostat.tracking.values import check_path


class Entry(msgspec.Struct, frozen=True):
    """One line of a folder: a file, or a folder with the bytes of all that is in it."""

    path: str
    is_folder: bool
    size: int


def log_artifact(conn: Connection, blobs: BlobStore, owner: str, path: str, data: bytes) -> Artifact:
    """Store `data` as the owner's file at `path`; the same path again replaces it.

    Raises:
        Invalid: when `path` is not relative or would lead outside the owner.
    """
    check_path(path)
    return put_artifact(conn, owner, path, digest=blobs.put(data), size=len(data))


def put_artifact(conn: Connection, owner: str, path: str, *, digest: str, size: int) -> Artifact:
    """Name a blob that is stored already as the owner's file at `path`."""
    row = {"owner": owner, "path": check_path(path), "digest": digest, "size": size}
    upsert(conn, store.artifacts, [row], key=["owner", "path"], update=["digest", "size"])
    return Artifact(path, digest, size)


def find_artifact(conn: Connection, owner: str, path: str) -> Artifact:
    """One file.

    Raises:
        NotFound: when the owner has no such file; the next step lists those it has.
    """
    table = store.artifacts
    row = conn.execute(table.select().where(table.c.owner == owner, table.c.path == path)).first()
    if row is None:
        names = ", ".join(item.path for item in list_artifacts(conn, owner, limit=10)) or "none"
        raise NotFound(f"{owner} has no artifact {path!r:.120}", field="path", next_step=f"it has: {names}")
    return Artifact(row.path, row.digest, row.size)


def read_artifact(conn: Connection, blobs: BlobStore, owner: str, path: str) -> bytes:
    """The bytes of a file, verified."""
    return blobs.get(find_artifact(conn, owner, path).digest)


def list_artifacts(conn: Connection, owner: str, *, below: str = "", limit: int | None = None) -> list[Artifact]:
    """All files of an owner, or those below a folder, by path."""
    table = store.artifacts
    query = sa.select(table.c.path, table.c.digest, table.c.size).where(table.c.owner == owner)
    if below:
        query = query.where(table.c.path.startswith(f"{check_path(below)}/", autoescape=True))
    rows = conn.execute(query.limit(limit)).all() if limit else conn.execute(query).all()
    found = [Artifact(*row) for row in rows]
    # Ordered here: databases collate differently, and SQLite's LIKE does not tell upper from lower case.
    return sorted(
        [item for item in found if not below or item.path.startswith(f"{below}/")], key=lambda item: item.path
    )


def list_folder(conn: Connection, owner: str, *, folder: str = "") -> list[Entry]:
    """The files and folders directly in a folder, by path."""
    start = len(folder) + 1 if folder else 0
    files: list[Entry] = []
    folders: dict[str, int] = {}
    for item in list_artifacts(conn, owner, below=folder):
        name, slash, _ = item.path[start:].partition("/")
        path = item.path[:start] + name
        if slash:
            folders[path] = folders.get(path, 0) + item.size
        else:
            files.append(Entry(path, is_folder=False, size=item.size))
    files += [Entry(path, is_folder=True, size=size) for path, size in folders.items()]
    return sorted(files, key=lambda entry: entry.path)


def remove_artifacts(conn: Connection, owner: str, path: str) -> int:
    """Take a file, or a folder with all that is in it, off its owner; says how many files went.

    The bytes stay until `homeostat gc` finds that nothing names them any more.
    """
    table = store.artifacts
    paths = [item.path for item in list_artifacts(conn, owner, below=path)] if path else None
    query = table.delete().where(table.c.owner == owner)
    if paths is not None:
        query = query.where(table.c.path.in_([*paths, check_path(path)]))
    return conn.execute(query).rowcount
