"""Spans: what happened inside traces. They may come before their trace is recorded, in any order, and again."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict
from homeostat.store.dialect import insert_new, upsert
from homeostat.tracking import store
from homeostat.tracking.owned import set_texts, texts_of
from homeostat.tracking.projects import get_project, require_active
from homeostat.tracking.traces import PREVIEW_LIMIT, VALUE_LIMIT
from homeostat.tracking.types import Span
from homeostat.tracking.values import storable

NAME_TAG = "mlflow.traceName"
STORED_TAG = "mlflow.trace.spansLocation"
STORED_HERE = "TRACKING_STORE"
"""Clients read spans from the server when this tag says so, else from the trace's file."""
_FIELDS = ("parent", "name", "type", "status", "started", "ended", "data")


def log_spans(
    conn: Connection,
    project_id: int,
    spans: Mapping[str, Sequence[Span]],
    *,
    previews: Mapping[str, tuple[str | None, str | None]],
) -> None:
    """Store spans by trace id; a trace that is not there yet is made from them. The same span again replaces itself.

    `previews`: a trace's request and response as its first span shows them, for traces that nobody records.

    Raises:
        NotFound: when there is no such project.
        Conflict: when the project is in the trash, or a trace belongs to another one.
    """
    require_active(get_project(conn, project_id))
    insert_new(conn, store.traces, [_trace_row(one, project_id, spans[one], previews.get(one)) for one in spans])
    table = store.traces
    known = conn.execute(sa.select(table.c.no, table.c.id, table.c.project).where(table.c.id.in_(list(spans)))).all()
    for row in known:
        if row.project != project_id:
            raise Conflict(
                f"trace {row.id} belongs to another project", field="trace_id", next_step="send it to that project"
            )
    # By id: one statement may not meet the same row twice on PostgreSQL.
    rows = {(row.no, span.id): _span_row(row.no, span) for row in known for span in spans[row.id]}
    upsert(conn, store.spans, list(rows.values()), key=["trace", "id"], update=_FIELDS)
    for row in known:
        _describe(conn, row.no, project_id, spans[row.id], previews.get(row.id))


def spans_of(conn: Connection, trace_ids: Sequence[str]) -> dict[str, list[str]]:
    """The spans of some traces as the JSON they were stored as, in the order they began."""
    table, traces = store.spans, store.traces
    query = (
        sa.select(traces.c.id, table.c.data)
        .select_from(table.join(traces, traces.c.no == table.c.trace))
        .where(traces.c.id.in_(trace_ids))
        .order_by(table.c.trace, table.c.started, table.c.id)
    )
    found: dict[str, list[str]] = {}
    for trace_id, data in conn.execute(query):
        found.setdefault(trace_id, []).append(data)
    return found


def _trace_row(
    trace_id: str, project_id: int, spans: Sequence[Span], preview: tuple[str | None, str | None] | None
) -> dict[str, Any]:
    root = _root(spans)
    ends = [span.ended for span in spans if span.ended is not None]
    requested, duration = _times(min(span.started for span in spans), max(ends, default=None))
    request, response = _shortened(preview)
    return {
        "id": trace_id,
        "project": project_id,
        "requested": requested,
        "duration": duration,
        "state": _state(root),
        "client_request_id": None,
        "request_preview": request,
        "response_preview": response,
    }


def _span_row(trace: int, span: Span) -> dict[str, Any]:
    return {
        "trace": trace,
        "id": span.id,
        "parent": span.parent,
        "name": storable(span.name),
        "type": storable(span.type),
        "status": span.status,
        "started": span.started,
        "ended": span.ended,
        "data": storable(span.data),
    }


def _describe(
    conn: Connection, trace: int, project_id: int, spans: Sequence[Span], preview: tuple[str | None, str | None] | None
) -> None:
    root = _root(spans)
    known = texts_of(conn, store.trace_tags, [trace]).get(trace, {})
    tags = {STORED_TAG: STORED_HERE}
    if root is not None and NAME_TAG not in known:
        tags[NAME_TAG] = storable(root.name)[:VALUE_LIMIT]
    set_texts(conn, store.trace_tags, trace, project_id, tags)
    if root is not None:
        table = store.traces
        running = sa.and_(table.c.no == trace, table.c.state == "in_progress")
        request, response = _shortened(preview)
        shown = {
            "request_preview": sa.func.coalesce(table.c.request_preview, request),
            "response_preview": sa.func.coalesce(table.c.response_preview, response),
        }
        conn.execute(table.update().where(running).values(**_ending(root), **shown))


def _shortened(preview: tuple[str | None, str | None] | None) -> list[str | None]:
    return [None if text is None else storable(text)[:PREVIEW_LIMIT] for text in preview or (None, None)]


def _ending(root: Span) -> dict[str, Any]:
    requested, duration = _times(root.started, root.ended)
    return {"state": _state(root), "requested": requested, "duration": duration}


def _times(started: int, ended: int | None) -> tuple[int, int | None]:
    """Microseconds of nanoseconds, but whole milliseconds: what clients send of a trace, and compare it with."""
    requested = started // 1_000_000 * 1000
    return requested, None if ended is None else ended // 1_000_000 * 1000 - requested


def _root(spans: Sequence[Span]) -> Span | None:
    return next((span for span in spans if span.parent is None), None)


def _state(root: Span | None) -> str:
    if root is None or root.ended is None:
        return "in_progress"
    return "error" if root.status == "ERROR" else "ok"
