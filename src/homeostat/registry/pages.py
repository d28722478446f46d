"""The order of a search over the registry, and where in it a page ended."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import parse_order


class Column(msgspec.Struct, frozen=True):
    """One thing that rows are sorted by; none of them is ever NULL."""

    value: Any
    descending: bool

    @property
    def sorted(self) -> sa.ColumnElement[Any]:
        ordered: sa.ColumnElement[Any] = self.value.desc() if self.descending else self.value.asc()
        return ordered


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the search it belongs to, and the sorted values of its last row."""

    query: str
    values: list[Any]


def order_of(
    items: Sequence[str], columns: Mapping[str, Any], aliases: Mapping[str, str], *, ends: Sequence[str]
) -> list[Column]:
    """What SQL sorts by: `items`, then those of `ends` that they do not name, so that no two rows are equal.

    Raises:
        Invalid: naming a key that is unknown, or comes twice.
    """
    found: dict[str, Column] = {}
    for item in [item for item in items if item.strip()]:
        key = parse_order(item)
        name = aliases.get(key.key.name, key.key.name)
        if key.key.kind != "attributes" or name not in columns:
            raise Invalid(
                f"Invalid order by key {str(key.key)!r:.80} specified. Valid keys are {', '.join(columns)}",
                field="order_by",
                next_step="use one of those",
            )
        if name in found:
            raise Invalid(f"order_by contains {name} twice", field="order_by", next_step="name each once")
        found[name] = Column(columns[name], key.descending)
    for end in ends:
        key = parse_order(end)
        found.setdefault(key.key.name, Column(columns[key.key.name], key.descending))
    return list(found.values())


def after(columns: Sequence[Column], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The condition that a row comes after the one with these values."""
    ways = []
    for place, (column, value) in enumerate(zip(columns, values, strict=True)):
        same = [before.value == known for before, known in zip(columns[:place], values[:place], strict=True)]
        ways.append(sa.and_(*same, column.value < value if column.descending else column.value > value))
    return sa.or_(*ways)


def query_mark(*parts: object) -> str:
    """A short name for a search, so that a token of another one is noticed."""
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:12]


def write_token(place: Place) -> str:
    """A place as the opaque text that clients hand back."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()


def read_token(token: str | None, *, query: str) -> Place | None:
    """The place a token stands for; None without one.

    Raises:
        Invalid: when it is no token, or one of another search.
    """
    if not token:
        return None
    try:
        place = msgspec.msgpack.decode(base64.urlsafe_b64decode(token.encode()), type=Place)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Invalid("Invalid page token", field="page_token", next_step="leave it out to begin anew") from error
    if place.query != query:
        raise Invalid(
            "Invalid page token: it belongs to another search",
            field="page_token",
            next_step="send the filter and the order it came from, or leave it out",
        )
    return place
