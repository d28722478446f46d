"""A trace as MLflow shows it, in the form of today (v3) and in the one before (v2)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.compat.mlflow.moments import duration, timestamp
from homeostat.compat.mlflow.wire import Tag
from homeostat.ground.errors import Invalid
from homeostat.tracking.types import Trace, TraceState

_STATES: dict[TraceState, str] = {
    "unspecified": "STATE_UNSPECIFIED",
    "ok": "OK",
    "error": "ERROR",
    "in_progress": "IN_PROGRESS",
}
_FROM_STATE: dict[str, TraceState] = {word: state for state, word in _STATES.items()} | {
    "TRACE_STATUS_UNSPECIFIED": "unspecified"
}


def trace_info(trace: Trace) -> dict[str, Any]:
    """MLflow's TraceInfoV3."""
    info: dict[str, Any] = {
        "trace_id": trace.id,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": str(trace.project_id)},
        },
        "request_time": timestamp(trace.requested),
        "state": _STATES[trace.state],
        "trace_metadata": trace.metadata,
        "tags": {**trace.tags, "mlflow.artifactLocation": artifact_uri(trace)},
    }
    if trace.duration is not None:
        info["execution_duration"] = duration(trace.duration)
    for name in ("client_request_id", "request_preview", "response_preview"):
        if (text := getattr(trace, name)) is not None:
            info[name] = text
    if trace.assessments:
        info["assessments"] = [item.data for item in trace.assessments]
    return info


def trace_info_v2(trace: Trace) -> dict[str, Any]:
    """MLflow's TraceInfo, for clients before MLflow 3."""
    info: dict[str, Any] = {
        "request_id": trace.id,
        "experiment_id": str(trace.project_id),
        "timestamp_ms": trace.requested // 1000,
        "status": "TRACE_STATUS_UNSPECIFIED" if trace.state == "unspecified" else _STATES[trace.state],
        "request_metadata": [Tag(key, value) for key, value in trace.metadata.items()],
        "tags": [
            Tag(key, value) for key, value in (trace.tags | {"mlflow.artifactLocation": artifact_uri(trace)}).items()
        ],
    }
    if trace.duration is not None:
        info["execution_time_ms"] = trace.duration // 1000
    return info


def trace_with_spans(trace: Trace, spans: Sequence[str]) -> dict[str, Any]:
    """MLflow's Trace; spans are JSON already."""
    return {"trace_info": trace_info(trace), "spans": [msgspec.Raw(span.encode()) for span in spans]}


def artifact_uri(trace: Trace) -> str:
    """Where its files are, in MLflow's words."""
    return f"mlflow-artifacts:/{trace.project_id}/traces/{trace.id}/artifacts"


def state_of(word: str | int) -> TraceState:
    """Our state for MLflow's word or number.

    Raises:
        Invalid: listing the words.
    """
    text = str(word)
    if text in ("0", "1", "2", "3"):
        return list(_STATES)[int(text)]
    if text in _FROM_STATE:
        return _FROM_STATE[text]
    raise Invalid(
        f"Invalid value {text!r:.80} for parameter 'state' supplied",
        field="state",
        next_step=f"use {', '.join(_STATES.values())}",
    )
