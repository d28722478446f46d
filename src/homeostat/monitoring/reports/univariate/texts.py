"""Whether texts have changed, by a classifier that tells reference from current rows: a ROC AUC of 0.5 is chance.

Our own form learns the words of one half of the rows and is judged on the other, so that its p-value holds whatever it
has learnt. The other form copies Evidently 0.7.23 number by number, and needs scikit-learn for that.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from homeostat.ground.errors import MissingExtra
from homeostat.ground.extras import require
from homeostat.monitoring.reports.univariate.pair import Floats, Pair

SAMPLE = 20_000
"""Of more texts on a side than this a seeded sample is taken."""
LEAST_ROWS = 4
RANDOM_CLASSIFIERS = 1_000
"""Evidently's percentile is over so many."""


class Content(NamedTuple):
    """What a text test found."""

    auc: float
    """Of telling the sides apart on rows that were not learnt from: 0.5 is chance, 1 is nothing in common."""
    p: float
    """One-sided Mann-Whitney p-value of that."""
    words: tuple[tuple[str, ...], tuple[str, ...]]
    """Words that are typical for the reference, and for the current texts."""


def content(pair: Pair) -> Content | None:
    """Learn words on half of the rows, tell the other half apart; None when there are too few texts or no words."""
    reference, current = (_sampled(side) for side in pair.texts())
    if min(len(reference), len(current)) < LEAST_ROWS:
        return None
    rows = _words(reference, current)
    learnt, judged = rows.filter(pl.col("half") == 0), rows.filter(pl.col("half") == 1)
    weights = _weights(learnt)
    if weights.is_empty():
        return None
    scores = (
        judged.join(weights, on="word", how="left")
        .group_by("side", "row")
        .agg(pl.col("weight").fill_null(0.0).sum())
        .sort("side", "row")
    )
    sides = [scores.filter(pl.col("side") == side)["weight"].to_numpy() for side in (0, 1)]
    by_weight = weights.sort("weight", "word")["word"]
    auc, p = _told_apart(*sides)
    return Content(auc, p, (tuple(by_weight.head(10)), tuple(by_weight.tail(10).reverse())))


def absolute_drift(pair: Pair, threshold: float) -> tuple[float | None, bool]:
    """ROC AUC, and whether it is above the threshold."""
    found = content(pair)
    return (None, False) if found is None else (found.auc, found.auc > threshold)


def percentile_drift(pair: Pair, threshold: float) -> tuple[float | None, bool]:
    """ROC AUC, and whether chance stays below it in more than the share `threshold` of cases."""
    found = content(pair)
    return (None, False) if found is None else (found.auc, found.p < 1 - threshold)


def absolute_drift_by_sklearn(pair: Pair, threshold: float) -> tuple[float | None, bool]:
    """Evidently's AUC, and whether it is above the threshold."""
    auc, _ = _auc_by_sklearn(pair)
    return auc, auc is not None and auc > threshold


def percentile_drift_by_sklearn(pair: Pair, threshold: float) -> tuple[float | None, bool]:
    """Evidently's AUC, and whether it is above the percentile of classifiers that guess."""
    auc, truth = _auc_by_sklearn(pair)
    if auc is None:
        return None, False
    seeds = np.random.RandomState(42).randint(0, RANDOM_CLASSIFIERS * 10, size=RANDOM_CLASSIFIERS)
    guessed = [_auc(np.random.RandomState(seed).rand(len(truth)), truth) for seed in seeds]
    return auc, auc > float(np.percentile(guessed, 100 * threshold))


# Our own form --------------------------------------------------------------------------------------------------------


def _sampled(texts: pl.Series) -> pl.Series:
    return texts if len(texts) <= SAMPLE else texts.sample(SAMPLE, seed=0)


def _words(reference: pl.Series, current: pl.Series) -> pl.DataFrame:
    """Distinct words by row, with the row's side (0, 1) and half (0 to learn from, 1 to be judged on)."""
    rng = np.random.default_rng(0)
    sides = []
    for side, texts in enumerate((reference, current)):
        rows = len(texts)
        half = np.zeros(rows, dtype=np.int8)
        half[rng.permutation(rows)[: rows // 2]] = 1
        words = texts.str.to_lowercase().str.extract_all(r"\w+").list.unique()
        frame = pl.DataFrame({"row": np.arange(rows), "half": half, "word": words})
        sides.append(frame.with_columns(side=pl.lit(side, dtype=pl.Int8)).explode("word"))
    return pl.concat(sides)


def _weights(learnt: pl.DataFrame) -> pl.DataFrame:
    """Log odds of a row with the word being a current one; words of a single row tell nothing."""
    sizes = [learnt.filter(pl.col("side") == side)["row"].n_unique() for side in (0, 1)]
    counted = (
        learnt.drop_nulls("word")
        .group_by("word")
        .agg(then=(pl.col("side") == 0).sum(), now=(pl.col("side") == 1).sum())
        .filter(pl.col("then") + pl.col("now") > 1)
    )
    then = (pl.col("then") + 0.5) / (sizes[0] + 1)
    now = (pl.col("now") + 0.5) / (sizes[1] + 1)
    return counted.select("word", weight=(now / then).log())


def _told_apart(reference: Floats, current: Floats) -> tuple[float, float]:
    """ROC AUC of the scores and its one-sided p-value: normal, corrected for ties and by half a step."""
    from scipy.special import ndtr

    n, m = len(reference), len(current)
    ordered = np.sort(np.concatenate([reference, current]))
    below = np.searchsorted(np.sort(reference), current, side="left")
    level = np.searchsorted(np.sort(reference), current, side="right")
    wins = float((below + level).sum()) / 2
    _, ties = np.unique(ordered, return_counts=True)
    rows = n + m
    variance = n * m / 12 * (rows + 1 - float((ties.astype(np.float64) ** 3 - ties).sum()) / (rows * (rows - 1)))
    p = float(ndtr(-(wins - 0.5 - n * m / 2) / np.sqrt(variance))) if variance > 0 else 1.0
    return wins / (n * m), p


# Evidently's form ----------------------------------------------------------------------------------------------------


def _auc_by_sklearn(pair: Pair) -> tuple[float | None, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """AUC of its classifier on the rows that it holds back, and their sides; None where it cannot be had."""
    nothing = np.zeros(0, dtype=np.int64)
    try:
        selection = require("sklearn.model_selection", extra="sklearn")
        extraction = require("sklearn.feature_extraction.text", extra="sklearn")
        linear = require("sklearn.linear_model", extra="sklearn")
    except MissingExtra:
        return None, nothing
    reference, current = (side.to_list() for side in pair.texts())
    truth = np.repeat([0, 1], [len(reference), len(current)])
    if len(truth) < LEAST_ROWS:
        return None, nothing
    train, test, train_truth, test_truth = selection.train_test_split(
        [*reference, *current], truth, test_size=0.5, random_state=42, shuffle=True
    )
    if min(len(np.unique(train_truth)), len(np.unique(test_truth))) < 2:
        return None, nothing
    vectors = extraction.TfidfVectorizer(sublinear_tf=True, max_df=0.5, stop_words="english")
    try:
        known = vectors.fit_transform(train)
    except ValueError:  # no word that is not a stop word or in most of the texts
        return None, nothing
    classifier = linear.SGDClassifier(alpha=0.0001, max_iter=50, penalty="l1", loss="modified_huber", random_state=42)
    classifier.fit(known, train_truth)
    return _auc(classifier.predict_proba(vectors.transform(test))[:, 1], test_truth), test_truth


def _auc(scores: Floats, truth: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Area under the ROC curve: how often a current row scores above one of the reference, ties half."""
    then = np.sort(scores[truth == 0])
    now = scores[truth == 1]
    wins = np.searchsorted(then, now, side="left") + np.searchsorted(then, now, side="right")
    return float(wins.sum()) / 2 / len(then) / len(now)
