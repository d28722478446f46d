"""A trace filter's tree as SQL conditions: attributes, tags, metadata, spans, and what was said of a trace."""

import math
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import And, Compare, Key, Node, Not, Or, Value
from homeostat.tracking import store
from homeostat.tracking.search.conditions import Condition, compare_number, compare_text, moment, text_matches, wrong
from homeostat.tracking.search.said import of_assessment
from homeostat.tracking.search.span_conditions import of_span

KINDS = {
    **dict.fromkeys(("attr", "attribute", "attributes", "trace"), "attributes"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("metadata", "request_metadata"), "metadata"),
    **dict.fromkeys(("span", "spans"), "span"),
    "feedback": "feedback",
    "expectation": "expectation",
}
"""Prefix of a key, as people write it, to what it means; a key without one is an attribute."""

_traces = store.traces
_ATTRIBUTES: dict[str, sa.ColumnElement[Any]] = {
    "trace_id": _traces.c.id,
    "timestamp": _traces.c.requested,
    "execution_time": _traces.c.duration,
    "end_time": _traces.c.requested + _traces.c.duration,
    "status": _traces.c.state,
    "client_request_id": _traces.c.client_request_id,
    "experiment_id": _traces.c.project,
}
_ALIASES = {
    "request_id": "trace_id",
    "id": "trace_id",
    "timestamp_ms": "timestamp",
    "request_time": "timestamp",
    "execution_time_ms": "execution_time",
    "execution_duration": "execution_time",
    "end_time_ms": "end_time",
    "state": "status",
}
_ELSEWHERE = {
    "name": Key("tags", "mlflow.traceName"),
    "prompt": Key("tags", "mlflow.linkedPrompts"),
    "text": Key("span", "content"),
}
RUN = Key("metadata", "mlflow.sourceRun")
"""Where the run a trace was made in is noted."""
_MILLISECOND_LIMIT = 2**53


def trace_condition(conn: Connection, node: Node, *, now: int) -> Condition:
    """What `node` asks of a row of tracking_traces.

    Raises:
        Invalid: for a key that is unknown, or a comparison its kind does not have; the message names both.
    """
    if isinstance(node, And):
        return sa.and_(*(trace_condition(conn, part, now=now) for part in node.parts))
    if isinstance(node, Or):
        return sa.or_(*(trace_condition(conn, part, now=now) for part in node.parts))
    if isinstance(node, Not):
        return sa.not_(trace_condition(conn, node.part, now=now))
    node = Compare(redirected(node.key), node.op, node.values)
    if node.key.kind in ("tags", "metadata"):
        return _of_text(conn, node)
    if node.key.kind == "span":
        return of_span(conn, node)
    if node.key.kind in ("feedback", "expectation"):
        return of_assessment(conn, node)
    if node.key.name.lower() == "run_id":
        return _of_run(conn, node)
    return _of_attribute(conn, node, now)


def redirected(key: Key) -> Key:
    """The key where the value really is: a trace's name is a tag, its text that of its spans."""
    return _ELSEWHERE.get(key.name.lower(), key) if key.kind == "attributes" else key


def attribute_column(key: Key, *, field: str) -> tuple[str, sa.ColumnElement[Any]]:
    """The attribute's own name and its column.

    Raises:
        Invalid: naming those there are.
    """
    name = _ALIASES.get(key.name.lower(), key.name.lower())
    if name not in _ATTRIBUTES:
        known = ", ".join([*_ATTRIBUTES, *_ELSEWHERE, "run_id"])
        raise Invalid(
            f"{key.name!r:.80} is no attribute of a trace",
            field=field,
            next_step=f"use one of {known}, or tags., metadata., span., feedback., expectation.",
        )
    return name, _ATTRIBUTES[name]


def _of_text(conn: Connection, node: Compare) -> Condition:
    table = store.trace_tags if node.key.kind == "tags" else store.trace_metadata
    found = sa.exists().where(table.c.trace == _traces.c.no, table.c.key == node.key.name)
    return sa.not_(found) if node.op == "IS" else found.where(text_matches(conn, node, table))


def _of_run(conn: Connection, node: Compare) -> Condition:
    """The run a trace was made in, or was linked to later."""
    made_in = _of_text(conn, Compare(RUN, node.op, node.values))
    if node.op == "IS":
        return made_in
    link = store.run_traces
    linked = sa.exists().where(link.c.trace == _traces.c.no, compare_text(conn, node, link.c.run))
    return sa.or_(made_in, linked)


def _of_attribute(conn: Connection, node: Compare, now: int) -> Condition:
    name, column = attribute_column(node.key, field="filter")
    if node.op == "IS":
        return column.is_(None)
    if name in ("timestamp", "end_time"):
        return _known(column, compare_number(node, column, [moment(node, value, now) for value in node.values]))
    if name == "execution_time":
        return _known(column, compare_number(node, column, [_length(node, value) for value in node.values]))
    if name == "experiment_id":
        column = sa.cast(column, sa.Text)
    if name == "status":
        plain = tuple(_plain_state(value) if isinstance(value, str) else value for value in node.values)
        node = Compare(node.key, node.op, plain)
    return _known(column, compare_text(conn, node, column))


def _known(column: sa.ColumnElement[Any], test: Condition) -> Condition:
    return sa.and_(column.is_not(None), test)


def _plain_state(text: str) -> str:
    return text.lower().removeprefix("state_").removeprefix("tracestatus.")


def _length(node: Compare, value: Value) -> int:
    if isinstance(value, float) and math.isfinite(value) and abs(value) < _MILLISECOND_LIMIT:
        return round(value * 1000)
    raise wrong(node, f"{value!r:.60} is no duration", "give milliseconds")
