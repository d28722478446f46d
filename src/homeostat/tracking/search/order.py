"""The order of a search, and where in it a page ended.

A metric, param or tag that a run lacks comes last, whatever the direction; before it NaN; ties go to the newer run.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import OrderKey, parse_order
from homeostat.tracking import store
from homeostat.tracking.search.conditions import attribute_column

_runs = store.runs
_TABLES = {"metrics": store.series, "params": store.params, "tags": store.tags}


class Column(msgspec.Struct, frozen=True):
    """One thing that rows are sorted by; what is NULL is looked at first (`rank`)."""

    value: Any
    descending: bool

    @property
    def sorted(self) -> sa.ColumnElement[Any]:
        ordered: sa.ColumnElement[Any] = self.value.desc() if self.descending else self.value.asc()
        return ordered


class Order(msgspec.Struct, frozen=True):
    """Columns to sort by, the last of them unique, and the tables they come from."""

    columns: tuple[Column, ...]
    source: Any
    lead: Any = None
    """The joined table of the first key, when that is a metric's last, lowest or highest value."""
    lead_column: Any = None


def order_of(items: Sequence[str]) -> list[OrderKey]:
    """The keys of `order_by`."""
    return [parse_order(item) for item in items if item.strip()]


def build_order(keys: Sequence[OrderKey], *, by_index: bool) -> Order:
    """What SQL sorts by. With `by_index` the first metric is met through its index, in order, and must be there."""
    source: Any = _runs
    columns: list[Column] = []
    lead = lead_column = None
    for place, item in enumerate(keys):
        if item.key.kind == "attributes":
            name, column = attribute_column(item.key, field="order_by")
            if name == "end_time":
                columns.append(Column(sa.case((column.is_(None), 1), else_=0), descending=False))
            columns.append(Column(sa.func.coalesce(column, 0) if name == "end_time" else column, item.descending))
            continue
        table = _joined_table(item, place)
        met = sa.and_(table.c.run == _runs.c.no, table.c.key == item.key.name)
        value = table.c[item.key.aspect] if item.key.kind == "metrics" else table.c.value
        if by_index and place == 0 and item.key.kind == "metrics":
            lead, lead_column = table, value
            source = source.join(table, met)
            columns.append(Column(value, item.descending))
            continue
        source = source.outerjoin(table, met)
        rank = sa.case((table.c.run.is_(None), 2), (value.is_(None), 1), else_=0)
        blank: Any = 0.0 if item.key.kind == "metrics" else ""
        columns += [Column(rank, descending=False), Column(sa.func.coalesce(value, blank), item.descending)]
    columns += [Column(_runs.c.started, descending=True), Column(_runs.c.no, descending=True)]
    return Order(tuple(columns), source, lead, lead_column)


def after(columns: Sequence[Column], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The condition that a row comes after the one with these values."""
    ways = []
    for place, (column, value) in enumerate(zip(columns, values, strict=True)):
        same = [before.value == known for before, known in zip(columns[:place], values[:place], strict=True)]
        ways.append(sa.and_(*same, column.value < value if column.descending else column.value > value))
    # The first column once more, alone: an index can start there.
    first, value = columns[0], values[0]
    start = first.value <= value if first.descending else first.value >= value
    return sa.and_(start, sa.or_(*ways))


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the phase of the search, the sorted values of its last row, and which way it went."""

    query: str
    phase: int
    values: list[Any]
    walks: bool = False


def query_mark(*parts: object) -> str:
    """A short name for a search, so that a token of another one is noticed."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def write_token(place: Place) -> str:
    """A place as the opaque text that clients hand back."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()


def read_token(token: str | None, *, query: str) -> Place | None:
    """The place a token stands for.

    Raises:
        Invalid: when it is no token, or one of another search.
    """
    if not token:
        return None
    try:
        place = msgspec.msgpack.decode(base64.urlsafe_b64decode(token.encode()), type=Place)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Invalid("this is no page token", field="page_token", next_step="leave it out to begin anew") from error
    if place.query != query:
        raise Invalid(
            "the page token belongs to another search",
            field="page_token",
            next_step="send the filter and the order it came from, or leave it out",
        )
    return place


def _joined_table(item: OrderKey, place: int) -> Any:
    if item.key.kind not in _TABLES:
        raise Invalid(
            f"runs cannot be ordered by {item.key}",
            field="order_by",
            next_step="order by metrics., params., tags. or an attribute",
        )
    return _TABLES[item.key.kind].alias(f"o{place}")
