"""A run as MLflow shows it."""

import math
from typing import Any

import msgspec

from homeostat.compat.mlflow.links import NO_LINKS, Links
from homeostat.compat.mlflow.wire import Tag
from homeostat.ground.errors import Invalid
from homeostat.tracking.types import DatasetInput, FoundRun, Metric, Run, Status

RUN_NAME = "mlflow.runName"
PARENT = "mlflow.parentRunId"

_STATUS: dict[Status, str] = {
    "running": "RUNNING",
    "scheduled": "SCHEDULED",
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
_FROM_STATUS: dict[str, Status] = {word: status for status, word in _STATUS.items()}
_NUMBERS = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
"""Proto enums travel as words or as numbers, from 1."""
_LARGEST_MS = (2**63 - 1) // 1000


class RunInfo(msgspec.Struct, omit_defaults=True):
    """MLflow's RunInfo; times are milliseconds."""

    run_uuid: str
    run_id: str
    experiment_id: str
    run_name: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | None = None


class WireMetric(msgspec.Struct):
    """MLflow's Metric; a value that JSON has no number for travels as text, as in proto JSON."""

    key: str
    value: float | str
    timestamp: int
    step: int


def run_info(run: Run) -> RunInfo:
    """MLflow's RunInfo."""
    return RunInfo(
        run_uuid=run.id,
        run_id=run.id,
        experiment_id=str(run.project_id),
        run_name=run.name,
        user_id=run.actor,
        status=_STATUS[run.status],
        start_time=run.started // 1000,
        artifact_uri=f"mlflow-artifacts:/{run.project_id}/{run.id}/artifacts",
        lifecycle_stage="active" if run.deleted is None else "deleted",
        end_time=None if run.ended is None else run.ended // 1000,
    )


def run_view(found: FoundRun, links: Links = NO_LINKS) -> dict[str, Any]:
    """MLflow's Run: info, data, inputs, outputs."""
    data: dict[str, Any] = {}
    if found.metrics:
        data["metrics"] = [metric_view(metric) for metric in found.metrics]
    if found.params:
        data["params"] = [Tag(key, value) for key, value in found.params.items()]
    if found.tags:
        data["tags"] = [Tag(key, value) for key, value in found.tags.items()]
    view: dict[str, Any] = {"info": run_info(found.run), "data": data, "inputs": {}}
    if links.datasets:
        view["inputs"]["dataset_inputs"] = [dataset_view(item) for item in links.datasets]
    if links.read:
        view["inputs"]["model_inputs"] = [{"model_id": model.model_id} for model in links.read]
    if links.made:
        view["outputs"] = {"model_outputs": [{"model_id": item.model_id, "step": item.step} for item in links.made]}
    return view


def metric_view(metric: Metric) -> WireMetric:
    """MLflow's Metric: the last point."""
    return WireMetric(metric.key, spoken(metric.last), metric.last_at // 1000, metric.last_step)


def dataset_view(item: DatasetInput) -> dict[str, Any]:
    """MLflow's DatasetInput."""
    dataset = {"name": item.name, "digest": item.digest, "source_type": item.source_type, "source": item.source}
    dataset |= {name: value for name, value in (("schema", item.schema), ("profile", item.profile)) if value}
    return {"tags": [Tag(key, value) for key, value in item.tags.items()], "dataset": dataset}


def spoken(value: float) -> float | str:
    """A number, or its name where JSON has no number for it.

    >>> spoken(0.5), spoken(float("-inf"))
    (0.5, '-Infinity')
    """
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def status_of(word: str | int) -> Status:
    """Our status for MLflow's word or number.

    Raises:
        Invalid: listing the words.
    """
    text = str(word)
    if text.isdecimal() and 1 <= int(text) <= len(_NUMBERS):
        text = _NUMBERS[int(text) - 1]
    if text in _FROM_STATUS:
        return _FROM_STATUS[text]
    raise Invalid(
        f"Invalid value {text!r:.80} for parameter 'status' supplied",
        field="status",
        next_step=f"use {', '.join(_NUMBERS)}",
    )


def microseconds(milliseconds: int, field: str) -> int:
    """Our time for MLflow's.

    Raises:
        Invalid: when it is negative or beyond 64 bits.
    """
    if 0 <= milliseconds <= _LARGEST_MS:
        return milliseconds * 1000
    raise Invalid(
        f"Invalid value {milliseconds} for parameter '{field}' supplied: it must be a nonnegative time in milliseconds",
        field=field,
        next_step="send milliseconds since 1970",
    )
