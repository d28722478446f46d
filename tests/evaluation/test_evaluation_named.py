"""Metrics by name: ours, scikit-learn's scorers and functions, and functions of the user's."""

import numpy as np
import pytest
import sklearn.metrics as theirs

from homeostat.evaluation.named import named_metric, own_metric
from homeostat.ground.errors import Invalid

RNG = np.random.default_rng(3)
Y = (RNG.uniform(size=300) < 0.3).astype(float)
SCORE = np.clip(0.3 * Y + RNG.uniform(0, 0.7, 300), 0.01, 0.99)
CLASSES = (SCORE > 0.5).astype(float)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log_loss", theirs.log_loss(Y, SCORE)),
        ("balanced_accuracy", theirs.balanced_accuracy_score(Y, CLASSES)),
        ("neg_log_loss", -theirs.log_loss(Y, SCORE)),
        ("neg_brier_score", -theirs.brier_score_loss(Y, SCORE)),
        ("matthews_corrcoef", theirs.matthews_corrcoef(Y, CLASSES)),
        ("cohen_kappa_score", theirs.cohen_kappa_score(Y, CLASSES)),
        ("roc_auc_score", theirs.roc_auc_score(Y, SCORE)),
        ("average_precision_score", theirs.average_precision_score(Y, SCORE)),
        ("f1_macro", theirs.f1_score(Y, CLASSES, average="macro")),
        ("brier_score_loss", theirs.brier_score_loss(Y, SCORE)),
        ("zero_one_loss", theirs.zero_one_loss(Y, CLASSES)),
        ("accuracy_score", theirs.accuracy_score(Y, CLASSES)),
    ],
)
def test_a_metric_of_two_classes_is_what_scikit_learn_says(name: str, expected: float) -> None:
    ((value, reason),) = named_metric(name, "binary").many([(Y, SCORE)])
    assert value == pytest.approx(expected) and reason == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("median_absolute_error", theirs.median_absolute_error(Y, SCORE)),
        ("neg_root_mean_squared_error", -theirs.root_mean_squared_error(Y, SCORE)),
        ("explained_variance", theirs.explained_variance_score(Y, SCORE)),
        ("max_error", theirs.max_error(Y, SCORE)),
    ],
)
def test_a_metric_of_numbers_is_what_scikit_learn_says(name: str, expected: float) -> None:
    assert named_metric(name, "regression").many([(Y, SCORE)])[0][0] == pytest.approx(expected)


def test_of_many_classes_there_are_the_metrics_that_ask_for_classes() -> None:
    y, said = np.array([0.0, 1, 2, 2, 1, 0, 2, 1]), np.array([0.0, 1, 2, 1, 1, 0, 2, 0])
    for name, expected in (
        ("accuracy", theirs.accuracy_score(y, said)),
        ("balanced_accuracy", theirs.balanced_accuracy_score(y, said)),
        ("f1_macro", theirs.f1_score(y, said, average="macro")),
    ):
        assert named_metric(name, "multiclass").many([(y, said)])[0][0] == pytest.approx(expected)
    assert named_metric("accuracy", "multiclass").share is not None
    with pytest.raises(Invalid, match="probabilities of all classes"):
        named_metric("neg_log_loss", "multiclass")


def test_shares_say_what_they_are_a_share_of() -> None:
    for name in ("accuracy", "precision", "recall", "accuracy_score"):
        metric = named_metric(name, "binary")
        assert metric.share is not None
        good, total = metric.share(Y, SCORE)
        assert good / total == pytest.approx(metric.many([(Y, SCORE)])[0][0])


def test_an_undefined_metric_has_a_reason_and_no_value() -> None:
    ones = np.ones(5)
    for name in ("roc_auc", "roc_auc_score", "matthews_corrcoef", "balanced_accuracy"):
        value, reason = named_metric(name, "binary").many([(ones, ones * 0.9)])[0]
        assert (value is None) == bool(reason), name
    assert named_metric("roc_auc", "binary").many([([], [])])[0] == (None, "no rows")
    assert named_metric("balanced_accuracy", "binary").many([([], [])])[0] == (None, "no rows")


@pytest.mark.parametrize(
    ("name", "task"),
    [("beauty", "binary"), ("r2", "binary"), ("roc_auc", "regression"), ("confusion_matrix", "binary")],
)
def test_a_metric_that_cannot_be_asked_is_refused_when_it_is_named(name: str, task: str) -> None:
    with pytest.raises(Invalid) as caught:
        named_metric(name, task)
    assert caught.value.field == "metric" and caught.value.next_step


def test_a_function_of_the_users_may_raise_or_give_nonsense() -> None:
    cost = own_metric("cost", lambda y, score: float((y - score).mean()), greater_is_better=False)
    broken = own_metric("broken", lambda _y, _score: {}["x"], greater_is_better=False)
    endless = own_metric("endless", lambda _y, _score: float("inf"), greater_is_better=True)
    assert cost.many([(Y, SCORE)])[0][0] == pytest.approx((Y - SCORE).mean())
    assert broken.many([(Y, SCORE)])[0] == (None, "KeyError: 'x'")
    assert endless.many([(Y, SCORE), ([], [])]) == [(None, "endless gave inf"), (None, "no rows")]
