"""A logged model as MLflow shows it."""

from typing import Any

from homeostat.compat.mlflow.run_view import spoken
from homeostat.compat.mlflow.wire import Tag
from homeostat.ground.errors import Invalid
from homeostat.tracking.types import LoggedModel, ModelMetric, ModelStatus

_STATUS: dict[ModelStatus, str] = {
    "pending": "LOGGED_MODEL_PENDING",
    "ready": "LOGGED_MODEL_READY",
    "upload_failed": "LOGGED_MODEL_UPLOAD_FAILED",
}
_FROM_STATUS: dict[str, ModelStatus] = {word: status for status, word in _STATUS.items()}
_NUMBERS = {str(number): word for number, word in enumerate(_STATUS.values(), start=1)}
"""Proto enums travel as words or as numbers."""


def model_view(model: LoggedModel) -> dict[str, Any]:
    """MLflow's LoggedModel: info and data."""
    info: dict[str, Any] = {
        "model_id": model.id,
        "experiment_id": str(model.project_id),
        "name": model.name,
        "creation_timestamp_ms": model.created // 1000,
        "last_updated_timestamp_ms": model.updated // 1000,
        "artifact_uri": artifact_uri(model),
        "status": _STATUS[model.status],
        "model_type": model.model_type,
        "source_run_id": model.source_run or "",
    }
    if model.message:
        info["status_message"] = model.message
    if model.tags:
        info["tags"] = [Tag(key, value) for key, value in model.tags.items()]
    data: dict[str, Any] = {}
    if model.params:
        data["params"] = [Tag(key, value) for key, value in model.params.items()]
    if model.metrics:
        data["metrics"] = [_metric_view(model.id, metric) for metric in model.metrics]
    return {"info": info, "data": data}


def artifact_uri(model: LoggedModel) -> str:
    """Where its files are, in MLflow's words."""
    return f"mlflow-artifacts:/{model.project_id}/models/{model.id}/artifacts"


def model_status(word: str | int | None) -> ModelStatus:
    """Our status for MLflow's word or number.

    Raises:
        Invalid: listing the words.
    """
    text = _NUMBERS.get(str(word), str(word))
    if text in _FROM_STATUS:
        return _FROM_STATUS[text]
    raise Invalid(
        f"Invalid value {text!r:.80} for parameter 'status' supplied",
        field="status",
        next_step=f"use {', '.join(_FROM_STATUS)}",
    )


def _metric_view(model_id: str, metric: ModelMetric) -> dict[str, Any]:
    view: dict[str, Any] = {
        "key": metric.key,
        "value": spoken(metric.value),
        "timestamp": metric.at // 1000,
        "step": metric.step,
        "model_id": model_id,
        "run_id": metric.run_id,
    }
    if metric.dataset_name:
        view |= {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return view
