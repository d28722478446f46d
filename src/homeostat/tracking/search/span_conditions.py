"""What a filter asks of a trace's spans: name, type, status, an attribute, or any text within."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.filters import Compare
from homeostat.store.dialect import holds, like
from homeostat.tracking import store
from homeostat.tracking.search.conditions import Condition, compare_text, wrong

_spans = store.spans
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": _spans.c.name,
    "type": _spans.c.type,
    "status": _spans.c.status,
}
_ATTRIBUTE = "attributes."


def of_span(conn: Connection, node: Compare) -> Condition:
    """Whether one of the trace's spans is so.

    Raises:
        Invalid: for a field that spans do not have, or a comparison that it does not have.
    """
    found = sa.exists().where(_spans.c.trace == store.traces.c.no)
    if node.op == "IS":
        raise wrong(node, "every span has that", "compare it with = != LIKE ILIKE or IN")
    if node.key.name.startswith(_ATTRIBUTE):
        return found.where(_of_attribute(conn, node, node.key.name.removeprefix(_ATTRIBUTE)))
    if node.key.name == "content":
        return found.where(_of_content(conn, node))
    if node.key.name not in _COLUMNS:
        known = ", ".join([*_COLUMNS, "content", "attributes.NAME"])
        raise wrong(node, f"spans have no {node.key.name!r:.60}", f"use one of {known}")
    return found.where(compare_text(conn, node, _COLUMNS[node.key.name]))


def _of_content(conn: Connection, node: Compare) -> Condition:
    if node.op not in ("LIKE", "ILIKE", "CONTAINS"):
        raise wrong(node, "the text of a span is long", "look into it with LIKE, ILIKE or CONTAINS")
    return compare_text(conn, node, _spans.c.data)


def _of_attribute(conn: Connection, node: Compare, name: str) -> Condition:
    """Attributes are looked for as the JSON they are stored as: no index knows names that users make up."""
    if not name:
        raise wrong(node, "it names no attribute", "write span.attributes.NAME")
    texts = [_text(node, value) for value in node.values]
    head = f'{{"key":{_json(name)},"value":{{'
    if node.op in ("=", "IN"):
        return sa.or_(*(holds(conn, _spans.c.data, one) for text in texts for one in _spellings(head, text)))
    if node.op == "!=":
        same = sa.or_(*(holds(conn, _spans.c.data, one) for one in _spellings(head, texts[0])))
        return sa.and_(holds(conn, _spans.c.data, head), sa.not_(same))
    if node.op in ("LIKE", "ILIKE"):
        patterns = (f"%{head}{tail}}}}}%" for tail in _text_values(texts[0]))
        ignore_case = node.op == "ILIKE"
        return sa.or_(*(like(conn, _spans.c.data, _escaped(one), ignore_case=ignore_case) for one in patterns))
    raise wrong(node, "attributes are text", "compare them with = != LIKE ILIKE or IN")


def _spellings(head: str, text: str) -> Iterable[str]:
    for tail in (*_text_values(text), f'"int_value":{text}', f'"double_value":{text}', f'"bool_value":{text}'):
        yield f"{head}{tail}}}}}"


def _text_values(text: str) -> tuple[str, str]:
    """As OpenTelemetry has it, and as MLflow has it: there every value is JSON once more."""
    return f'"string_value":{_json(text)}', f'"string_value":{_json(_json(text))}'


def _escaped(pattern: str) -> str:
    # PostgreSQL's LIKE takes a backslash for an escape; SQLite is asked by GLOB or without one.
    return pattern.replace("\\", "_")


def _text(node: Compare, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    raise wrong(node, f"{value!r:.60} is no text", "put the value in quotes")


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()
