"""Traces as clients before MLflow 3 speak of them: begun with one call, ended with another."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.limits import experiment_number, experiment_numbers, page_size
from homeostat.compat.mlflow.reach import reachable_project
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.run_view import microseconds
from homeostat.compat.mlflow.trace_reach import reachable_trace
from homeostat.compat.mlflow.trace_view import state_of, trace_info_v2
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.ids import new_id
from homeostat.tracking import traces
from homeostat.tracking.search.traces import search_traces

_PAGE, _LARGEST_PAGE = 100, 500


class StartTrace(msgspec.Struct):
    """POST traces."""

    experiment_id: str | None = None
    timestamp_ms: int | None = None
    request_metadata: list[Tag] = []
    tags: list[Tag] = []


class EndTrace(msgspec.Struct):
    """PATCH traces/{request_id}."""

    request_id: str = ""
    timestamp_ms: int | None = None
    status: str | int = "TRACE_STATUS_UNSPECIFIED"
    request_metadata: list[Tag] = []
    tags: list[Tag] = []


class NamedTrace(msgspec.Struct):
    """GET traces/{request_id}/info."""

    request_id: str = ""


class SearchTraces(msgspec.Struct):
    """GET traces."""

    experiment_ids: list[str] = []
    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


def start(context: Context, body: StartTrace) -> dict[str, Any]:
    """A trace that has begun."""
    number = experiment_number(body.experiment_id)
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        trace = traces.record_trace(
            conn,
            f"tr-{new_id()}",
            number,
            requested=microseconds(require(body.timestamp_ms, "timestamp_ms"), "timestamp_ms"),
            tags=_texts(body.tags),
            metadata=_texts(body.request_metadata),
        )
    return {"trace_info": trace_info_v2(trace)}


def end(context: Context, body: EndTrace) -> dict[str, Any]:
    """How it ended."""
    ended = microseconds(require(body.timestamp_ms, "timestamp_ms"), "timestamp_ms")
    with context.database.write() as conn:
        begun = reachable_trace(context, conn, body.request_id)
        trace = traces.record_trace(
            conn,
            begun.id,
            begun.project_id,
            requested=begun.requested,
            duration=ended - begun.requested,
            state=state_of(body.status),
            tags=_texts(body.tags),
            metadata=_texts(body.request_metadata),
        )
    return {"trace_info": trace_info_v2(trace)}


def get_info(context: Context, body: NamedTrace) -> dict[str, Any]:
    """A trace without its spans."""
    with context.database.read() as conn:
        return {"trace_info": trace_info_v2(reachable_trace(context, conn, body.request_id))}


def search(context: Context, body: SearchTraces) -> dict[str, Any]:
    """A page of traces."""
    numbers = experiment_numbers(body.experiment_ids)
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
    found = {"traces": [trace_info_v2(trace) for trace in page.traces]} if page.traces else {}
    return found | ({"next_page_token": page.next_token} if page.next_token else {})


def _texts(items: list[Tag]) -> dict[str, str]:
    return {item.key: item.value for item in items}


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash

ROUTES = [
    Route(("POST",), "/mlflow/traces", StartTrace, start, "write", conflict=_STATE),
    Route(("GET",), "/mlflow/traces", SearchTraces, search, "read"),
    Route(("PATCH",), "/mlflow/traces/{request_id}", EndTrace, end, "write", conflict=_STATE),
    Route(("GET",), "/mlflow/traces/{request_id}/info", NamedTrace, get_info, "read"),
]
