"""MLflow's assessments, as they come in and as they are shown again."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.moments import read_timestamp, timestamp
from homeostat.compat.mlflow.reading import require
from homeostat.ground.errors import Invalid
from homeostat.ground.ids import new_id
from homeostat.tracking.types import Assessment
from homeostat.tracking.values import storable

KINDS = ("feedback", "expectation", "issue")


def assessment_of(body: dict[str, Any], *, trace_id: str, now: int) -> Assessment:
    """Our assessment for MLflow's; one without an id gets a new one.

    Raises:
        Invalid: when it has no name, or not exactly one kind.
    """
    body = _storable(body)
    kind = kind_of(body)
    created = read_timestamp(_text(body, "create_time"), "create_time") if body.get("create_time") else now
    changed = _text(body, "last_update_time")
    updated = read_timestamp(changed, "last_update_time") if changed else created
    assessment_id = _text(body, "assessment_id") or f"a-{new_id()}"
    is_valid = body.get("valid", True) is not False
    data = body | {
        "assessment_id": assessment_id,
        "trace_id": trace_id,
        "create_time": timestamp(created),
        "last_update_time": timestamp(updated),
        "valid": is_valid,
    }
    return Assessment(
        id=assessment_id[:50],
        trace_id=trace_id,
        name=require(_text(body, "assessment_name"), "assessment.assessment_name"),
        kind=kind,
        value=_value(body[kind]),
        is_valid=is_valid,
        created=created,
        updated=updated,
        data=data,
    )


def kind_of(body: dict[str, Any]) -> str:
    """Which kind of assessment it is.

    Raises:
        Invalid: when it is none, or two.
    """
    kinds = [kind for kind in KINDS if isinstance(body.get(kind), dict)]
    if len(kinds) == 1:
        return kinds[0]
    raise Invalid(
        "Exactly one of `expectation` or `feedback` should be specified.",
        field="assessment",
        next_step="send one of them, as an object",
    )


def _storable(value: Any) -> Any:
    """Without what no database takes: lone surrogates, NUL."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _value(said: dict[str, Any]) -> Any:
    """What was said; MLflow puts lists and dicts of an expectation into text."""
    packed = said.get("serialized_value")
    if not isinstance(packed, dict):
        return said.get("value")
    try:
        return msgspec.json.decode(packed.get("value") or "null")
    except (msgspec.DecodeError, TypeError):
        return packed.get("value")


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if value is None or isinstance(value, str):
        return value or ""
    raise Invalid(f"Invalid value for parameter 'assessment.{name}': it is no text", field=name, next_step="send text")
