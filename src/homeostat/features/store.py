"""The feed: every row that online features are made of, once, in the order it became known to us.

A row is its source, its key and the source's own time. The same row again is recognised; with other values it is a
correction (or the flight has landed): columns not sent stay as they were, and the row takes a new sequence number,
so that readers who follow the sequence see it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from math import isnan
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.features.compiled import SourceSpec
from homeostat.features.naming import did_you_mean, schema_of
from homeostat.ground.clock import from_datetime, from_iso
from homeostat.ground.errors import Invalid
from homeostat.store.database import Database, metadata
from homeostat.store.database import Sequence as GrowingKey

features_rows = sa.Table(
    "features_rows",
    metadata,
    sa.Column("seq", GrowingKey, primary_key=True, autoincrement=True),
    sa.Column("source", sa.String(128), nullable=False),
    sa.Column("row_key", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("source", "row_key"),
    sqlite_autoincrement=True,  # a number is never given twice, even when the newest row is replaced
)

_BATCH = 500
_LONGEST_KEY = 200
_WHOLE = 2**63
"""Larger whole numbers become fractions, up to the largest of those."""

_LARGEST = sys.float_info.max

_LAST_MOMENT = 253_402_300_799_999_999
"""The end of the year 9999, the last that datetimes know."""

Row = dict[str, Any]


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of pushed rows."""

    accepted: int
    """Rows that were new, or corrected one."""
    duplicates: int
    """Rows that were there already, as they are."""


def push_rows(conn: Connection, source: SourceSpec, rows: Sequence[Mapping[str, Any]]) -> PushResult:
    """Append rows of a source: dicts by column, times as ISO text or microseconds.

    Each row needs the key and the source's own time; a column left out stays as it was. All or nothing.

    Raises:
        Invalid: naming the row and the field that is unknown, missing or of another type.
    """
    schema = schema_of(source.columns)
    checked = [_checked(source, schema, row, number) for number, row in enumerate(rows)]
    accepted = sum(_push_batch(conn, source, checked[start : start + _BATCH]) for start in range(0, len(rows), _BATCH))
    return PushResult(accepted=accepted, duplicates=len(rows) - accepted)


def newest_seq(database: Database) -> int:
    """The highest sequence number in the feed, 0 when it is empty; cheap enough to ask before every request."""
    return database.peek("select max(seq) from features_rows") or 0


def read_rows(
    conn: Connection, sources: Iterable[str], *, after: int, until: int
) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Source and payload of the rows numbered in (after, until], in order, in chunks."""
    table, wanted = features_rows.c, frozenset(sources)
    # Sources are picked here: with them in the condition SQLite walks their whole index instead of the tail.
    query = sa.select(table.source, table.payload).where(table.seq > after, table.seq <= until).order_by(table.seq)
    for chunk in conn.execute(query.execution_options(yield_per=2_000)).partitions():
        yield [(source, bytes(payload)) for source, payload in chunk if source in wanted]


def encode_payload(row: Row) -> bytes:
    """A row's columns, packed."""
    return msgspec.msgpack.encode(row)


decode_payload = msgspec.msgpack.Decoder(dict[str, Any]).decode


def _push_batch(conn: Connection, source: SourceSpec, rows: Sequence[Row]) -> int:
    keyed = [(*row_key(source, row), row) for row in rows]
    table = features_rows.c
    mine = sa.and_(table.source == source.name, table.row_key.in_({key for key, _, _ in keyed}))
    found = conn.execute(sa.select(table.row_key, table.payload).where(mine)).all()
    have = {bytes(key): decode_payload(payload) for key, payload in found}
    stored = set(have)
    changed: dict[bytes, Row] = {}
    accepted = 0
    for key, _, row in keyed:
        known = have.get(key)
        merged = row if known is None else known | row
        if known is not None and _same(merged, known):
            continue
        at = row_key(source, merged)[1]
        accepted += 1
        have[key] = merged
        changed[key] = {
            "source": source.name,
            "row_key": key,
            "at": at,
            "payload": encode_payload(merged),
        }
    replaced = [key for key in changed if key in stored]
    if replaced:
        conn.execute(features_rows.delete().where(table.source == source.name, table.row_key.in_(replaced)))
    if changed:
        conn.execute(features_rows.insert(), list(changed.values()))
    return accepted


def _same(one: Row, other: Row) -> bool:
    return all(one.get(name) == other.get(name) for name in one.keys() | other.keys())


def row_key(source: SourceSpec, row: Row) -> tuple[bytes, int]:
    """What identifies a checked row, as typed bytes that cannot collide, and its newest time (0 for a static table)."""
    at = max((row[time] for time in source.times if row.get(time) is not None), default=0)
    packed = msgspec.msgpack.encode([_canonical(row[name]) for name in (*source.key, *source.times[:1])])
    if len(packed) > _LONGEST_KEY:  # an index holds no long keys; 0xc1 begins no msgpack, so a hash is never a key
        packed = b"\xc1" + blake2b(packed, digest_size=32).digest()
    return packed, at


def _canonical(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _checked(source: SourceSpec, schema: Mapping[str, str], row: Mapping[str, Any], number: int) -> Row:
    where = f"source {source.name}, row {number}"
    for name in row:
        if name not in schema:
            raise Invalid(f"{where}: there is no column {name!r}", field=name, next_step=did_you_mean(name, schema))
    values = {name: check_value(value, schema[name], field=name, where=where) for name, value in row.items()}
    for name, what in [*((key, "key") for key in source.key), *((time, "time") for time in source.times[:1])]:
        if values.get(name) is None:
            raise Invalid(f"{where}: {what} {name} is missing", field=name, next_step=f"send {name} with every row")
    return values


def check_value(value: Any, dtype: str, *, field: str, where: str) -> Any:
    """`value` as features hold it: times in microseconds, NaN as None.

    Raises:
        Invalid: when it is not of the column's type.
    """
    if value is None or type(value) is _PLAIN[dtype]:
        return None if value != value else value  # noqa: PLR0124  NaN is the one value that differs from itself
    if dtype == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float):  # numpy's float64
            return None if isnan(value) else float(value)
        if abs(value) <= _LARGEST:
            return value if abs(value) < _WHOLE else float(value)
    if dtype == "time":
        moment = _moment(value)
        if moment is not None and abs(moment) <= _LAST_MOMENT:
            return moment
    raise Invalid(f"{where}: {field} is {value!r}, wanted a {dtype}", field=field, next_step=_MENDS[dtype])


def _moment(value: Any) -> int | None:
    if isinstance(value, datetime):
        return from_datetime(value)
    if isinstance(value, str):
        try:
            return from_iso(value)
        except Invalid:
            return None
    return value if type(value) is int else None


_PLAIN = {"number": float, "string": str, "boolean": bool, "time": None}
"""The type that needs no second look."""

_MENDS = {
    "number": "send a JSON number, or null when it is missing",
    "string": "send a JSON text, or null when it is missing",
    "boolean": "send true, false, or null when it is missing",
    "time": "send 2013-03-12T08:00:00Z or whole microseconds since 1970",
}
