"""MLflow's traces: recorded, read, found, tagged, deleted."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.assessment_view import assessment_of
from homeostat.compat.mlflow.limits import experiment_number, experiment_numbers, page_size
from homeostat.compat.mlflow.moments import read_duration, read_timestamp
from homeostat.compat.mlflow.reach import check_reach, reachable_project
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.run_view import microseconds
from homeostat.compat.mlflow.trace_reach import reachable_trace, reachable_traces
from homeostat.compat.mlflow.trace_view import state_of, trace_info, trace_with_spans
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.errors import Invalid
from homeostat.tracking import traces
from homeostat.tracking.assessments import put_assessment
from homeostat.tracking.lookup import run_number
from homeostat.tracking.search.traces import search_traces
from homeostat.tracking.spans import spans_of

_PAGE, _LARGEST_PAGE = 100, 500
_BATCH = 1_000
_LINKS = 100
FINALIZED = "mlflow.trace.infoFinalized"
"""Metadata that tells a trace its client has told all of from one that its spans alone speak for."""


class ExperimentIn(msgspec.Struct):
    """The experiment of a location."""

    experiment_id: str = ""


class LocationIn(msgspec.Struct):
    """Where traces are; only experiments are known here."""

    mlflow_experiment: ExperimentIn | None = None


class TraceInfoIn(msgspec.Struct):
    """MLflow's TraceInfoV3 as it comes in."""

    trace_id: str = ""
    trace_location: LocationIn = msgspec.field(default_factory=LocationIn)
    request_time: str = ""
    execution_duration: str | None = None
    state: str | int = "STATE_UNSPECIFIED"
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[dict[str, Any]] = []


class TraceIn(msgspec.Struct):
    """MLflow's Trace as it comes in; its spans come by another way."""

    trace_info: TraceInfoIn = msgspec.field(default_factory=TraceInfoIn)


class StartTrace(msgspec.Struct):
    """POST traces."""

    trace: TraceIn = msgspec.field(default_factory=TraceIn)


class NamedTrace(msgspec.Struct):
    """GET traces/{trace_id}, traces/get."""

    trace_id: str = ""


class SomeTraces(msgspec.Struct):
    """traces/batchGet, traces/batchGetInfos."""

    trace_ids: list[str] = []
    experiment_ids: list[str] = []


class SearchTraces(msgspec.Struct):
    """POST traces/search."""

    locations: list[LocationIn] = []
    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


class TraceTag(msgspec.Struct):
    """PATCH and DELETE traces/{trace_id}/tags; clients before MLflow 3 say request_id."""

    trace_id: str = ""
    request_id: str = ""
    key: str = ""
    value: str = ""


class DeleteTraces(msgspec.Struct):
    """POST traces/delete-traces."""

    experiment_id: str | None = None
    max_timestamp_millis: int | None = None
    max_traces: int | None = None
    request_ids: list[str] = []


class LinkTraces(msgspec.Struct):
    """POST traces/link-to-run."""

    trace_ids: list[str] = []
    run_id: str = ""


def start(context: Context, body: StartTrace) -> dict[str, Any]:
    """A trace as its client knows it, which is called at its end."""
    info = body.trace.trace_info
    number = experiment_of(info.trace_location)
    requested = read_timestamp(require(info.request_time, "trace.trace_info.request_time"), "request_time")
    length = None if info.execution_duration is None else read_duration(info.execution_duration, "execution_duration")
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        trace = traces.record_trace(
            conn,
            require(info.trace_id, "trace.trace_info.trace_id"),
            number,
            requested=requested,
            duration=length,
            state=state_of(info.state),
            client_request_id=info.client_request_id,
            request_preview=info.request_preview,
            response_preview=info.response_preview,
            tags=info.tags,
            metadata=info.trace_metadata | {FINALIZED: "true"},
        )
        for item in info.assessments:
            put_assessment(conn, assessment_of(item, trace_id=trace.id, now=context.clock.now()))
        return {"trace": {"trace_info": trace_info(traces.get_trace(conn, trace.id))}}


def get_info(context: Context, body: NamedTrace) -> dict[str, Any]:
    """A trace without its spans."""
    with context.database.read() as conn:
        return {"trace": {"trace_info": trace_info(reachable_trace(context, conn, body.trace_id))}}


def get(context: Context, body: NamedTrace) -> dict[str, Any]:
    """A trace with its spans."""
    with context.database.read() as conn:
        trace = reachable_trace(context, conn, body.trace_id)
        return {"trace": trace_with_spans(trace, spans_of(conn, [trace.id]).get(trace.id, []))}


def batch_get(context: Context, body: SomeTraces) -> dict[str, Any]:
    """Some traces with their spans; those that are not there are left out."""
    with context.database.read() as conn:
        found = reachable_traces(context, conn, _few(body.trace_ids), experiment_numbers(body.experiment_ids))
        spans = spans_of(conn, [trace.id for trace in found])
    return {"traces": [trace_with_spans(trace, spans.get(trace.id, [])) for trace in found]}


def batch_get_infos(context: Context, body: SomeTraces) -> dict[str, Any]:
    """Some traces without their spans."""
    with context.database.read() as conn:
        found = reachable_traces(context, conn, _few(body.trace_ids), experiment_numbers(body.experiment_ids))
    return {"trace_infos": [trace_info(trace) for trace in found]}


def search(context: Context, body: SearchTraces) -> dict[str, Any]:
    """A page of traces, without their spans."""
    numbers = [experiment_of(location) for location in body.locations]
    if not numbers:
        raise Invalid("Missing value for required parameter 'locations'", field="locations", next_step="name one")
    with context.database.read() as conn:
        for number in numbers:
            reachable_project(context, conn, number)
        page = search_traces(
            conn,
            numbers,
            text=body.filter,
            order_by=body.order_by,
            limit=page_size(body.max_results, default=_PAGE, most=_LARGEST_PAGE),
            page_token=body.page_token or None,
            now=context.clock.now(),
        )
    found = {"traces": [trace_info(trace) for trace in page.traces]} if page.traces else {}
    return found | ({"next_page_token": page.next_token} if page.next_token else {})


def set_tag(context: Context, body: TraceTag) -> dict[str, Any]:
    """One tag."""
    with context.database.write() as conn:
        trace = reachable_trace(context, conn, body.trace_id or body.request_id)
        traces.set_trace_tags(conn, trace.id, {require(body.key, "key"): body.value})
    return {}


def delete_tag(context: Context, body: TraceTag) -> dict[str, Any]:
    """One tag less."""
    with context.database.write() as conn:
        trace = reachable_trace(context, conn, body.trace_id or body.request_id)
        traces.delete_trace_tag(conn, trace.id, require(body.key, "key"))
    return {}


def delete(context: Context, body: DeleteTraces) -> dict[str, Any]:
    """Traces gone for good, by id or by age."""
    number = experiment_number(body.experiment_id)
    _check_deletion(body)
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        if body.request_ids:
            gone = traces.delete_traces(conn, number, body.request_ids)
        else:
            gone = _delete_before(conn, number, body)
    return {"traces_deleted": gone}


def link(context: Context, body: LinkTraces) -> dict[str, Any]:
    """Traces that belong to a run as well."""
    run_id = require(body.run_id, "run_id")
    if len(body.trace_ids) > _LINKS:
        raise Invalid(
            f"Cannot link more than {_LINKS} traces to a run in a single request. Provided: {len(body.trace_ids)}",
            field="trace_ids",
            next_step="send fewer at once",
        )
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        run_number(conn, run_id)
        for trace_id in body.trace_ids:
            reachable_trace(context, conn, trace_id)
        traces.link_traces(conn, run_id, body.trace_ids)
    return {}


def experiment_of(location: LocationIn) -> int:
    """The number of a location's experiment.

    Raises:
        Invalid: when the location is none.
    """
    if location.mlflow_experiment is None:
        raise Invalid(
            "a trace's location must be an experiment", field="trace_location", next_step="send mlflow_experiment"
        )
    return experiment_number(location.mlflow_experiment.experiment_id)


def _few(trace_ids: list[str]) -> list[str]:
    if len(trace_ids) <= _BATCH:
        return trace_ids
    raise Invalid(f"{len(trace_ids)} traces at once", field="trace_ids", next_step=f"ask for at most {_BATCH}")


def _check_deletion(body: DeleteTraces) -> None:
    if body.max_timestamp_millis is None and not body.request_ids:
        raise Invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.", field="request_ids")
    if body.max_timestamp_millis is not None and body.request_ids:
        raise Invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.", field="request_ids")
    if body.request_ids and body.max_traces is not None:
        raise Invalid("`max_traces` can't be specified if `trace_ids` is specified.", field="max_traces")
    if body.max_traces is not None and body.max_traces <= 0:
        raise Invalid(f"`max_traces` must be a positive integer, received {body.max_traces}.", field="max_traces")


def _delete_before(conn: Connection, number: int, body: DeleteTraces) -> int:
    # The last microsecond of that millisecond: traces are kept more finely than they are named here.
    until = microseconds(body.max_timestamp_millis or 0, "max_timestamp_millis") + 999
    return traces.delete_traces_before(conn, number, until=until, limit=body.max_traces)


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash, or another project
_TAGS = "/mlflow/traces/{trace_id}/tags"

ROUTES = [
    Route(("POST",), "/mlflow/traces", StartTrace, start, "write", version="3.0", conflict=_STATE),
    Route(("GET",), "/mlflow/traces/get", NamedTrace, get, "read", version="3.0"),
    Route(("GET",), "/mlflow/traces/batchGet", SomeTraces, batch_get, "read", version="3.0"),
    Route(("GET", "POST"), "/mlflow/traces/batchGetInfos", SomeTraces, batch_get_infos, "read", version="3.0"),
    Route(("POST",), "/mlflow/traces/search", SearchTraces, search, "read", version="3.0"),
    Route(("GET",), "/mlflow/traces/{trace_id}", NamedTrace, get_info, "read", version="3.0"),
    Route(("PATCH",), _TAGS, TraceTag, set_tag, "write", version="3.0"),
    Route(("DELETE",), _TAGS, TraceTag, delete_tag, "write", version="3.0"),
    Route(("PATCH",), _TAGS, TraceTag, set_tag, "write"),
    Route(("DELETE",), _TAGS, TraceTag, delete_tag, "write"),
    # Traces have no trash: what is deleted is gone, which is an admin's to decide.
    Route(("POST",), "/mlflow/traces/delete-traces", DeleteTraces, delete, "admin", version="3.0"),
    Route(("POST",), "/mlflow/traces/delete-traces", DeleteTraces, delete, "admin"),
    Route(("POST",), "/mlflow/traces/link-to-run", LinkTraces, link, "write"),
]
