"""A filter's tree as SQL conditions on a run: every comparison is true or false, never unknown."""

import math
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import from_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.filters import Ago, And, Compare, Key, Node, Not, Or, Value
from homeostat.store.dialect import like
from homeostat.tracking import store
from homeostat.tracking.search.steps import runs_at_step
from homeostat.tracking.values import storable

Condition = sa.ColumnElement[bool]

_runs = store.runs
ATTRIBUTES: dict[str, sa.ColumnElement[Any]] = {
    "run_id": _runs.c.id,
    "run_name": _runs.c.name,
    "status": _runs.c.status,
    "user_id": _runs.c.actor,
    "start_time": _runs.c.started,
    "end_time": _runs.c.ended,
    "artifact_uri": sa.literal("mlflow-artifacts:/")
    + sa.cast(_runs.c.project, sa.Text)
    + "/"
    + _runs.c.id
    + "/artifacts",
    "cause": _runs.c.cause,
    "parent": _runs.c.parent,
    "error": _runs.c.error,
}
_ALIASES = {
    "id": "run_id",
    "name": "run_name",
    "run name": "run_name",
    "user": "user_id",
    "actor": "user_id",
    "started": "start_time",
    "created": "start_time",
    "start time": "start_time",
    "ended": "end_time",
}
_TIMES = ("start_time", "end_time")
_ORDERED: dict[str, Callable[[Any, Any], Condition]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
# An unbounded repeat of a group that itself repeats or branches can take exponential time in Python's engine.
_SLOW_PATTERN = re.compile(r"[*+}|][^()]*\)\s*[*+{]")


def condition(conn: Connection, node: Node, *, projects: list[int], now: int) -> Condition:
    """What `node` asks of a row of tracking_runs.

    Raises:
        Invalid: for a key that is unknown, or a comparison its kind does not have; the message names both.
    """
    if isinstance(node, And):
        return sa.and_(*(condition(conn, part, projects=projects, now=now) for part in node.parts))
    if isinstance(node, Or):
        return sa.or_(*(condition(conn, part, projects=projects, now=now) for part in node.parts))
    if isinstance(node, Not):
        return sa.not_(condition(conn, node.part, projects=projects, now=now))
    if node.key.kind == "metrics":
        return _of_metric(conn, node, projects)
    if node.key.kind in ("params", "tags"):
        return _of_text(conn, node)
    if node.key.kind == "datasets":
        return _of_dataset(conn, node)
    return _of_attribute(conn, node, now)


def metric_matches(node: Compare, table: sa.FromClause) -> Condition:
    """The comparison alone, on a row of tracking_series (or an alias of it) that is the metric's."""
    column = table.c[node.key.aspect]
    if node.op == "IS":
        return sa.false()
    values = [_number(node, value) for value in node.values]
    if node.op == "IN":
        return sa.or_(*(_equals(column, value) for value in values))
    (value,) = values
    if node.op == "=":
        return _equals(column, value)
    if node.op == "!=":
        return sa.not_(_equals(column, value))
    if node.op not in _ORDERED:
        raise wrong(node, "metrics are numbers", "compare them with = != < <= > >= or IN")
    # NaN (stored as NULL) is neither below nor above anything.
    return sa.false() if math.isnan(value) else sa.and_(column.is_not(None), _ORDERED[node.op](column, value))


def text_matches(conn: Connection, node: Compare, table: sa.FromClause) -> Condition:
    """The comparison alone, on a row of params or tags that is the key's; equality can use the index on `head`."""
    if node.op in ("=", "IN"):
        texts = [_text(node, value) for value in node.values]
        heads = list({text[: store.HEAD] for text in texts})
        return sa.and_(table.c.head.in_(heads), table.c.value.in_(texts))
    return compare_text(conn, node, table.c.value)


def attribute_column(key: Key, *, field: str) -> tuple[str, sa.ColumnElement[Any]]:
    """The attribute's own name and its column.

    Raises:
        Invalid: naming those there are.
    """
    name = _ALIASES.get(key.name.lower(), key.name.lower())
    if name not in ATTRIBUTES:
        raise Invalid(
            f"{key.name!r:.80} is no attribute of a run",
            field=field,
            next_step=f"use one of {', '.join(ATTRIBUTES)}, or metrics., params., tags., datasets.",
        )
    return name, ATTRIBUTES[name]


def _of_metric(conn: Connection, node: Compare, projects: list[int]) -> Condition:
    table = store.series
    if node.key.aspect == "at":
        return _runs.c.no.in_(_runs_at_step(conn, node, projects))
    found = sa.and_(table.c.run == _runs.c.no, table.c.key == node.key.name)
    if node.op == "IS":
        return sa.not_(sa.exists().where(found))
    return sa.exists().where(found, metric_matches(node, table))


def _runs_at_step(conn: Connection, node: Compare, projects: list[int]) -> list[int]:
    assert node.key.step is not None  # the grammar asks for it
    values = [_number(node, value) for value in node.values]
    if node.op not in (*_ORDERED, "=", "!=", "IN"):
        raise wrong(node, "metrics are numbers", "compare them with = != < <= > >= or IN")
    tests: dict[str, Callable[[float], bool]] = {
        "=": lambda seen: seen == values[0],
        "!=": lambda seen: seen != values[0],
        "<": lambda seen: seen < values[0],
        "<=": lambda seen: seen <= values[0],
        ">": lambda seen: seen > values[0],
        ">=": lambda seen: seen >= values[0],
        "IN": lambda seen: seen in values,
    }
    seen = runs_at_step(conn, node.key.name, node.key.step, projects=projects)
    return [run for run, value in seen.items() if tests[node.op](value)]


def _of_text(conn: Connection, node: Compare) -> Condition:
    table = store.params if node.key.kind == "params" else store.tags
    found = sa.and_(table.c.run == _runs.c.no, table.c.key == node.key.name)
    if node.op == "IS":
        return sa.not_(sa.exists().where(found))
    return sa.exists().where(found, text_matches(conn, node, table))


def _of_dataset(conn: Connection, node: Compare) -> Condition:
    link, table = store.dataset_inputs, store.datasets
    columns: dict[str, Any] = {
        "name": table.c.name,
        "digest": table.c.digest,
        "context": sa.func.coalesce(link.c.tags["mlflow.data.context"].as_string(), ""),
    }
    if node.key.name not in columns:
        raise wrong(node, f"data sets have no {node.key.name!r:.60}", f"use one of {', '.join(columns)}")
    found = sa.exists().where(link.c.run == _runs.c.no, link.c.dataset == table.c.no)
    if node.op == "IS":
        return sa.not_(found)
    return found.where(compare_text(conn, node, columns[node.key.name]))


def _of_attribute(conn: Connection, node: Compare, now: int) -> Condition:
    name, column = attribute_column(node.key, field="filter")
    if node.op == "IS":
        return column.is_(None)
    if name in _TIMES:
        return sa.and_(column.is_not(None), compare_number(node, column, [moment(node, v, now) for v in node.values]))
    if name == "status":
        lowered = tuple(value.lower() if isinstance(value, str) else value for value in node.values)
        node = Compare(node.key, node.op, lowered)
    return sa.and_(column.is_not(None), compare_text(conn, node, column))


def compare_text(conn: Connection, node: Compare, column: sa.ColumnElement[Any]) -> Condition:
    """The comparison alone, on a column of text."""
    texts = [_text(node, value) for value in node.values]
    if node.op == "IN":
        return column.in_(texts)
    (text,) = texts
    if node.op in ("=", "!="):
        return column == text if node.op == "=" else column != text
    if node.op in ("LIKE", "ILIKE"):
        return like(conn, column, text, ignore_case=node.op == "ILIKE")
    if node.op == "CONTAINS":
        return column.icontains(text, autoescape=True)
    if node.op == "MATCHES":
        return column.regexp_match(_pattern(node, text))
    raise wrong(node, f"{node.key.kind} are text", "compare them with = != LIKE ILIKE CONTAINS =~ or IN")


def compare_number(node: Compare, column: sa.ColumnElement[Any], values: list[int]) -> Condition:
    """The comparison alone, on a column of whole numbers."""
    if node.op == "IN":
        return column.in_(values)
    if node.op in ("=", "!="):
        return column == values[0] if node.op == "=" else column != values[0]
    if node.op not in _ORDERED:
        raise wrong(node, f"{node.key.name} is a time", "compare it with = != < <= > >= or IN")
    return _ORDERED[node.op](column, values[0])


def _equals(column: sa.ColumnElement[Any], value: float) -> Condition:
    if math.isnan(value):
        return column.is_(None)
    return sa.and_(column.is_not(None), column == value)


def _number(node: Compare, value: Value) -> float:
    if isinstance(value, float):
        return value
    raise wrong(node, f"{value!r:.60} is no number", "write the number without quotes")


def _text(node: Compare, value: Value) -> str:
    if isinstance(value, str):
        return storable(value)
    raise wrong(node, f"{value!r:.60} is no text", "put the value in quotes")


def moment(node: Compare, value: Value, now: int) -> int:
    """Microseconds: a number is MLflow's milliseconds, a text ISO 8601, a duration counts from now."""
    if isinstance(value, Ago):
        return now + value.offset
    if isinstance(value, str):
        return from_iso(value, field="filter")
    if not math.isfinite(value) or abs(value) > 2**53:
        raise wrong(node, f"{value} is no time", "give milliseconds since 1970, an ISO text, or now() - 7d")
    return round(value * 1000)


def _pattern(node: Compare, text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise wrong(node, f"{text!r:.60} is no regular expression: {error}", "mend it") from error
    if _SLOW_PATTERN.search(text) or len(text) > 500:
        raise wrong(node, f"{text!r:.60} repeats a group that repeats or branches", "write it without nesting")
    return text


def wrong(node: Compare, what: str, mend: str) -> Invalid:
    """The error for a comparison that its key does not have."""
    return Invalid(f"{node.key} {node.op}: {what}", field="filter", next_step=mend)
