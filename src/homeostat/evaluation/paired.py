"""How much worse a challenger is than a champion on the same rows, with a one-sided bound on either side."""

from statistics import NormalDist

import msgspec
import numpy as np

from homeostat.evaluation.metrics import Array, Metric, value_of

RESAMPLES = 200
SEED = 20130312
MIN_ROWS = 50
"""Fewer rows say nothing: the normal bound is not to be trusted and slices would fail by noise."""


class Difference(msgspec.Struct, frozen=True):
    """Challenger minus champion as a loss, in the metric's unit: below zero, the challenger is better."""

    value: float
    lower: float
    upper: float
    how: str


def paired_difference(
    metric: Metric, y: Array, challenger: Array, champion: Array, *, confidence: float
) -> Difference | str:
    """The difference with one-sided bounds at `confidence` each; words when the rows do not give one.

    A metric that is a mean of row losses: d_i = loss_i(challenger) - loss_i(champion), bounds mean(d) -+ z s/sqrt(n)
    with s the standard deviation of d and z the normal quantile. A root of such a mean (rmse) by the delta method:
    d_i = loss_i(challenger) / 2 rmse(challenger) - loss_i(champion) / 2 rmse(champion). Any other metric (roc_auc) by a
    paired bootstrap: the same 200 draws of rows for both, bounds are quantiles, seed fixed.
    """
    ours, theirs = value_of(metric, y, challenger), value_of(metric, y, champion)
    if ours is None or theirs is None:
        return f"{metric.name} is not defined on these rows"
    value = theirs - ours if metric.greater_is_better else ours - theirs
    if metric.row_loss is None:
        return _bootstrap(metric, y, challenger, champion, value, confidence)
    differences = _row_differences(metric, y, challenger, champion)
    error = float(differences.std(ddof=1) / np.sqrt(len(y))) if len(y) > 1 else float("inf")
    z = NormalDist().inv_cdf(confidence)
    return Difference(value, value - z * error, value + z * error, "normal")


def _row_differences(metric: Metric, y: Array, challenger: Array, champion: Array) -> Array:
    assert metric.row_loss is not None  # the caller looked
    ours, theirs = metric.row_loss(y, challenger), metric.row_loss(y, champion)
    if not metric.root:
        return ours - theirs
    return _halved(ours) - _halved(theirs)


def _halved(losses: Array) -> Array:
    root = float(np.sqrt(losses.mean()))
    return losses / (2 * root) if root else np.zeros_like(losses)  # all rows exact: nothing varies


def _bootstrap(
    metric: Metric, y: Array, challenger: Array, champion: Array, value: float, confidence: float
) -> Difference | str:
    random = np.random.default_rng(SEED)
    draws = [_drawn(metric, y, challenger, champion, random.integers(0, len(y), len(y))) for _ in range(RESAMPLES)]
    defined = [draw for draw in draws if draw is not None]
    if len(defined) < RESAMPLES * 0.9:
        return f"{metric.name} is not defined on {RESAMPLES - len(defined)} of {RESAMPLES} resamples"
    lower, upper = np.quantile(defined, [1 - confidence, confidence])
    return Difference(value, float(lower), float(upper), f"bootstrap of {RESAMPLES}")


def _drawn(metric: Metric, y: Array, challenger: Array, champion: Array, rows: np.ndarray) -> float | None:
    ours, theirs = value_of(metric, y[rows], challenger[rows]), value_of(metric, y[rows], champion[rows])
    if ours is None or theirs is None:
        return None
    return theirs - ours if metric.greater_is_better else ours - theirs
