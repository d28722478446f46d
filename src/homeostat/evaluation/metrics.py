"""Metrics in numpy, each checked against scikit-learn in the tests.

Binary: y is 0 or 1, the score is the probability of 1; a row counts as positive when its score is over 0.5.
Regression: y and score are values. A metric that is not defined for the rows gives None, and `why_undefined` says why.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.evaluation.types import Values
from homeostat.ground.errors import Invalid

Array = NDArray[np.float64]

_TINY = float(np.finfo(np.float64).eps)  # scikit-learn's clip for log_loss, and its floor for mape


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of one task."""

    name: str
    task: str
    greater_is_better: bool
    function: Callable[[Array, Array], float]
    row_loss: Callable[[Array, Array], Array] | None = None
    """Loss of each row, smaller is better; None when the metric does not split into rows."""
    root: bool = False
    """The metric is the square root of the rows' mean loss."""
    undefined: Callable[[Array, Array], str] | None = None
    """Why these rows have no value; empty when they have one."""


def compute(task: str, y: ArrayLike, score: ArrayLike, names: Sequence[str] | None = None) -> Values:
    """The task's metrics (or the named ones) of these rows; None where one is not defined.

    >>> compute("binary", [0, 1, 1, 0], [0.1, 0.8, 0.4, 0.4], ["roc_auc", "accuracy"])
    {'roc_auc': 0.875, 'accuracy': 0.75}
    """
    truth, answer = as_rows(y, score)
    return {metric.name: value_of(metric, truth, answer) for metric in chosen(task, names)}


def why_undefined(task: str, y: ArrayLike, score: ArrayLike, names: Sequence[str] | None = None) -> dict[str, str]:
    """For each metric without a value on these rows, the reason.

    >>> why_undefined("binary", [1, 1], [0.3, 0.9], ["roc_auc"])
    {'roc_auc': 'only one class among the labels'}
    """
    truth, answer = as_rows(y, score)
    reasons = {metric.name: _reason(metric, truth, answer) for metric in chosen(task, names)}
    return {name: reason for name, reason in reasons.items() if reason}


def check_metric(name: str, task: str) -> Metric:
    """The metric of that name, if the task has it.

    Raises:
        Invalid: naming the metric; the next step lists those the task has.
    """
    known = metrics_of(task)
    if name in known:
        return known[name]
    raise Invalid(f"a {task} model has no metric {name!r}", field="metric", next_step=f"it has: {', '.join(known)}")


def metrics_of(task: str) -> dict[str, Metric]:
    """The metrics of a task by name."""
    found = {metric.name: metric for metric in METRICS.values() if metric.task == task}
    if not found:
        raise Invalid(f"{task!r} is not a task", field="task", next_step=f"use {' or '.join(PRIMARY)}")
    return found


def chosen(task: str, names: Sequence[str] | None) -> list[Metric]:
    """The named metrics of a task, all of them when no name is given."""
    return list(metrics_of(task).values()) if names is None else [check_metric(name, task) for name in names]


def value_of(metric: Metric, y: Array, score: Array) -> float | None:
    """The metric's value on these rows, None when it is not defined."""
    return None if _reason(metric, y, score) else float(metric.function(y, score))


def as_rows(y: ArrayLike, score: ArrayLike) -> tuple[Array, Array]:
    """Labels and scores as float64 of one length.

    Raises:
        Invalid: when lengths differ or a label is missing.
    """
    truth, answer = np.asarray(y, dtype=np.float64).ravel(), np.asarray(score, dtype=np.float64).ravel()
    if len(truth) != len(answer):
        raise Invalid(
            f"{len(truth)} labels and {len(answer)} scores", field="score", next_step="give one score for each label"
        )
    if not np.isfinite(truth).all():
        raise Invalid("a label is missing or infinite", field="y", next_step="leave rows without a label out")
    return truth, answer


def unusable(task: str, score: Array) -> str:
    """What is wrong with these scores, in words; empty when nothing is.

    >>> unusable("binary", np.array([0.2, np.nan]))
    '1 of 2 scores are NaN or infinite'
    """
    broken = int((~np.isfinite(score)).sum())
    if broken:
        return f"{broken} of {len(score)} scores are NaN or infinite"
    outside = int(((score < 0) | (score > 1)).sum()) if task == "binary" else 0
    return f"{outside} of {len(score)} scores are not probabilities" if outside else ""


def _reason(metric: Metric, y: Array, score: Array) -> str:
    if not len(y):
        return "no rows"
    bad = unusable(metric.task, score)
    return bad or (metric.undefined(y, score) if metric.undefined else "")


# Binary --------------------------------------------------------------------------------------------------------------


def _log_losses(y: Array, score: Array) -> Array:
    p = np.clip(score, _TINY, 1 - _TINY)
    losses: Array = np.where(y == 1, -np.log(p), -np.log1p(-p))
    return losses


def _squares(y: Array, score: Array) -> Array:
    return np.square(score - y)


def _misses(y: Array, score: Array) -> Array:
    missed: Array = ((score > 0.5) != (y == 1)).astype(np.float64)
    return missed


def _roc_auc(y: Array, score: Array) -> float:
    """Mann-Whitney: the share of (positive, negative) pairs in the right order, ties counting half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = float((y == 1).sum())
    negatives = len(y) - positives
    return (float(ranks[y == 1].sum()) - positives * (positives + 1) / 2) / (positives * negatives)


def _average_precision(y: Array, score: Array) -> float:
    """Sum of (R_n - R_n-1) P_n over falling thresholds; equal scores are one threshold."""
    _, place = np.unique(-score, return_inverse=True)
    hits = np.bincount(place, weights=(y == 1).astype(np.float64))
    taken = np.cumsum(np.bincount(place))
    return float((hits / hits.sum() * (np.cumsum(hits) / taken)).sum())


def _counts(y: Array, score: Array) -> tuple[int, int, int]:
    said, true = score > 0.5, y == 1
    return int((said & true).sum()), int((said & ~true).sum()), int((~said & true).sum())


def _precision(y: Array, score: Array) -> float:
    hits, false_alarms, _ = _counts(y, score)
    return hits / (hits + false_alarms)


def _recall(y: Array, score: Array) -> float:
    hits, _, missed = _counts(y, score)
    return hits / (hits + missed)


def _f1(y: Array, score: Array) -> float:
    hits, false_alarms, missed = _counts(y, score)
    return 2 * hits / (2 * hits + false_alarms + missed)


def _one_class(y: Array, _score: Array) -> str:
    return "" if 0 < (y == 1).sum() < len(y) else "only one class among the labels"


def _no_positive(y: Array, _score: Array) -> str:
    return "" if (y == 1).any() else "no positive label"


def _none_said(_y: Array, score: Array) -> str:
    return "" if (score > 0.5).any() else "no score is over 0.5"


def _none_at_all(y: Array, score: Array) -> str:
    return "" if (y == 1).any() or (score > 0.5).any() else "no positive label and no score over 0.5"


# Regression ----------------------------------------------------------------------------------------------------------


def _distances(y: Array, score: Array) -> Array:
    return np.abs(score - y)


def _relative_distances(y: Array, score: Array) -> Array:
    return np.abs(score - y) / np.maximum(np.abs(y), _TINY)


def _r2(y: Array, score: Array) -> float:
    return 1 - float(np.square(y - score).sum()) / float(np.square(y - y.mean()).sum())


def _constant(y: Array, _score: Array) -> str:
    return "" if len(y) > 1 and np.ptp(y) > 0 else "all labels are equal"


def _has_zero(y: Array, _score: Array) -> str:
    return "a label is zero" if (y == 0).any() else ""


def _mean(row_loss: Callable[[Array, Array], Array]) -> Callable[[Array, Array], float]:
    return lambda y, score: float(row_loss(y, score).mean())


def _accuracy(y: Array, score: Array) -> float:
    return 1 - float(_misses(y, score).mean())


def _rmse(y: Array, score: Array) -> float:
    return float(np.sqrt(_squares(y, score).mean()))


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _table(
    Metric(name="log_loss", task="binary", greater_is_better=False, function=_mean(_log_losses), row_loss=_log_losses),
    Metric(name="brier", task="binary", greater_is_better=False, function=_mean(_squares), row_loss=_squares),
    Metric(name="roc_auc", task="binary", greater_is_better=True, function=_roc_auc, undefined=_one_class),
    Metric(
        name="average_precision",
        task="binary",
        greater_is_better=True,
        function=_average_precision,
        undefined=_no_positive,
    ),
    Metric(name="accuracy", task="binary", greater_is_better=True, function=_accuracy, row_loss=_misses),
    Metric(name="precision", task="binary", greater_is_better=True, function=_precision, undefined=_none_said),
    Metric(name="recall", task="binary", greater_is_better=True, function=_recall, undefined=_no_positive),
    Metric(name="f1", task="binary", greater_is_better=True, function=_f1, undefined=_none_at_all),
    Metric(name="rmse", task="regression", greater_is_better=False, function=_rmse, row_loss=_squares, root=True),
    Metric(name="mae", task="regression", greater_is_better=False, function=_mean(_distances), row_loss=_distances),
    Metric(name="r2", task="regression", greater_is_better=True, function=_r2, undefined=_constant),
    Metric(
        name="mape",
        task="regression",
        greater_is_better=False,
        function=_mean(_relative_distances),
        row_loss=_relative_distances,
        undefined=_has_zero,
    ),
)
"""Every metric by name."""

PRIMARY = {"binary": "log_loss", "regression": "rmse"}
"""The loss of a task that stands for it when no metric is named."""
