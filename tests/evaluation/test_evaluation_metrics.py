"""Metrics against scikit-learn, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from homeostat.evaluation.metrics import METRICS, check_metric, compute, why_undefined
from homeostat.ground.errors import Invalid


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 300), decimals=st.integers(0, 6))
def test_binary_metrics_agree_with_scikit_learn_with_ties(seed: int, rows: int, decimals: int) -> None:
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, rows)
    y[:2] = (0, 1)
    score = np.round(random.random(rows), decimals)
    score[-1] = 0.75  # so that precision is defined
    said = score > 0.5
    assert compute("binary", y, score) == pytest.approx(
        {
            "log_loss": reference.log_loss(y, score),
            "brier": reference.brier_score_loss(y, score),
            "roc_auc": reference.roc_auc_score(y, score),
            "average_precision": reference.average_precision_score(y, score),
            "accuracy": reference.accuracy_score(y, said),
            "precision": reference.precision_score(y, said),
            "recall": reference.recall_score(y, said),
            "f1": reference.f1_score(y, said),
        },
        rel=1e-9,
        abs=1e-12,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 300))
def test_regression_metrics_agree_with_scikit_learn(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    y = random.normal(5, 3, rows)
    score = y + random.normal(0, 2, rows)
    assert compute("regression", y, score) == pytest.approx(
        {
            "rmse": reference.root_mean_squared_error(y, score),
            "mae": reference.mean_absolute_error(y, score),
            "r2": reference.r2_score(y, score),
            "mape": reference.mean_absolute_percentage_error(y, score),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.row_loss])
def test_the_row_losses_of_a_metric_add_up_to_it(name: str) -> None:
    random = np.random.default_rng(0)
    metric = METRICS[name]
    y = random.integers(0, 2, 500).astype(float) if metric.task == "binary" else random.normal(3, 1, 500)
    score = random.random(500)
    assert metric.row_loss is not None
    mean = float(metric.row_loss(y, score).mean())
    whole = np.sqrt(mean) if metric.root else mean
    assert metric.function(y, score) == pytest.approx(1 - whole if metric.greater_is_better else whole)


@pytest.mark.parametrize(
    ("task", "y", "score", "name", "reason"),
    [
        ("binary", [1, 1], [0.2, 0.3], "roc_auc", "one class"),
        ("binary", [0, 0], [0.2, 0.7], "recall", "no positive label"),
        ("binary", [0, 0], [0.2, 0.7], "average_precision", "no positive label"),
        ("binary", [0, 1], [0.2, 0.3], "precision", "no score is over 0.5"),
        ("binary", [0, 0], [0.2, 0.3], "f1", "no positive label and"),
        ("binary", [0, 1], [0.2, np.nan], "log_loss", "1 of 2 scores are NaN"),
        ("binary", [0, 1], [0.2, 1.5], "brier", "1 of 2 scores are not probabilities"),
        ("binary", [], [], "accuracy", "no rows"),
        ("regression", [2, 2], [1, 3], "r2", "all labels are equal"),
        ("regression", [0, 2], [1, 3], "mape", "a label is zero"),
        ("regression", [1, 2], [1, np.inf], "rmse", "NaN or infinite"),
    ],
)
def test_an_undefined_metric_is_none_with_its_reason(
    task: str, y: list[float], score: list[float], name: str, reason: str
) -> None:
    assert compute(task, y, score)[name] is None
    assert reason in why_undefined(task, y, score)[name]


def test_certain_and_wrong_is_a_large_finite_log_loss() -> None:
    assert compute("binary", [1, 0], [0.0, 1.0], ["log_loss"])["log_loss"] == pytest.approx(
        reference.log_loss([1, 0], [0.0, 1.0])
    )


def test_an_unknown_metric_is_named_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="binary model has no metric 'rmse'; it has: log_loss, brier"):
        check_metric("rmse", "binary")
    with pytest.raises(Invalid, match="'ranking' is not a task"):
        check_metric("rmse", "ranking")


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Invalid, match="2 labels and 1 scores"):
        compute("binary", [0, 1], [0.5])
    with pytest.raises(Invalid, match="label is missing"):
        compute("binary", [0, np.nan], [0.5, 0.5])
