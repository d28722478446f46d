"""Traces: recording, reading, tagging, deleting. What happened inside one is its spans."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.dialect import insert_new
from homeostat.tracking import store
from homeostat.tracking.assessments import assessments_of
from homeostat.tracking.owned import checked_texts, delete_text, set_texts, texts_of
from homeostat.tracking.projects import get_project, require_active
from homeostat.tracking.types import Trace, TraceState
from homeostat.tracking.values import storable

KEY_LIMIT = 250
VALUE_LIMIT = 8_000
PREVIEW_LIMIT = 1_000
_ID_LIMIT = 50
_STATES = ("unspecified", "ok", "error", "in_progress")
_AT_ONCE = 1_000

COLUMNS = [
    *(
        store.traces.c[name]
        for name in (
            *("no", "id", "requested", "duration", "state"),
            *("client_request_id", "request_preview", "response_preview"),
        )
    ),
    store.traces.c.project.label("project_id"),
    store.projects.c.name.label("project"),
]
JOINED = store.traces.join(store.projects, store.projects.c.id == store.traces.c.project)


def record_trace(
    conn: Connection,
    trace_id: str,
    project_id: int,
    *,
    requested: int,
    duration: int | None = None,
    state: TraceState = "in_progress",
    client_request_id: str | None = None,
    request_preview: str | None = None,
    response_preview: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Trace:
    """Record a trace, or complete what is known of it: its spans may have come first.

    Raises:
        NotFound: when there is no such project.
        Conflict: when the project is in the trash, or the trace belongs to another one.
        Invalid: when the id, the state, a tag or a metadata value is not usable.
    """
    require_active(get_project(conn, project_id))
    row = {
        "id": _checked_id(trace_id),
        "project": project_id,
        "requested": requested,
        "duration": duration,
        "state": _checked_state(state),
        "client_request_id": storable(client_request_id)[:KEY_LIMIT] if client_request_id else None,
        "request_preview": _preview(request_preview),
        "response_preview": _preview(response_preview),
    }
    if not insert_new(conn, store.traces, [row]):
        _complete(conn, row)
    number, _ = find_trace(conn, trace_id)
    set_texts(conn, store.trace_tags, number, project_id, checked_trace_tags(tags or {}))
    set_texts(conn, store.trace_metadata, number, project_id, _checked_metadata(metadata or {}))
    return get_trace(conn, trace_id)


def get_trace(conn: Connection, trace_id: str) -> Trace:
    """A trace without its spans.

    Raises:
        NotFound: when there is none.
    """
    number, _ = find_trace(conn, trace_id)
    return traces_of(conn, [number])[0]


def get_traces(conn: Connection, trace_ids: Sequence[str]) -> list[Trace]:
    """Those of these traces that are there, in the order asked for."""
    table = store.traces
    known: dict[str, int] = {}
    for start in range(0, len(trace_ids), _AT_ONCE):
        query = sa.select(table.c.id, table.c.no).where(table.c.id.in_(trace_ids[start : start + _AT_ONCE]))
        known |= {row.id: row.no for row in conn.execute(query)}
    return traces_of(conn, [known[one] for one in dict.fromkeys(trace_ids) if one in known])


def set_trace_tags(conn: Connection, trace_id: str, tags: Mapping[str, str]) -> None:
    """Set tags.

    Raises:
        NotFound: when there is no such trace.
        Invalid: when a key has more than 250 or a value more than 8000 characters.
    """
    number, project = find_trace(conn, trace_id)
    set_texts(conn, store.trace_tags, number, project, checked_trace_tags(tags))


def delete_trace_tag(conn: Connection, trace_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the trace has no such tag.
    """
    number, _ = find_trace(conn, trace_id)
    if not delete_text(conn, store.trace_tags, number, key):
        raise NotFound(f"trace {trace_id} has no tag {key!r:.80}", field="key", next_step="list its tags")


def delete_traces(conn: Connection, project_id: int, trace_ids: Sequence[str]) -> int:
    """Delete these traces of a project for good, with spans, files and what was said of them; says how many went."""
    table = store.traces
    gone = 0
    for start in range(0, len(trace_ids), _AT_ONCE):
        query = sa.select(table.c.no, table.c.id).where(table.c.project == project_id)
        gone += _delete(conn, conn.execute(query.where(table.c.id.in_(trace_ids[start : start + _AT_ONCE]))).all())
    return gone


def delete_traces_before(conn: Connection, project_id: int, *, until: int, limit: int | None = None) -> int:
    """Delete a project's traces up to a moment for good, oldest first; says how many went."""
    table = store.traces
    query = sa.select(table.c.no, table.c.id).where(table.c.project == project_id, table.c.requested <= until)
    query = query.order_by(table.c.requested, table.c.no).limit(limit)
    found = conn.execute(query).all()
    return sum(_delete(conn, found[start : start + _AT_ONCE]) for start in range(0, len(found), _AT_ONCE))


def link_traces(conn: Connection, run_id: str, trace_ids: Sequence[str]) -> None:
    """Note that these traces belong to a run as well.

    Raises:
        NotFound: when one of the traces is not there.
    """
    rows = [{"run": run_id, "trace": find_trace(conn, one)[0]} for one in dict.fromkeys(trace_ids)]
    insert_new(conn, store.run_traces, rows)


def find_trace(conn: Connection, trace_id: str) -> tuple[int, int]:
    """A trace's number and its project's.

    Raises:
        NotFound: when there is no such trace.
    """
    table = store.traces
    row = conn.execute(sa.select(table.c.no, table.c.project).where(table.c.id == trace_id)).first()
    if row is None:
        raise NotFound(f"there is no trace {trace_id!r:.80}", field="trace_id", next_step="search for traces")
    return row.no, row.project


def traces_of(conn: Connection, numbers: Sequence[int]) -> list[Trace]:
    """The traces with these numbers, in their order, without their spans."""
    rows = conn.execute(sa.select(*COLUMNS).select_from(JOINED).where(store.traces.c.no.in_(numbers))).mappings()
    found = {row["no"]: Trace(**{key: value for key, value in row.items() if key != "no"}) for row in rows}
    tags, metadata = (texts_of(conn, table, numbers) for table in (store.trace_tags, store.trace_metadata))
    said = assessments_of(conn, numbers)
    return [
        msgspec.structs.replace(
            found[number],
            tags=tags.get(number, {}),
            metadata=metadata.get(number, {}),
            assessments=said.get(number, []),
        )
        for number in numbers
        if number in found
    ]


def checked_trace_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags` if a trace can have them."""
    return checked_texts(tags, "tag", key_limit=KEY_LIMIT, value_limit=VALUE_LIMIT)


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    return checked_texts(metadata, "metadata", key_limit=KEY_LIMIT, value_limit=VALUE_LIMIT)


def _complete(conn: Connection, row: Mapping[str, Any]) -> None:
    known = get_trace(conn, row["id"])
    if known.project_id != row["project"]:
        raise Conflict(
            f"trace {row['id']} belongs to project {known.project!r:.80}",
            field="trace_id",
            next_step="send it to that project, or give the trace another id",
        )
    values = {key: value for key, value in row.items() if key not in ("id", "project") and value is not None}
    conn.execute(store.traces.update().where(store.traces.c.id == row["id"]).values(**values))


def _delete(conn: Connection, found: Sequence[Any]) -> int:
    numbers = [row.no for row in found]
    owned = (store.trace_tags, store.trace_metadata, store.spans, store.assessments, store.run_traces)
    for table in owned:
        conn.execute(table.delete().where(table.c.trace.in_(numbers)))
    conn.execute(store.artifacts.delete().where(store.artifacts.c.owner.in_([row.id for row in found])))
    return conn.execute(store.traces.delete().where(store.traces.c.no.in_(numbers))).rowcount


def _checked_id(trace_id: str) -> str:
    if 0 < len(trace_id) <= _ID_LIMIT and trace_id.isprintable() and not set(trace_id) & set("/\\ ?#"):
        return trace_id
    raise Invalid(f"trace id {trace_id!r:.80} is not usable", field="trace_id", next_step="use tr- and 32 hex letters")


def _checked_state(state: TraceState) -> TraceState:
    if state in _STATES:
        return state
    raise Invalid(f"{state!r:.40} is no state of a trace", field="state", next_step=f"use one of {', '.join(_STATES)}")


def _preview(text: str | None) -> str | None:
    return None if text is None else storable(text)[:PREVIEW_LIMIT]
