"""Tests of rows by value: whether both sides have the same shares.

The one-sample forms copy Evidently 0.7.23, which takes the reference's shares as exact: on two equal samples of one
size their statistic is about twice what it should be.
"""

import math

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Counts, Pair

DRAWS = 1_000
"""Permutations of the total variation test."""
IN_ORDER = 200_000
"""Rows up to which Evidently's own permutations are drawn, one by one; beyond, their law is drawn from directly."""


def chi_square(pair: Pair) -> float:
    """Pearson's test of homogeneity (`scipy.stats.chi2_contingency` without a correction); 1 for a single value."""
    from scipy.special import chdtrc

    then, now = pair.counts()
    if len(then) < 2:
        return 1.0
    expected = np.outer([then.sum(), now.sum()], then + now) / (then.sum() + now.sum())
    statistic = float(np.sum((np.stack([then, now]) - expected) ** 2 / expected))
    return float(chdtrc(len(then) - 1, statistic))


def chi_square_one_sample(pair: Pair) -> float:
    """Pearson's test of the current counts against the reference's shares; a value that these lack makes it 0."""
    from scipy.special import chdtrc

    then, now = pair.counts()
    if len(then) < 2:
        return 1.0
    with np.errstate(divide="ignore"):
        expected = then * (now.sum() / then.sum())
        statistic = float(np.sum((now - expected) ** 2 / expected))
    return float(chdtrc(len(then) - 1, statistic))


def g_test(pair: Pair) -> float:
    """Likelihood-ratio test of homogeneity (`chi2_contingency(..., lambda_="log-likelihood")`)."""
    from scipy.special import chdtrc, xlogy

    then, now = pair.counts()
    if len(then) < 2:
        return 1.0
    both = np.stack([then, now]).astype(np.float64)
    expected = np.outer(both.sum(axis=1), both.sum(axis=0)) / both.sum()
    return float(chdtrc(len(then) - 1, max(2 * float(np.sum(xlogy(both, both / expected))), 0.0)))


def g_test_one_sample(pair: Pair) -> float | None:
    """Likelihood-ratio test against the reference's counts, not scaled; None unless both sides have as many rows."""
    from scipy.special import chdtrc, xlogy

    then, now = pair.counts()
    if then.sum() != now.sum():
        return None
    if len(then) < 2:
        return 1.0
    with np.errstate(divide="ignore"):
        return float(chdtrc(len(then) - 1, max(2 * float(np.sum(xlogy(now, now / then))), 0.0)))


def z_test(pair: Pair) -> float:
    """Two-sided test of two shares: of rows that are not the first of the values in order; 1 for a single value."""
    from scipy.special import ndtr

    then, now = _in_value_order(pair)
    if len(then) == 1:
        return 1.0
    sizes = int(then.sum()), int(now.sum())
    others = sizes[0] - int(then[0]), sizes[1] - int(now[0])
    pooled = sum(others) / sum(sizes)
    error = math.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    return 2 * (1 - float(ndtr(abs(others[0] / sizes[0] - others[1] / sizes[1]) / error)))


def fisher_exact(pair: Pair) -> float | None:
    """Fisher's exact test of two shares (`scipy.stats.fisher_exact`); None for more than two values."""
    from scipy import stats

    then, now = pair.counts()
    if len(then) > 2:
        return None
    return float(stats.fisher_exact([list(then), list(now)]).pvalue) if len(then) == 2 else 1.0


def total_variation(pair: Pair) -> float:
    """p-value of the total variation distance by seeded permutations, the observed one among them: never 0."""
    then, now = pair.counts()
    beyond = _permuted(then, now) >= _total_variation(then, now) - 1e-12
    return (1 + int(beyond.sum())) / (1 + DRAWS)


def total_variation_in_order(pair: Pair) -> float:
    """The same with Evidently's own permutations; the observed distance is not among them, so that it can be 0."""
    then, now = pair.counts()
    observed = _total_variation(then, now)
    if sum(pair.sizes) > IN_ORDER:
        return float(np.mean(observed <= _permuted(then, now)))
    both = np.concatenate(pair.codes_in_order())
    width, rows = int(both.max()) + 1, pair.sizes[0]
    whole = np.bincount(both, minlength=width)
    random = np.random.RandomState(0)
    beyond = 0
    for _ in range(DRAWS):
        drawn = np.bincount(both[random.permutation(len(both))[:rows]], minlength=width)
        beyond += observed <= _total_variation(drawn, whole - drawn)
    return beyond / DRAWS


def _permuted(then: Counts, now: Counts) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Distances of as many random splits of all rows."""
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(then + now, int(then.sum()), size=DRAWS, method="marginals")
    apart: np.ndarray[tuple[int], np.dtype[np.float64]] = np.abs(
        drawn / then.sum() - (then + now - drawn) / now.sum()
    ).sum(axis=1)
    return 0.5 * apart


def _total_variation(then: Counts, now: Counts) -> float:
    return 0.5 * float(np.abs(then / then.sum() - now / now.sum()).sum())


def _in_value_order(pair: Pair) -> tuple[Counts, Counts]:
    if pair.kind == "num":
        return pair.counts()
    order = pair.table.labels.arg_sort().to_numpy()
    return pair.table.reference[order], pair.table.current[order]
