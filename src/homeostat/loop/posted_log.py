"""From posted rows that were counted to the prediction log: segments, of which small ones are joined to larger ones.

Two neighbours of like size become one, so that a trickle makes few segments and each row is written a dozen times at
most before its segment is full.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
import zstandard
from sqlalchemy.engine import Connection

from homeostat.ground.clock import MINUTE, SECOND
from homeostat.ground.ids import new_id
from homeostat.ground.records import PredictionBatch
from homeostat.loop import store
from homeostat.monitoring.keyed import join_key_labels
from homeostat.monitoring.keys import index_batches, list_key_sets
from homeostat.registry.versions import get_version
from homeostat.serving.segments import Segment, count_answered, frame_of, list_segments, record_segment
from homeostat.serving.store import serving_segments
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

if TYPE_CHECKING:
    import polars as pl

SEAL_ROWS = 20_000
"""Rows that wait for the log no longer."""
SEAL_AFTER = 30 * SECOND
"""And how long fewer wait (machine time)."""
GROWN_ROWS = 50_000
"""A segment with this many rows grows no further."""
MOST_AT_ONCE = 60_000
"""Rows that are taken into a segment in one go."""
READ_BY_NOW = 10 * MINUTE
"""After this time nobody reads a segment any more that another has taken the place of."""
_WAL = "-posted"

_unpack = msgspec.msgpack.Decoder(list[PredictionBatch]).decode


class PostedLog:
    """Moves posted rows into the log; several processes may."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._replaced: list[tuple[int, str]] = []

    def seal(self, *, now: int, at_once: bool = False) -> int:
        """Put what waits into the log when it is much or has waited long, or `at_once`; says how many rows that were.

        `now` is machine time. Bytes are written first and named in the transaction that forgets what waited.
        """
        self._forget_replaced(now)
        total = 0
        while rows := self._seal(now=now, at_once=at_once or total > 0):
            total += rows
        return total

    def _seal(self, *, now: int, at_once: bool) -> int:
        with self._database.read() as conn:
            waiting = _waiting(conn, now=now, at_once=at_once)
            if not waiting:
                return 0
            query = store.posted.select().where(store.posted.c.id.in_(waiting)).order_by(store.posted.c.id)
            packed = [(row.rows, row.batches) for row in conn.execute(query)]
            joined = _neighbours(conn, sum(rows for rows, _ in packed))
        batches = [batch for _, some in packed for batch in _unpack(zstandard.ZstdDecompressor().decompress(some))]
        segment = _segment(self._blobs, batches, joined)
        with suppress(_Moved), self._database.write() as conn:
            _swap(conn, waiting, joined, segment)
            _index(conn, batches)
            self._replaced += [(now, one.digest) for one in joined]
            return len(batches)
        return 0

    def _forget_replaced(self, now: int) -> None:
        """Bytes that a crash keeps from going here go with `homeostat gc`."""
        over = [digest for at, digest in self._replaced if now - at > READ_BY_NOW]
        self._replaced = [(at, digest) for at, digest in self._replaced if now - at <= READ_BY_NOW]
        with self._database.read() as conn:
            named = set(conn.execute(sa.select(serving_segments.c.digest)).scalars()) if over else set()
        for digest in set(over) - named:
            self._blobs.remove(digest, before=now)


class _Moved(Exception):
    """Somebody else has just put the rows into the log."""


def _waiting(conn: Connection, *, now: int, at_once: bool) -> list[str]:
    table = store.posted
    rows, oldest = conn.execute(sa.select(sa.func.sum(table.c.rows), sa.func.min(table.c.recorded))).one()
    if not rows or not (at_once or rows >= SEAL_ROWS or now - oldest >= SEAL_AFTER or _is_walked(conn)):
        return []
    chosen: list[str] = []
    taken = 0
    for row in conn.execute(sa.select(table.c.id, table.c.rows).order_by(table.c.id)):
        if chosen and (taken + row.rows > MOST_AT_ONCE or len(chosen) >= 900):
            break
        chosen.append(row.id)
        taken += row.rows
    return chosen


def _is_walked(conn: Connection) -> bool:
    """Whether somebody walks the segments by their order, to index them for labels by a new key."""
    return any(one.progress is not None for one in list_key_sets(conn))


def _neighbours(conn: Connection, rows: int) -> list[Segment]:
    """The newest segments of posted rows that are not much larger than what comes, while nobody walks the log."""
    if _is_walked(conn):
        return []
    mine = [one for one in list_segments(conn) if one.wal.endswith(_WAL)]
    joined: list[Segment] = []
    for segment in sorted(mine, key=lambda one: one.id, reverse=True):
        if segment.rows >= GROWN_ROWS or segment.rows > 2 * rows:
            break
        joined.append(segment)
        rows += segment.rows
    return joined[::-1]


def _segment(blobs: BlobStore, batches: Sequence[PredictionBatch], joined: Sequence[Segment]) -> Segment:
    import polars as pl

    frame, models = frame_of(batches), count_answered(batches)
    times = [at for batch in batches for at in batch.times]
    frame = pl.concat([*(_frame(blobs, one) for one in joined), frame], how="diagonal_relaxed")
    for one in joined:
        models = {name: one.models.get(name, 0) + models.get(name, 0) for name in {**one.models, **models}}
    held = io.BytesIO()
    frame.write_parquet(held, compression="zstd")
    return Segment(
        id=new_id(),
        wal=f"{new_id()}{_WAL}",
        digest=blobs.put(held.getvalue()),
        rows=frame.height,
        first_at=min(*times, *(one.first_at for one in joined), times[0]),
        last_at=max(*times, *(one.last_at for one in joined), times[0]),
        models=models,
    )


def _frame(blobs: BlobStore, segment: Segment) -> "pl.DataFrame":
    import polars as pl

    return pl.read_parquet(io.BytesIO(blobs.get(segment.digest)))  # our own bytes, by their digest


def _index(conn: Connection, batches: Sequence[PredictionBatch]) -> None:
    """Index the rows once more: labels may have been sent by columns that were no key when the rows came."""
    models = {one.model for one in list_key_sets(conn)}
    versions = {(batch.model, batch.version) for batch in batches if batch.model in models}
    if versions:
        columns = {key: [one.name for one in get_version(conn, *key).signature.columns] for key in versions}
        join_key_labels(conn, index_batches(conn, batches, columns=columns))


def _swap(conn: Connection, waiting: Sequence[str], joined: Sequence[Segment], segment: Segment) -> None:
    gone = conn.execute(store.posted.delete().where(store.posted.c.id.in_(waiting))).rowcount
    same = serving_segments.c.id.in_([one.id for one in joined])
    replaced = conn.execute(serving_segments.delete().where(same)).rowcount if joined else 0
    if gone != len(waiting) or replaced != len(joined):
        raise _Moved
    record_segment(conn, segment)
