"""The formulas of the tests.

Each takes a `Pair` with values on both sides and gives a p-value or a distance, or None where it is not defined. The
forms that say so copy the numbers of Evidently 0.7.23, quirks included; the others agree with scipy.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Counts, Floats, Pair

Score = Callable[[Pair], float | None]
SAMPLE = 1_000
"""MMD compares every row with every other: of more rows than this a seeded sample is taken."""


def kolmogorov_smirnov(pair: Pair) -> float | None:
    """Two-sample Kolmogorov-Smirnov p-value (`scipy.stats.ks_2samp`): exact up to 10,000 rows, then asymptotic."""
    from scipy import stats

    first, second = pair.numbers
    if max(len(first), len(second)) <= 10_000:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says when it falls back to the asymptotic form
            return float(stats.ks_2samp(first, second).pvalue)
    longer, shorter = float(max(len(first), len(second))), float(min(len(first), len(second)))
    return float(stats.kstwo.sf(ks_distance(first, second), np.round(longer * shorter / (longer + shorter))))


def ks_distance(first: Floats, second: Floats) -> float:
    """The largest distance between two empirical distribution functions, of ascending values."""
    _, below, above = _merged(first, second)
    return float(np.abs(below - above).max()) if len(below) else 0.0


def wasserstein_normed(pair: Pair) -> float | None:
    """Earth mover's distance by the reference's standard deviation (at least 0.001)."""
    first, second = pair.numbers
    values, below, above = _merged(first, second)
    moved = float(np.sum(np.abs(below[:-1] - above[:-1]) * np.diff(values)))
    return moved / max(float(np.std(first)), 0.001)


def _merged(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct values of both, and each side's share of values up to there."""
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")  # two ascending runs: a merge
    ordered = values[order]
    last = np.concatenate([ordered[1:] != ordered[:-1], [True]])
    is_first = np.cumsum(order < len(first))[last]
    place = np.flatnonzero(last) + 1
    return ordered[last], is_first / len(first), (place - is_first) / len(second)


def chi_square_one_sample(pair: Pair) -> float | None:
    """Pearson's test of the current counts against the reference's shares, which are taken as exact."""
    from scipy.special import chdtrc

    then, now = pair.counts()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = then * (now.sum() / then.sum())
        statistic = float(np.sum((now - expected) ** 2 / expected))
    return float(chdtrc(len(then) - 1, statistic)) if not math.isnan(statistic) else math.nan


def chi_square(pair: Pair) -> float | None:
    """Pearson's test of homogeneity of two rows of counts (`scipy.stats.chi2_contingency`, no correction)."""
    from scipy.special import chdtrc

    then, now = _seen(pair)
    if len(then) < 2:
        return 1.0
    expected = np.outer([then.sum(), now.sum()], then + now) / (then.sum() + now.sum())
    statistic = float(np.sum((np.stack([then, now]) - expected) ** 2 / expected))
    return float(chdtrc(len(then) - 1, statistic))


def g_test_one_sample(pair: Pair) -> float | None:
    """Likelihood-ratio test against the reference's counts, not scaled; None unless both sides have as many rows."""
    from scipy import stats

    then, now = pair.counts()
    if then.sum() != now.sum():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(stats.power_divergence(now, then, lambda_="log-likelihood").pvalue)


def g_test(pair: Pair) -> float | None:
    """Likelihood-ratio test of homogeneity of two rows of counts."""
    from scipy.special import chdtrc, xlogy

    then, now = _seen(pair)
    if len(then) < 2:
        return 1.0
    both = np.stack([then, now]).astype(np.float64)
    expected = np.outer(both.sum(axis=1), both.sum(axis=0)) / both.sum()
    return float(chdtrc(len(then) - 1, 2 * float(np.sum(xlogy(both, both / expected)))))


def z_test(pair: Pair) -> float | None:
    """Two-sided test of two shares: of rows that are not the first of the values in order."""
    from scipy.special import ndtr

    then, now = _in_value_order(pair)
    if len(then) == 1:
        return 1.0
    sizes = then.sum(), now.sum()
    shares = (sizes[0] - then[0]) / sizes[0], (sizes[1] - now[0]) / sizes[1]
    pooled = (sizes[0] + sizes[1] - then[0] - now[0]) / (sizes[0] + sizes[1])
    error = math.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    return 2 * (1 - float(ndtr(abs(shares[0] - shares[1]) / error))) if error else 1.0


def fisher_exact(pair: Pair) -> float | None:
    """Fisher's exact test of two shares; None for more than two values."""
    from scipy import stats

    then, now = pair.counts()
    if len(then) > 2:
        return None
    table = [[*counts, 0] if len(counts) == 1 else list(counts) for counts in (then, now)]
    return float(stats.fisher_exact(table).pvalue)


def jensen_shannon(pair: Pair) -> float | None:
    """Jensen-Shannon distance (natural logarithm, 0 to 0.83) over bins or values."""
    from scipy.special import rel_entr

    then, now = shares(pair)
    then, now = then / then.sum(), now / now.sum()
    middle = (then + now) / 2
    divergence = float(np.sum(rel_entr(then, middle)) + np.sum(rel_entr(now, middle))) / 2
    return math.sqrt(max(divergence, 0.0))


def population_stability(pair: Pair) -> float | None:
    """PSI over bins or values; empty ones count as 0.0001, or less where shares are."""
    then, now = (_filled(share) for share in shares(pair))
    return float(np.sum((then - now) * np.log(then / now)))


def kullback_leibler(pair: Pair) -> float | None:
    """Divergence of the reference from the current shares, empty bins filled as for PSI."""
    from scipy.special import rel_entr

    then, now = (_filled(share) for share in shares(pair))
    return float(np.sum(rel_entr(then / then.sum(), now / now.sum())))


def hellinger(pair: Pair) -> float | None:
    """Hellinger distance, 0 to 1; numbers in bins by Sturges' rule over the distinct values."""
    if pair.kind == "num":
        values = np.unique(np.concatenate(pair.numbers))
        edges = sturges_edges(values[0], values[-1], len(values), is_integer=pair.is_integer)
        then, now = (histogram(side, edges) / len(side) for side in pair.numbers)
    else:
        counts = pair.counts()
        then, now = (side / side.sum() for side in counts)
    return math.sqrt(1 - min(max(float(np.sum(np.sqrt(then * now))), 0.0), 1.0))


def total_variation(pair: Pair) -> float | None:
    """p-value of the total variation distance, by 1,000 seeded permutations."""
    then, now = pair.counts()
    observed = _total_variation(then, now)
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(then + now, int(then.sum()), size=1_000, method="marginals")
    moved = 0.5 * np.abs(drawn / then.sum() - (then + now - drawn) / now.sum()).sum(axis=1)
    return float(np.mean(observed <= moved))


def _total_variation(then: Counts, now: Counts) -> float:
    return 0.5 * float(np.abs(then / then.sum() - now / now.sum()).sum())


def anderson_darling(pair: Pair) -> float | None:
    """k-sample Anderson-Darling p-value, which scipy bounds to 0.001 to 0.25."""
    from scipy import stats

    if pair.distinct < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the p-value is at its bound
        return float(stats.anderson_ksamp(list(pair.numbers)).pvalue)


def cramer_von_mises(pair: Pair) -> float | None:
    """Two-sample Cramer-von Mises p-value; None with fewer than two values on a side."""
    from scipy import stats

    return float(stats.cramervonmises_2samp(*pair.numbers).pvalue) if min(pair.sizes) > 1 else None


def energy(pair: Pair) -> float | None:
    """Energy distance (`scipy.stats.energy_distance`)."""
    values, below, above = _merged(*pair.numbers)
    return math.sqrt(2 * float(np.sum((below[:-1] - above[:-1]) ** 2 * np.diff(values))))


def epps_singleton(pair: Pair) -> float | None:
    """Epps-Singleton p-value; None when the middle half of the values is one value, or a side has under five."""
    from scipy import stats

    low, high = np.percentile(np.concatenate(pair.numbers), [25, 75])
    if low == high or min(pair.sizes) < 5:
        return None
    return float(stats.epps_singleton_2samp(*pair.numbers).pvalue)


def mann_whitney_one_sided(pair: Pair) -> float | None:
    """Mann-Whitney p-value that the reference is stochastically less."""
    from scipy import stats

    return float(stats.mannwhitneyu(*pair.numbers, alternative="less").pvalue)


def mann_whitney(pair: Pair) -> float | None:
    """Two-sided Mann-Whitney p-value."""
    from scipy import stats

    return float(stats.mannwhitneyu(*pair.numbers).pvalue)


def students_t(pair: Pair) -> float | None:
    """Student's t, equal variances, two-sided; None where neither side varies."""
    from scipy import stats

    if min(pair.sizes) < 2 or pair.distinct < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly identical values: the result says so
        return float(stats.ttest_ind(*pair.numbers).pvalue)


def maximum_mean_discrepancy(pair: Pair) -> float | None:
    """p-value of the unbiased MMD (RBF kernel, median heuristic) by 100 seeded permutations.

    Gretton et al., Journal of Machine Learning Research 13 (2012).
    """
    rng = np.random.default_rng(0)
    first, second = (side if len(side) <= SAMPLE else rng.choice(side, SAMPLE, replace=False) for side in pair.numbers)
    if min(len(first), len(second)) < 2:
        return None
    values = np.concatenate([first, second])
    apart = (values[:, None] - values[None, :]) ** 2
    own = apart[: len(first), : len(first)]
    spread = 0.5 * float(np.percentile(own, 50, method="nearest")) or 0.5
    kernel = np.exp(-apart / (2 * spread))
    np.fill_diagonal(kernel, 0.0)
    signs = np.zeros((101, len(values)), dtype=bool)
    signs[0, : len(first)] = True
    for row in signs[1:]:
        row[rng.permutation(len(values))[: len(first)]] = True
    n, m = len(first), len(second)
    inside = signs.astype(np.float64)
    own_sum = np.einsum("ij,ij->i", inside @ kernel, inside)
    other_sum = np.einsum("ij,ij->i", (1 - inside) @ kernel, 1 - inside)
    cross = (kernel.sum() - own_sum - other_sum) / 2
    found = own_sum / (n * (n - 1)) + other_sum / (m * (m - 1)) - 2 * cross / (n * m)
    return float(np.mean(found[0] <= found[1:]))


# Bins ----------------------------------------------------------------------------------------------------------------


def shares(pair: Pair) -> tuple[Floats, Floats]:
    """Shares of each side by value, or for numbers of more than 20 reference values by bin over both sides."""
    if pair.kind == "num" and pair.distinct_reference > 20:
        first, second = pair.numbers
        low, high = min(first[0], second[0]), max(first[-1], second[-1])
        edges = sturges_edges(low, high, len(first) + len(second), is_integer=pair.is_integer)
        return histogram(first, edges) / len(first), histogram(second, edges) / len(second)
    then, now = pair.counts()
    return then / then.sum(), now / now.sum()


def sturges_edges(low: float, high: float, size: int, *, is_integer: bool) -> Floats:
    """As `numpy.histogram_bin_edges(..., bins="sturges")` of `size` values between `low` and `high`."""
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    width = (high - low) / (np.log2(size) + 1.0)
    if is_integer:
        width = max(width, 1.0)
    edges: Floats = np.linspace(low, high, math.ceil((high - low) / width) + 1)
    return edges


def histogram(ordered: Floats, edges: Floats) -> Counts:
    """Values by bin, of ascending values; the last bin includes its upper edge."""
    places = np.searchsorted(ordered, edges, side="left")
    places[-1] = np.searchsorted(ordered, edges[-1], side="right")
    return np.diff(places).astype(np.int64)


def _filled(share: Floats) -> Floats:
    least = float(share[share > 0].min())
    return np.where(share == 0, least / 10**6 if least <= 0.0001 else 0.0001, share)


def _seen(pair: Pair) -> tuple[Counts, Counts]:
    then, now = pair.counts()
    seen = (then + now) > 0
    return then[seen], now[seen]


def _in_value_order(pair: Pair) -> tuple[Counts, Counts]:
    if pair.kind == "num":
        return pair.counts()
    labels: tuple[Any, ...] = pair.table[0]
    order = sorted(range(len(labels)), key=lambda place: labels[place])
    return pair.table[1][order], pair.table[2][order]
