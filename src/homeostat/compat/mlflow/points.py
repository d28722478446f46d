"""MLflow's metrics as points of series: the hot path, a thousand of them in a request."""

import math

import msgspec

from homeostat.compat.mlflow.limits import check_name
from homeostat.ground.errors import Invalid
from homeostat.tracking.points import Points, points_of
from homeostat.tracking.types import ModelMetric

_LARGEST_MS = (2**63 - 1) // 1000
_STEP_LIMIT = 2**63
_WORDS = {"nan", "infinity", "-infinity", "inf", "-inf"}


class MetricIn(msgspec.Struct):
    """MLflow's Metric as it comes in. A value may be text: proto JSON says NaN so, and may say numbers so."""

    key: str = ""
    value: float | str | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


def series_of(metrics: list[MetricIn]) -> dict[str, Points]:
    """Points by key.

    Raises:
        Invalid: naming the metric and what is wrong with it.
    """
    gathered: dict[str, tuple[list[int], list[int], list[float]]] = {}
    for place, metric in enumerate(metrics):
        lists = gathered.get(metric.key)
        if lists is None:
            lists = gathered[check_name(metric.key, f"metrics[{place}].key")] = ([], [], [])
        value, at = metric.value, metric.timestamp
        if value.__class__ is not float:
            value = _number(value, place)
        if at is None or not 0 <= at <= _LARGEST_MS or not -_STEP_LIMIT <= metric.step < _STEP_LIMIT:
            raise _bad_moment(metric, place)
        lists[0].append(metric.step)
        lists[1].append(at * 1000)
        lists[2].append(value)
    return {key: points_of(*lists) for key, lists in gathered.items()}


def model_points(metrics: list[MetricIn]) -> dict[str, list[ModelMetric]]:
    """Those that were measured of a logged model, by model."""
    found: dict[str, list[ModelMetric]] = {}
    for place, metric in enumerate(metrics):
        if metric.model_id:
            point = ModelMetric(
                key=metric.key,
                value=_number(metric.value, place),
                at=(metric.timestamp or 0) * 1000,
                step=metric.step,
                dataset_name=metric.dataset_name,
                dataset_digest=metric.dataset_digest,
            )
            found.setdefault(metric.model_id, []).append(point)
    return found


def _number(value: float | str | None, place: int) -> float:
    if value is None:
        raise Invalid(f"Missing value for required parameter 'metrics[{place}].value'", field=f"metrics[{place}].value")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
        value = str(value)
    if isinstance(value, str) and not math.isfinite(number) and value.strip().lower() not in _WORDS:
        raise Invalid(
            f"Invalid value {value!r:.80} for parameter 'metrics[{place}].value' supplied. Please specify value as a "
            "valid double (64-bit floating point)",
            field=f"metrics[{place}].value",
            next_step="log text with params or tags",
        )
    return number


def _bad_moment(metric: MetricIn, place: int) -> Invalid:
    if metric.timestamp is None:
        name = f"metrics[{place}].timestamp"
        return Invalid(f"Missing value for required parameter '{name}'", field=name)
    if not 0 <= metric.timestamp <= _LARGEST_MS:
        name, what, value = "timestamp", "Timestamp must be a nonnegative long (64-bit integer)", metric.timestamp
    else:
        name, what, value = "step", "Step must be a valid long (64-bit integer)", metric.step
    field = f"metrics[{place}].{name}"
    return Invalid(
        f"Invalid value {value} for parameter '{field}' supplied: metric {metric.key!r:.80}. {what}", field=field
    )
