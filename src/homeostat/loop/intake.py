"""Keeping posted predictions: counted as our own are, and once, however often a row is sent.

A request's rows are deduplicated, counted and remembered for the log (`posted_log`) in one transaction.
"""

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
import zstandard
from sqlalchemy.engine import Connection

from homeostat.ground.ids import new_id
from homeostat.ground.records import PredictionBatch
from homeostat.loop import store
from homeostat.loop.intake_target import Target
from homeostat.monitoring.keyed import join_key_labels
from homeostat.monitoring.keys import index_batches
from homeostat.monitoring.labels import portions, wake_labels
from homeostat.monitoring.record import record_batches
from homeostat.monitoring.store import outcomes
from homeostat.store.dialect import insert_new_tuples

_pack = msgspec.msgpack.Encoder().encode


class Kept(msgspec.Struct, frozen=True):
    """What became of rows."""

    accepted: int = 0
    duplicates: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.accepted + other.accepted, self.duplicates + other.duplicates)


def keep_batches(conn: Connection, target: Target, batches: Sequence[PredictionBatch], *, recorded: int) -> Kept:
    """Take in rows that were read for `target`; those that are known by request id and version are left out.

    `recorded` is machine time. Belongs into the transaction of the whole request.
    """
    new = _unknown(conn, target.model, batches)
    if new:
        _count(conn, target, new)
        failed = [(one.model, one.version, one.request_ids[0]) for one in new if one.status != "ok"]
        insert_new_tuples(conn, store.posted_failures, ("model", "version", "request_id"), failed)
        packed = zstandard.ZstdCompressor(level=1).compress(_pack(new))
        row = {"id": new_id(), "rows": len(new), "recorded": recorded, "batches": packed}
        conn.execute(store.posted.insert().values(**row))
    return Kept(len(new), len(batches) - len(new))


def _unknown(conn: Connection, model: str, batches: Sequence[PredictionBatch]) -> list[PredictionBatch]:
    known = _known_ids(conn, model, [one for one in batches if one.status == "ok"], outcomes)
    failed = _known_ids(conn, model, [one for one in batches if one.status != "ok"], store.posted_failures)
    found = []
    for batch in batches:
        seen = known if batch.status == "ok" else failed
        key = (batch.request_ids[0], batch.version)
        if key not in seen:
            seen.add(key)
            found.append(batch)
    return found


def _known_ids(
    conn: Connection, model: str, batches: Iterable[PredictionBatch], table: sa.Table
) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for some in portions(dict.fromkeys(batch.request_ids[0] for batch in batches)):
        query = sa.select(table.c.request_id, table.c.version).where(table.c.request_id.in_(some))
        found.update((row[0], row[1]) for row in conn.execute(query.where(table.c.model == model)))
    return found


def _count(conn: Connection, target: Target, new: Sequence[PredictionBatch]) -> None:
    versions = {(target.model, version.number): version for version in target.loaded()}
    record_batches(
        conn,
        new,
        bins={key: version.bins for key, version in versions.items() if version.bins},
        slow_us={target.model: target.slow_us},
        probabilities=set(versions) if target.truth.task == "binary" else (),
    )
    wake_labels(conn, new)
    join_key_labels(conn, index_batches(conn, new, columns={key: one.names for key, one in versions.items()}))
