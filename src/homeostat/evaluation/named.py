"""A metric by its name: ours, one of scikit-learn's, or a function of the user's; what watching accuracy works with."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from homeostat.evaluation.metrics import METRICS, PRIMARY, Array, as_rows, check_metric, value_of, why_undefined
from homeostat.evaluation.sklearn_metrics import sklearn_metric
from homeostat.ground.errors import Invalid

UNIT = (0.0, 1.0)
_BOUNDS = {
    "log_loss": (0.0, None),
    "brier": UNIT,
    "roc_auc": UNIT,
    "average_precision": UNIT,
    "accuracy": UNIT,
    "precision": UNIT,
    "recall": UNIT,
    "f1": UNIT,
    "rmse": (0.0, None),
    "mae": (0.0, None),
    "r2": (None, 1.0),
    "mape": (0.0, None),
}

Measured = tuple[float | None, str]
"""A value and an empty reason, or None and why there is none."""
Share = Callable[[Array, Array], tuple[int, int]]
"""Good rows and all rows that count: the metric is their quotient."""


class NamedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric that can be asked of any rows of one task."""

    name: str
    greater_is_better: bool
    one: Callable[[Array, Array], Measured]
    bounds: tuple[float | None, float | None] = (None, None)
    share: Share | None = None
    """For shares of rows, which have an exact interval."""

    def many(self, parts: Sequence[tuple[ArrayLike, ArrayLike]]) -> list[Measured]:
        """Value or reason for each (labels, scores)."""
        return [self.one(*as_rows(y, score)) for y, score in parts]


def named_metric(name: str, task: str) -> NamedMetric:
    """The metric of that name for a task: 'log_loss', or any scikit-learn knows, such as 'balanced_accuracy'.

    Of a multiclass model the log keeps the likeliest class, so it has the metrics that ask for no probabilities.

    Raises:
        Invalid: when nobody knows it, or it asks for what the task does not give.
        MissingExtra: when only scikit-learn can know, and it is not installed.
    """
    ours = METRICS.get(name)
    if ours is not None and ours.task == task:
        return NamedMetric(
            name=name,
            greater_is_better=ours.greater_is_better,
            one=lambda y, score: (value_of(ours, y, score), why_undefined(task, y, score, [name]).get(name, "")),
            bounds=_BOUNDS.get(name, (None, None)),
            share=_SHARES.get(name) if task == "binary" else None,
        )
    if name == "accuracy" and task == "multiclass":
        return NamedMetric(name=name, greater_is_better=True, one=_same_class, bounds=UNIT, share=_same)
    if ours is not None and task in PRIMARY:
        check_metric(name, task)  # one of ours that the other task has: says which there are
    if task not in (*PRIMARY, "multiclass"):
        raise Invalid(f"{task!r} is not a task", field="task", next_step="look at the model: homeostat model show NAME")
    found = sklearn_metric(name, task)
    return NamedMetric(
        name=name,
        greater_is_better=found.greater_is_better,
        one=found.measure,
        share=_SHARES.get(_SAME_AS.get(name, "")) if task == "binary" else None,
    )


def own_metric(name: str, function: Callable[[Array, Array], float], *, greater_is_better: bool) -> NamedMetric:
    """A function of the user's, `(y, score) -> float`, as a metric; whatever it raises is a reason."""

    def one(y: Array, score: Array) -> Measured:
        if not len(y):
            return None, "no rows"
        try:
            value = float(function(y, score))
        except Exception as error:  # noqa: BLE001  the user's code may raise anything
            return None, f"{type(error).__name__}: {str(error)[:200]}"
        return (value, "") if np.isfinite(value) else (None, f"{name} gave {value}")

    return NamedMetric(name=name, greater_is_better=greater_is_better, one=one)


# Shares --------------------------------------------------------------------------------------------------------------


def _right(y: Array, score: Array) -> tuple[int, int]:
    return int(((score > 0.5) == (y == 1)).sum()), len(y)


def _said_and_true(y: Array, score: Array) -> tuple[int, int]:
    return int(((score > 0.5) & (y == 1)).sum()), int((score > 0.5).sum())


def _true_and_said(y: Array, score: Array) -> tuple[int, int]:
    return int(((score > 0.5) & (y == 1)).sum()), int((y == 1).sum())


def _same(y: Array, score: Array) -> tuple[int, int]:
    return int((y == score).sum()), len(y)


def _same_class(y: Array, score: Array) -> Measured:
    return (float((y == score).mean()), "") if len(y) else (None, "no rows")


_SHARES: dict[str, Share] = {"accuracy": _right, "precision": _said_and_true, "recall": _true_and_said}
_SAME_AS = {"accuracy_score": "accuracy", "precision_score": "precision", "recall_score": "recall"}
