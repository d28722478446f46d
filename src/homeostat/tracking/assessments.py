"""Assessments: what people and judges say of a trace (feedback, expectations)."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.dialect import upsert
from homeostat.tracking import store
from homeostat.tracking.types import Assessment
from homeostat.tracking.values import check_key

_KINDS = ("feedback", "expectation", "issue")
_SIZE_LIMIT = 1_000_000
_FIELDS = ("name", "kind", "value", "is_valid", "updated", "data")


def put_assessment(conn: Connection, assessment: Assessment) -> Assessment:
    """Store an assessment, or what became of it.

    Raises:
        NotFound: when there is no such trace.
        Conflict: when its id belongs to another trace's.
        Invalid: when its name or kind is not usable, or it is too large.
    """
    table = store.traces
    number = conn.execute(sa.select(table.c.no).where(table.c.id == assessment.trace_id)).scalar()
    if number is None:
        raise NotFound(
            f"there is no trace {assessment.trace_id!r:.80}", field="trace_id", next_step="search for traces"
        )
    _check(assessment)
    _check_owner(conn, assessment, number)
    row = {
        "id": assessment.id,
        "trace": number,
        "name": assessment.name,
        "kind": assessment.kind,
        "value": msgspec.json.encode(assessment.value).decode(),
        "is_valid": assessment.is_valid,
        "created": assessment.created,
        "updated": assessment.updated,
        "data": assessment.data,
    }
    upsert(conn, store.assessments, [row], key=["id"], update=_FIELDS)
    return assessment


def get_assessment(conn: Connection, trace_id: str, assessment_id: str) -> Assessment:
    """One assessment of a trace.

    Raises:
        NotFound: when the trace has none with this id.
    """
    table, traces = store.assessments, store.traces
    query = sa.select(table, traces.c.id.label("trace_id")).select_from(
        table.join(traces, traces.c.no == table.c.trace)
    )
    row = conn.execute(query.where(table.c.id == assessment_id, traces.c.id == trace_id)).mappings().first()
    if row is None:
        raise no_assessment(trace_id, assessment_id)
    return _of_row(row)


def delete_assessment(conn: Connection, trace_id: str, assessment_id: str) -> None:
    """Take an assessment away for good. One that it had replaced counts again.

    Raises:
        NotFound: when the trace has none with this id.
    """
    found = get_assessment(conn, trace_id, assessment_id)
    conn.execute(store.assessments.delete().where(store.assessments.c.id == assessment_id))
    if replaced := found.data.get("overrides"):
        mark_valid(conn, trace_id, replaced, is_valid=True)


def mark_valid(conn: Connection, trace_id: str, assessment_id: str, *, is_valid: bool) -> None:
    """Say whether an assessment counts; False once another one has taken its place."""
    found = get_assessment(conn, trace_id, assessment_id)
    data = {**found.data, "valid": is_valid}
    put_assessment(conn, msgspec.structs.replace(found, is_valid=is_valid, data=data))


def assessments_of(conn: Connection, traces: Sequence[int]) -> dict[int, list[Assessment]]:
    """What was said of some traces (by number), in the order it was said."""
    table = store.assessments
    query = sa.select(table, store.traces.c.id.label("trace_id")).select_from(
        table.join(store.traces, store.traces.c.no == table.c.trace)
    )
    query = query.where(table.c.trace.in_(traces)).order_by(table.c.trace, table.c.created, table.c.id)
    found: dict[int, list[Assessment]] = {}
    for row in conn.execute(query).mappings():
        found.setdefault(row["trace"], []).append(_of_row(row))
    return found


def no_assessment(trace_id: str, assessment_id: str) -> NotFound:
    """The error for an assessment that is not there."""
    return NotFound(
        f"trace {trace_id!r:.80} has no assessment {assessment_id!r:.80}",
        field="assessment_id",
        next_step="get the trace to see its assessments",
    )


def _check(assessment: Assessment) -> None:
    check_key(assessment.name, "assessment")
    if assessment.kind not in _KINDS:
        raise Invalid(
            f"assessment {assessment.name!r:.80} says nothing",
            field="assessment",
            next_step="give it a feedback or an expectation",
        )
    if len(msgspec.json.encode(assessment.data)) > _SIZE_LIMIT:
        raise Invalid(
            f"assessment {assessment.name!r:.80} is too large", field="assessment", next_step="use at most 1 MB"
        )


def _check_owner(conn: Connection, assessment: Assessment, trace: int) -> None:
    table = store.assessments
    owner = conn.execute(sa.select(table.c.trace).where(table.c.id == assessment.id)).scalar()
    if owner not in (None, trace):
        raise Conflict(
            f"assessment {assessment.id!r:.60} is another trace's", field="assessment_id", next_step="leave its id out"
        )


def _of_row(row: sa.RowMapping) -> Assessment:
    values: dict[str, Any] = {key: value for key, value in row.items() if key != "trace"}
    return Assessment(**{**values, "value": msgspec.json.decode(row["value"])})
