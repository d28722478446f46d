"""Histories of metrics: paged for programs, several runs at once for pages."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import check_run_id
from homeostat.compat.mlflow.paging import mark_of, read_token, write_token
from homeostat.compat.mlflow.reach import reachable_run
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.run_view import WireMetric, spoken
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking.history import thinned
from homeostat.tracking.points import Points
from homeostat.tracking.series import read_series

_LARGEST_PAGE = 25_000
_RUNS_AT_ONCE = 100
_POINTS_A_RUN = 2500
"""Of get-history-bulk-interval, as MLflow has it."""


class GetHistory(msgspec.Struct):
    """metrics/get-history."""

    run_id: str | None = None
    run_uuid: str | None = None
    metric_key: str = ""
    page_token: str = ""
    max_results: int | None = None


class GetBulk(msgspec.Struct):
    """metrics/get-history-bulk."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: int = _LARGEST_PAGE


class GetInterval(msgspec.Struct):
    """metrics/get-history-bulk-interval."""

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = _POINTS_A_RUN


class OfRun(msgspec.Struct):
    """A point beside the run it belongs to."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


def get_history(context: Context, body: GetHistory) -> dict[str, Any]:
    """A series, whole or a page of it."""
    run_id, key = check_run_id(body.run_id, body.run_uuid), require(body.metric_key, "metric_key")
    if body.max_results is not None and body.max_results <= 0:
        raise Invalid(
            f"Invalid value {body.max_results} for parameter 'max_results' supplied. It must be a positive integer",
            field="max_results",
        )
    mark = mark_of(run_id, key)
    start = read_token(body.page_token, mark)
    with context.database.read() as conn:
        points = _series(context, conn, run_id, key)
    # Without a limit everything is sent, as MLflow does.
    end = len(points) if body.max_results is None else start + min(body.max_results, _LARGEST_PAGE)
    reply: dict[str, Any] = {}
    if start < len(points):
        reply["metrics"] = [WireMetric(key, *point) for point in _rows(points, slice(start, end))]
    if end < len(points):
        reply["next_page_token"] = write_token(mark, end)
    return reply


def get_bulk(context: Context, body: GetBulk) -> dict[str, Any]:
    """The same metric of several runs."""
    run_ids, key = _several(body.run_id, "run_id"), require(body.metric_key, "metric_key")
    most = max(0, min(body.max_results, _LARGEST_PAGE))
    found: list[OfRun] = []
    with context.database.read() as conn:
        for run_id in sorted(run_ids):
            points = _series(context, conn, run_id, key)
            found += [OfRun(key, *point, run_id) for point in _rows(points, slice(0, most - len(found)))]
    return {"metrics": found}


def get_interval(context: Context, body: GetInterval) -> dict[str, Any]:
    """The same metric of several runs, thinned out between two steps."""
    run_ids, key = _several(body.run_ids, "run_ids"), require(body.metric_key, "metric_key")
    if not 1 <= body.max_results <= _POINTS_A_RUN:
        raise Invalid(f"max_results must be between 1 and {_POINTS_A_RUN}", field="max_results")
    _check_interval(body.start_step, body.end_step)
    found: list[OfRun] = []
    with context.database.read() as conn:
        for run_id in run_ids:
            points = _between(_series(context, conn, run_id, key), body.start_step, body.end_step)
            kept = thinned(points.values, body.max_results) if body.max_results > 1 else np.arange(len(points))[-1:]
            found += [OfRun(key, *point, run_id) for point in _rows(points, kept)]
    return {"metrics": found} if found else {}


def _series(context: Context, conn: Connection, run_id: str, key: str) -> Points:
    """A run's series; an empty one when it never logged this metric, as MLflow answers."""
    reachable_run(context, conn, run_id)
    try:
        return read_series(conn, run_id, key)
    except NotFound:
        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def _rows(points: Points, kept: Any) -> Sequence[tuple[float | str, int, int]]:
    """Value, milliseconds and step of some points."""
    values = points.values[kept]
    numbers: list[float | str] = values.tolist()
    for place in np.flatnonzero(~np.isfinite(values)).tolist():
        numbers[place] = spoken(values[place])
    times = points.at[kept] // 1000
    return list(zip(numbers, times.tolist(), points.steps[kept].tolist(), strict=True))


def _several(run_ids: list[str], field: str) -> list[str]:
    if not 0 < len(run_ids) <= _RUNS_AT_ONCE:
        raise Invalid(
            f"the request must specify 1 to {_RUNS_AT_ONCE} run ids. Received {len(run_ids)}",
            field=field,
            next_step="ask for fewer at once",
        )
    return [check_run_id(run_id) for run_id in run_ids]


def _check_interval(start: int | None, end: int | None) -> None:
    if (start is None) != (end is None):
        raise Invalid("If either start step or end step are specified, both must be specified", field="start_step")
    if start is not None and end is not None and start > end:
        raise Invalid(
            f"end_step must be greater than start_step. Found start_step={start} and end_step={end}", field="end_step"
        )


def _between(points: Points, start: int | None, end: int | None) -> Points:
    if start is None or end is None:
        return points
    first = np.searchsorted(points.steps, start, side="left")
    last = np.searchsorted(points.steps, end, side="right")
    kept = slice(int(first), int(last))
    return Points(points.steps[kept], points.at[kept], points.values[kept])


ROUTES = [
    Route(("GET",), "/mlflow/metrics/get-history", GetHistory, get_history, "read"),
    Route(("GET",), "/mlflow/metrics/get-history-bulk", GetBulk, get_bulk, "read"),
    Route(("GET",), "/mlflow/metrics/get-history-bulk-interval", GetInterval, get_interval, "read"),
]
