"""Comparisons of a filter as conditions on the registry's columns."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import from_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.filters import Ago, Compare, Value
from homeostat.store.dialect import like

Condition = sa.ColumnElement[bool]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MOST = 2**62
# An unbounded repeat of a group that itself repeats or branches can take exponential time in Python's engine.
_SLOW_PATTERN = re.compile(r"[*+}|][^()]*\)\s*[*+{]")


def compare_text(conn: Connection, node: Compare, column: sa.ColumnElement[Any]) -> Condition:
    """On a column of text."""
    texts = [_text(node, value) for value in node.values]
    if node.op == "IN":
        return column.in_(texts)
    if not texts:
        return sa.false()
    (text,) = texts
    if node.op in ("=", "!="):
        return column == text if node.op == "=" else column != text
    if node.op in ("LIKE", "ILIKE"):
        return like(conn, column, text, ignore_case=node.op == "ILIKE")
    if node.op == "CONTAINS":
        return column.icontains(text, autoescape=True)
    if node.op == "MATCHES":
        return column.regexp_match(_pattern(node, text))
    raise _wrong(node, "it is text", "compare it with = != LIKE ILIKE CONTAINS =~ or IN")


def compare_number(node: Compare, column: sa.ColumnElement[Any]) -> Condition:
    """On a column of whole numbers."""
    return _compared(node, column, [_whole(node, value) for value in node.values])


def compare_time(node: Compare, column: sa.ColumnElement[Any], *, now: int) -> Condition:
    """On a column of microseconds; filters count milliseconds, so it is compared as coarsely."""
    return _compared(node, column // 1000, [_milliseconds(node, value, now) for value in node.values])


def _compared(node: Compare, column: sa.ColumnElement[Any], values: list[int]) -> Condition:
    if node.op == "IN":
        return column.in_(values)
    if node.op not in _COMPARISONS or not values:
        raise _wrong(node, "it is a number", "compare it with = != < <= > >= or IN")
    compared: Condition = _COMPARISONS[node.op](column, values[0])
    return compared


def _text(node: Compare, value: Value) -> str:
    if not isinstance(value, str):
        raise _wrong(node, f"{value!r:.60} is no text", "put the value in quotes")
    if "\x00" in value or value.encode("utf-8", "ignore").decode() != value:
        raise _wrong(node, "the value holds NUL or half a character", "send plain Unicode")
    return value


def _whole(node: Compare, value: Value) -> int:
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d{1,18}", value):
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < _MOST:
        return int(value)
    raise _wrong(node, f"{value!r:.60} is no whole number", "write it without quotes and without a fraction")


def _milliseconds(node: Compare, value: Value, now: int) -> int:
    if isinstance(value, Ago):
        return (now + value.offset) // 1000
    if isinstance(value, str) and not value.isdecimal():
        return from_iso(value, field="filter") // 1000
    return _whole(node, value)


def _pattern(node: Compare, text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise _wrong(node, f"{text!r:.60} is no regular expression: {error}", "mend it") from error
    if _SLOW_PATTERN.search(text) or len(text) > 500:
        raise _wrong(node, f"{text!r:.60} repeats a group that repeats or branches", "write it without nesting")
    return text


def _wrong(node: Compare, what: str, mend: str) -> Invalid:
    return Invalid(f"{node.key} {node.op}: {what}", field="filter", next_step=mend)
