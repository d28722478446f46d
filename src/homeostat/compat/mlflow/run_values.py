"""What runs log at MLflow's: metrics, params, tags, one by one and in batches.

A batch is written whole or not at all. (MLflow's own server may leave half of it.)
"""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import (
    KEY,
    PARAM_VALUE,
    TAG_VALUE,
    check_batch,
    check_length,
    check_name,
    check_run_id,
    check_unique,
    truncated,
)
from homeostat.compat.mlflow.points import MetricIn, model_points, series_of
from homeostat.compat.mlflow.reach import actor_of, check_reach
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.run_view import PARENT, RUN_NAME
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.errors import Conflict, Invalid
from homeostat.tracking import runs
from homeostat.tracking.model_metrics import log_model_metrics
from homeostat.tracking.series import log_series


class LogMetric(msgspec.Struct):
    """runs/log-metric."""

    run_id: str | None = None
    run_uuid: str | None = None
    key: str = ""
    value: float | str | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogParam(msgspec.Struct):
    """runs/log-parameter, set-tag, delete-tag."""

    run_id: str | None = None
    run_uuid: str | None = None
    key: str = ""
    value: str = ""


class LogBatch(msgspec.Struct):
    """runs/log-batch."""

    run_id: str | None = None
    metrics: list[MetricIn] = []
    params: list[Tag] = []
    tags: list[Tag] = []


def log_metric(context: Context, body: LogMetric) -> dict[str, Any]:
    """Add one point."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    require(body.key, "key")
    require(body.value, "value")
    require(body.timestamp, "timestamp")
    metric = MetricIn(
        body.key, body.value, body.timestamp, body.step, body.model_id, body.dataset_name, body.dataset_digest
    )
    with context.database.write() as conn:
        _log_metrics(context, conn, run_id, [metric])
    return {}


def log_batch(context: Context, body: LogBatch) -> dict[str, Any]:
    """Add points, params and tags, all or none."""
    run_id = check_run_id(body.run_id)
    check_batch(len(body.metrics), len(body.params), len(body.tags))
    check_unique([param.key for param in body.params])
    params = {
        check_name(param.key, f"params[{place}].key"): truncated(param.value, PARAM_VALUE)
        for place, param in enumerate(body.params)
    }
    tags = {
        check_name(tag.key, f"tags[{place}].key"): truncated(tag.value, TAG_VALUE)
        for place, tag in enumerate(body.tags)
    }
    with context.database.write() as conn:
        # Even an empty batch finds out whether the run is there.
        _log_metrics(context, conn, run_id, body.metrics)
        if params:
            _log_params(conn, run_id, params)
        if tags:
            _set_tags(context, conn, run_id, tags)
    return {}


def log_param(context: Context, body: LogParam) -> dict[str, Any]:
    """Note one param."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    key = check_name(body.key, "key")
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        _log_params(conn, run_id, {key: truncated(body.value, PARAM_VALUE)})
    return {}


def set_tag(context: Context, body: LogParam) -> dict[str, Any]:
    """Set one tag."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    key = check_name(body.key, "key")
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        _set_tags(context, conn, run_id, {key: truncated(body.value, TAG_VALUE)})
    return {}


def delete_tag(context: Context, body: LogParam) -> dict[str, Any]:
    """Take a tag away."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    key = check_length(require(body.key, "key"), "key", KEY)
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        runs.delete_tag(conn, run_id, key)
    return {}


def _log_metrics(context: Context, conn: Connection, run_id: str, metrics: list[MetricIn]) -> None:
    check_reach(context, conn, run_id)
    log_series(conn, run_id, series_of(metrics))
    of_models = model_points(metrics)
    if of_models:
        log_model_metrics(conn, run_id, of_models)


def _log_params(conn: Connection, run_id: str, params: dict[str, str]) -> None:
    try:
        runs.log_params(conn, run_id, params)
    except Conflict as error:
        if error.field == "run_id":  # it is in the trash
            raise
        raise Invalid(
            f"Changing param values is not allowed: {error.message}", field=error.field, next_step=error.next_step
        ) from error


def _set_tags(context: Context, conn: Connection, run_id: str, tags: dict[str, str]) -> None:
    runs.set_tags(conn, run_id, tags)
    name, parent = tags.get(RUN_NAME), tags.get(PARENT)
    if name or parent:
        parent = parent if parent and len(parent) <= 32 else None
        runs.update_run(conn, run_id, name=name or None, parent=parent, at=context.clock.now(), actor=actor_of(context))


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash

ROUTES = [
    Route(("POST",), "/mlflow/runs/log-metric", LogMetric, log_metric, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/log-parameter", LogParam, log_param, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/log-batch", LogBatch, log_batch, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/set-tag", LogParam, set_tag, "write", conflict=_STATE),
    Route(("POST", "DELETE"), "/mlflow/runs/delete-tag", LogParam, delete_tag, "write", conflict=_STATE),
]
