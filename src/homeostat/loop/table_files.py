"""New Parquet files under a path with wildcards, here or in an object store, each read through once.

A file is known by its path and by what its store says of it (size, time, tag). One that has changed is read again; its
rows are recognised by request id.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import TooLarge
from homeostat.ground.settings import Settings
from homeostat.loop import store
from homeostat.loop.intake_files import Chunk, open_chunks
from homeostat.loop.table_child import PARQUET
from homeostat.loop.table_urls import is_allowed, local_path
from homeostat.store.database import Database
from homeostat.store.dialect import upsert

Mark = Callable[[Connection], None]
_COPY = 1 << 20
MAX_PATH = 700


class FilesReader:
    """One look at files."""

    def __init__(self, database: Database, url: str, table_id: str, settings: Settings) -> None:
        self._database = database
        self._url = url
        self._id = table_id
        self._settings = settings

    def chunks(self) -> Iterator[tuple[Chunk, Mark]]:
        """Rows of files that are new or have changed, in the order of their paths.

        Raises:
            TooLarge: when a file is over `max_upload_mb`.
        """
        files, root = fsspec.core.url_to_fs(self._url)
        found = files.glob(root, detail=True) if any(letter in root for letter in "*?[") else _under(files, root)
        known = self._known()
        for path, about in sorted(found.items()):
            mark = _mark_of(about)
            if about.get("type") == "directory" or known.get(path) == mark or len(path) > MAX_PATH:
                continue
            if local_path(self._url) is not None and not is_allowed(Path(path), self._settings):
                continue  # a link that leads out of the folders
            yield from self._file(files, path, about, mark)

    def _file(self, files: Any, path: str, about: dict[str, Any], mark: str) -> Iterator[tuple[Chunk, Mark]]:
        limit = self._settings.max_upload_mb << 20
        if int(about.get("size") or 0) > limit:
            raise TooLarge(f"{path} is over {limit} bytes", field="url", next_step="write smaller files")
        with tempfile.NamedTemporaryFile(prefix="homeostat-table-") as held:
            with files.open(path, "rb") as source:
                while data := source.read(_COPY):
                    held.write(data)
            held.flush()
            with open_chunks(Path(held.name), PARQUET) as chunks:
                for chunk in chunks():
                    yield chunk, _nothing
        # Only when all of it was kept: a file that was cut off is read from its beginning.
        yield Chunk({}, ()), self._marking(path, mark)

    def _known(self) -> dict[str, str]:
        table = store.table_files
        with self._database.read() as conn:
            query = sa.select(table.c.path, table.c.mark).where(table.c.table_id == self._id)
            return {row.path: row.mark for row in conn.execute(query)}

    def _marking(self, path: str, mark: str) -> Mark:
        def note(conn: Connection) -> None:
            row = {"table_id": self._id, "path": path, "mark": mark}
            upsert(conn, store.table_files, [row], key=("table_id", "path"), update=("mark",))

        return note


def _under(files: Any, root: str) -> dict[str, Any]:
    """A file by its name, or every Parquet file of a folder."""
    if files.isdir(root):
        return {path: one for path, one in files.find(root, detail=True).items() if path.endswith(".parquet")}
    return {root: files.info(root)}


def _mark_of(about: dict[str, Any]) -> str:
    """What would be different of a file that was written anew."""
    told = [about.get(name) for name in ("size", "mtime", "LastModified", "last_modified", "ETag", "etag", "md5Hash")]
    return ":".join(str(one) for one in told if one is not None)[:200]


def _nothing(_conn: Connection) -> None:
    return
