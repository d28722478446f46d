"""What a filter asks of a trace's feedback and expectations: values that are text, numbers or truth values."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.filters import Compare, Value
from homeostat.tracking import store
from homeostat.tracking.search.conditions import Condition, compare_text, wrong

_said = store.assessments
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
_ORDERED = ("<", "<=", ">", ">=")


def of_assessment(conn: Connection, node: Compare) -> Condition:
    """Whether something like that was said of the trace under that name, and still counts."""
    found = sa.exists().where(
        _said.c.trace == store.traces.c.no,
        _said.c.kind == node.key.kind,
        _said.c.name == node.key.name,
        _said.c.is_valid.is_(True),
    )
    if node.op == "IS":
        return sa.not_(found)
    if node.op in _ORDERED:
        return found.where(_ordered(node))
    if node.op in ("=", "IN"):
        return found.where(_said.c.value.in_(_spellings(node)))
    if node.op == "!=":
        return found.where(_said.c.value.not_in(_spellings(node)))
    # Text stands in quotes in its JSON; the quotes are no part of it.
    return found.where(compare_text(conn, node, sa.func.trim(_said.c.value, '"')))


def _spellings(node: Compare) -> list[str]:
    texts: list[str] = []
    for value in node.values:
        plain = _plain(node, value)
        texts += [plain, msgspec.json.encode(plain).decode()]
        if isinstance(value, float):
            texts.append(repr(value))
    return texts


def _plain(node: Compare, value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    raise wrong(node, f"{value!r:.60} is no value", "put text in quotes")


def _ordered(node: Compare) -> Condition:
    (value,) = node.values
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise wrong(node, f"{value!r:.60} is no number", "write the number") from error
    is_number = _said.c.value.regexp_match(_NUMBER)
    # CASE keeps PostgreSQL from casting what is no number.
    said: Any = sa.case((is_number, sa.cast(_said.c.value, sa.Float(53))), else_=None)
    tests = {"<": said < number, "<=": said <= number, ">": said > number, ">=": said >= number}
    return sa.and_(is_number, tests[node.op])
