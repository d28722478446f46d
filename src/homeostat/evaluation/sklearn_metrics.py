"""scikit-learn's metrics by name: its scorers ('neg_log_loss') and its functions ('cohen_kappa_score')."""

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Invalid
from homeostat.ground.extras import require

Array = NDArray[np.float64]

_OF_PROBABILITIES = frozenset({"log_loss", "d2_log_loss_score", "brier_score_loss", "d2_brier_score"})
"""Functions that take probabilities, whatever they call their argument."""
_SCORES = frozenset({"y_score", "y_proba", "y_prob", "pred_decision"})


class SklearnMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of scikit-learn, bound to what a task gives."""

    greater_is_better: bool
    measure: Callable[[Array, Array], tuple[float | None, str]]


def sklearn_metric(name: str, task: str) -> SklearnMetric:
    """The scorer or function of that name.

    Raises:
        Invalid: when there is none, or it needs what the log does not hold: probabilities of a multiclass model, or
            groups of rows.
        MissingExtra: when scikit-learn is not installed.
    """
    metrics = require("sklearn.metrics", extra="sklearn")
    if name in metrics.get_scorer_names():
        scorer = metrics.get_scorer(name)
        # A scorer wants a model; what it asks of labels and answers is in its private parts, unchanged since 2011.
        function, sign = partial(scorer._score_func, **scorer._kwargs), float(scorer._sign)  # noqa: SLF001
        wanted = getattr(scorer, "_response_method", "predict")
        takes_classes = wanted == "predict"
        greater = True
    elif callable(getattr(metrics, name, None)) and name.islower():
        function, sign, takes_classes = getattr(metrics, name), 1.0, _takes_classes(name, getattr(metrics, name))
        greater = not name.endswith(("_loss", "_error", "_deviance"))
    else:
        raise Invalid(
            f"there is no metric {name!r:.60}",
            field="metric",
            next_step=f"use a name of scikit-learn's for a {task} model, such as {_examples(task)}",
        )
    if task == "multiclass" and not takes_classes:
        raise Invalid(
            f"{name!r} asks for probabilities of all classes, and the log keeps the likeliest class",
            field="metric",
            next_step="use accuracy, balanced_accuracy, f1_macro or another metric of classes",
        )
    answer = _classes if takes_classes and task == "binary" else _as_it_is
    _try(name, task, function, answer)
    return SklearnMetric(greater_is_better=greater, measure=partial(_measure, function, sign, answer))


def _takes_classes(name: str, function: Any) -> bool:
    if name in _OF_PROBABILITIES:
        return False
    names = list(inspect.signature(function).parameters)
    return not (len(names) > 1 and names[1] in _SCORES)


def _classes(score: Array) -> Array:
    said: Array = (score > 0.5).astype(np.float64)
    return said


def _as_it_is(score: Array) -> Array:
    return score


def _try(name: str, task: str, function: Any, answer: Callable[[Array], Array]) -> None:
    """A metric that cannot be asked of labels and scores at all is refused when it is declared, not once an hour."""
    y = np.tile([0.0, 1.0], 6) if task != "regression" else np.linspace(1.0, 2.0, 12)
    score = np.linspace(0.1, 0.9, 12) if task == "binary" else y.copy()
    if task == "regression":
        score = y + 0.1
    value, reason = _measure(function, 1.0, answer, y, score)
    if value is None:
        raise Invalid(
            f"{name!r} cannot be asked of a {task} model: {reason}",
            field="metric",
            next_step=f"use another, such as {_examples(task)}",
        )


def _measure(
    function: Any, sign: float, answer: Callable[[Array], Array], y: Array, score: Array
) -> tuple[float | None, str]:
    if not len(y):
        return None, "no rows"
    broken = int((~np.isfinite(score)).sum())
    if broken:
        return None, f"{broken} of {len(score)} scores are NaN or infinite"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an undefined metric is a warning there and a number that means nothing
            value = function(y, answer(score))
    except Exception as error:  # noqa: BLE001  what it raises on such rows is the reason
        return None, str(error).splitlines()[0][:200]
    if np.ndim(value) or not np.isfinite(value):
        return None, "the metric gives no single finite number"
    return sign * float(value), ""


def _examples(task: str) -> str:
    return {
        "binary": "balanced_accuracy, matthews_corrcoef or average_precision",
        "multiclass": "balanced_accuracy or f1_macro",
    }.get(task, "median_absolute_error or neg_root_mean_squared_error")
