"""How long the prediction log is kept: old segments go, the catalogue's row first and then the bytes."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.serving.segments import Segment, list_segments
from homeostat.serving.store import serving_segments
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


def remove_segments(
    database: Database, blobs: BlobStore, *, before: int, is_needed: Callable[[Segment], bool], now: int
) -> int:
    """Remove segments all of whose rows are from before a moment, unless needed; says how many. `now` is machine time.

    A crash in between leaves bytes that nothing names, which `homeostat gc` sweeps.
    """
    with database.read() as conn:
        over = [segment for segment in list_segments(conn, before=before) if not is_needed(segment)]
    if not over:
        return 0
    with database.write() as conn:
        conn.execute(serving_segments.delete().where(serving_segments.c.id.in_([one.id for one in over])))
        unnamed = [one.digest for one in over if not _is_named(conn, one.digest)]
    for digest in unnamed:
        blobs.remove(digest, before=now)
    return len(over)


def _is_named(conn: Connection, digest: str) -> bool:
    """Whether another file had the very same rows."""
    return conn.execute(sa.select(serving_segments.c.id).where(serving_segments.c.digest == digest)).first() is not None
