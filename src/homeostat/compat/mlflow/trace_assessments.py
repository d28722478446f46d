"""MLflow's assessments of traces: logged, read, changed, deleted."""

import re
from typing import Any

import msgspec

from homeostat.compat.mlflow.assessment_view import KINDS, assessment_of, kind_of
from homeostat.compat.mlflow.moments import timestamp
from homeostat.compat.mlflow.trace_reach import reachable_trace
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.errors import Invalid
from homeostat.tracking import assessments

_CHANGEABLE = ("assessment_name", *KINDS, "rationale", "metadata")


class CreateAssessment(msgspec.Struct):
    """POST traces/{trace_id}/assessments."""

    trace_id: str = ""
    assessment: dict[str, Any] = {}


class NamedAssessment(msgspec.Struct):
    """GET and DELETE traces/{trace_id}/assessments/{assessment_id}."""

    trace_id: str = ""
    assessment_id: str = ""


class UpdateAssessment(msgspec.Struct):
    """PATCH traces/{trace_id}/assessments/{assessment_id}."""

    trace_id: str = ""
    assessment_id: str = ""
    assessment: dict[str, Any] = {}
    update_mask: str = ""


def create(context: Context, body: CreateAssessment) -> dict[str, Any]:
    """A new one; the one it overrides counts no more."""
    with context.database.write() as conn:
        trace = reachable_trace(context, conn, body.trace_id)
        # A new one never takes the id of another, which may belong to a trace out of reach.
        fresh = {key: value for key, value in body.assessment.items() if key != "assessment_id"}
        made = assessment_of(fresh, trace_id=trace.id, now=context.clock.now())
        if replaced := made.data.get("overrides"):
            assessments.mark_valid(conn, trace.id, str(replaced), is_valid=False)
        assessments.put_assessment(conn, made)
    return {"assessment": made.data}


def get(context: Context, body: NamedAssessment) -> dict[str, Any]:
    """One assessment."""
    with context.database.read() as conn:
        trace = reachable_trace(context, conn, body.trace_id)
        return {"assessment": assessments.get_assessment(conn, trace.id, body.assessment_id).data}


def update(context: Context, body: UpdateAssessment) -> dict[str, Any]:
    """What the mask names is changed."""
    changes = _changes(body)
    with context.database.write() as conn:
        trace = reachable_trace(context, conn, body.trace_id)
        known = assessments.get_assessment(conn, trace.id, body.assessment_id)
        _check_kind(changes, kind_of(known.data))
        if isinstance(changes.get("metadata"), dict):
            changes["metadata"] = known.data.get("metadata", {}) | changes["metadata"]
        now = context.clock.now()
        data = known.data | changes | {"last_update_time": timestamp(now)}
        changed = assessments.put_assessment(conn, assessment_of(data, trace_id=trace.id, now=now))
    return {"assessment": changed.data}


def delete(context: Context, body: NamedAssessment) -> dict[str, Any]:
    """Gone for good."""
    with context.database.write() as conn:
        trace = reachable_trace(context, conn, body.trace_id)
        assessments.delete_assessment(conn, trace.id, body.assessment_id)
    return {}


def _changes(body: UpdateAssessment) -> dict[str, Any]:
    """The parts that the mask names; it comes as proto JSON has it, `assessmentName,rationale`."""
    words = (re.sub(r"([A-Z])", r"_\1", word.strip()).lower() for word in body.update_mask.split(","))
    names = [word.partition(".")[0] for word in words if word] or list(body.assessment)
    return {name: body.assessment.get(name) for name in names if name in _CHANGEABLE and name in body.assessment}


def _check_kind(changes: dict[str, Any], kind: str) -> None:
    other = next((name for name in KINDS if name in changes and name != kind), None)
    if other is not None:
        raise Invalid(
            f"Cannot update {other} value on a {kind.capitalize()} assessment.",
            field=other,
            next_step=f"send a {kind}",
        )


_ALL = "/mlflow/traces/{trace_id}/assessments"
_ONE = f"{_ALL}/{{assessment_id}}"

ROUTES = [
    Route(("POST",), _ALL, CreateAssessment, create, "write", version="3.0"),
    Route(("GET",), _ONE, NamedAssessment, get, "read", version="3.0"),
    Route(("PATCH",), _ONE, UpdateAssessment, update, "write", version="3.0"),
    Route(("DELETE",), _ONE, NamedAssessment, delete, "write", version="3.0"),
]
