"""The sub-tests of a column: each a p-value from counts by cell, from a formula, in microseconds.

All are conditional on the pooled cells: if nothing has moved, the rows of the smaller side are a draw without
replacement from the pooled ones, whose moments are known exactly, ties and all.
"""

import numpy as np
import numpy.typing as npt

from homeostat.monitoring.calibrated.tables import Counts, Floats, Table

DEGREE = 4
"""Neyman's smooth components: 1 location, 2 spread, 3 and 4 skewness and tails."""
MOST_SKEW = 0.3
"""A component whose null is more skewed than this is left to the exact tests: nearly all rows share one value."""
EXPECTED = 10.0
"""Rows that the smaller side should expect of a cell of its own."""
GROUPS = 16
"""Groups of numbers that are not ties, each with about the same number of rows."""
RARE = 2.0
"""Cells of which the smaller side expects fewer rows than this are counted together."""
TOGETHER = 5.0
"""So many rows it should then expect of them, or the next smallest cells join them."""

Parts = dict[str, float]


def numbers(table: Table) -> Parts:
    """Location, location and spread, four components of shape, Kolmogorov-Smirnov, chi-square over ties and groups."""
    if len(table.pooled) < 2:
        return {}
    parts = _smooth(table)
    parts["ks"] = _ks(table)
    then, now = _grouped(table)
    if len(then) > 1:
        parts["value"] = largest_cell(then, now)
        parts |= _chi_square("bins", then, now)
    return parts


def categories(table: Table) -> Parts:
    """Chi-square over the categories, the one that moved most, and how many are new."""
    if len(table.pooled) < 2:
        return {}
    parts: Parts = {"value": largest_cell(table.reference, table.current), "new": _new_values(table)}
    return parts | _chi_square("categories", table.reference, table.current)


def missing(table: Table) -> Parts:
    """Whether other shares of the rows have no value; nothing when all of them have one, or none."""
    if not 0 < sum(table.missing) < sum(table.rows):
        return {}
    gone, known = np.array(table.missing), np.array(table.values)
    return {"missing": share(gone[0], known[0], gone[1], known[1])}


# Numbers -------------------------------------------------------------------------------------------------------------


def _smooth(table: Table) -> Parts:
    """Neyman's smooth test in steps: Legendre polynomials of mid-ranks, made orthogonal on the pooled cells.

    Rayner, Thas and Best, Smooth Tests of Goodness of Fit (2009). Location is Wilcoxon's test.
    """
    from scipy.special import chdtrc

    z = smooth_components(table)
    if not len(z):
        return {}
    squares = np.cumsum(z**2)
    parts = {"location": float(chdtrc(1, squares[0]))}
    if len(z) > 1:
        parts["spread"] = float(chdtrc(2, squares[1]))
    if len(z) > 2:
        parts["shape"] = float(chdtrc(len(z), squares[-1]))
    return parts


def smooth_components(table: Table) -> Floats:
    """Standard normal scores of location, spread, ... when nothing has moved; fewer when there are few values."""
    weights = table.pooled / table.pooled.sum()
    scores = orthonormal(midranks(weights), weights)
    if not len(scores):
        return np.empty(0)
    (n, m), total = table.values, sum(table.values)
    z = scores @ table.distance / np.sqrt(total / (total - 1) * (1 / n + 1 / m))
    skew = (scores**3) @ weights * (n - m) / np.sqrt(float(n) * m * total)
    z /= 1 + np.maximum(skew * z, 0) / 6  # first term of Cornish and Fisher, on the side where it makes p larger
    too_skewed = np.flatnonzero(np.abs(skew) > MOST_SKEW)
    kept: Floats = z[: too_skewed[0]] if len(too_skewed) else z
    return kept


def midranks(weights: Floats) -> Floats:
    """Rank of each cell's middle among all rows, from 0 to 1; `weights` are shares of the rows by ascending cell."""
    return np.cumsum(weights) - weights / 2


def orthonormal(ranks: Floats, weights: Floats, degree: int = DEGREE) -> Floats:
    """Legendre polynomials of the ranks with mean 0, variance 1 and no correlation over the rows; one row each.

    There are fewer than `degree` where there are too few cells to tell them apart.
    """
    x = 2 * ranks - 1
    raw = (x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2, (35 * x**4 - 30 * x**2 + 3) / 8)
    found: list[Floats] = []
    for polynomial in raw[:degree]:
        rest = polynomial - polynomial @ weights
        for earlier in found:
            rest = rest - ((rest * weights) @ earlier) * earlier
        variance = float((rest**2) @ weights)
        if variance < 1e-9:
            break
        found.append(rest / np.sqrt(variance))
    return np.array(found)


def _ks(table: Table) -> float:
    """Kolmogorov-Smirnov, asymptotic; with ties it is on the safe side."""
    from scipy.special import kolmogorov

    n, m = table.values
    return float(kolmogorov(table.ks() * np.sqrt(n * m / (n + m))))


def _grouped(table: Table) -> tuple[Counts, Counts]:
    """Rows by frequent value, then by group of all the others, in which each group has about as many rows."""
    share = table.smaller_share
    heavy = table.atom & (table.pooled * share >= EXPECTED) & (table.pooled * 4 * GROUPS >= table.pooled.sum())
    light = np.where(heavy, 0, table.pooled)
    rows = int(light.sum())
    groups = int(np.clip(rows * share / EXPECTED, 1, GROUPS))
    place = np.minimum(((np.cumsum(light) - light / 2) * groups / max(rows, 1)).astype(np.int64), groups - 1)
    place[heavy] = groups + np.arange(np.count_nonzero(heavy))
    then, now = (
        np.bincount(place, weights=side, minlength=groups).astype(np.int64) for side in (table.reference, table.current)
    )
    seen = (then + now) > 0
    return then[seen], now[seen]


# Categories ----------------------------------------------------------------------------------------------------------


def _new_values(table: Table) -> float:
    """Whether more values are without a row in the reference than the rarity of values explains.

    A value with c rows in all is on the current side alone with probability (its share)^c. Their number is a sum of
    such events, which hold each other back a little, so Poisson's upper tail is on the safe side.
    """
    from scipy.special import pdtrc

    n, m = table.values
    new = np.count_nonzero(table.reference == 0)
    expected = float(np.exp(table.pooled * np.log(m / (n + m))).sum())
    return float(pdtrc(new - 1, expected)) if new else 1.0


# Counts --------------------------------------------------------------------------------------------------------------


def _chi_square(name: str, then: Counts, now: Counts) -> Parts:
    then, now = rare_together(then, now)
    return {name: chi_square(then, now)} if len(then) > 1 else {}


def rare_together(then: Counts, now: Counts) -> tuple[Counts, Counts]:
    """The cells, with those counted as one of which too few rows are to be expected for a chi-square."""
    pooled = then + now
    expected = pooled * min(then.sum(), now.sum()) / pooled.sum()
    order = np.argsort(pooled, kind="stable")
    rare = int(np.count_nonzero(expected < RARE))
    if not rare and expected[order[0]] >= TOGETHER:
        return then, now
    enough = int(np.searchsorted(np.cumsum(expected[order]), TOGETHER)) + 1
    together, alone = np.split(order, [max(rare, enough)])
    return np.append(then[alone], then[together].sum()), np.append(now[alone], now[together].sum())


def chi_square(then: Counts, now: Counts) -> float:
    """Two-sample chi-square over cells with a gamma tail that has the statistic's exact mean and variance.

    Haldane, Biometrika 31 (1940), gives both for fixed margins, so that no cell has to be large.
    """
    from scipy.special import gammaincc

    pooled = (then + now).astype(np.float64)
    n, m, total = float(then.sum()), float(now.sum()), float(pooled.sum())
    statistic = float(((now - pooled * (m / total)) ** 2 / pooled).sum() * total * total / (n * m))
    mean, variance = chi_square_moments(n, m, pooled)
    if statistic <= 0 or variance <= 0:
        return 1.0
    return float(gammaincc(mean * mean / variance, statistic * mean / variance))


def chi_square_moments(n: float, m: float, pooled: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and variance of the 2 x k chi-square given its margins: side totals n and m, cell totals `pooled`."""
    total, k = n + m, len(pooled)
    mean = (k - 1) * total / (total - 1)
    if total < 4:
        return mean, 0.0
    by_side = (total * (1 / n + 1 / m) - 4) / (total - 2)
    by_cell = (total * float((1 / pooled).sum()) - k * k) / (total - 2)
    free_sides, free_cells = (total - 2) / (total - 1), (total - k) * (k - 1) / (total - 1)
    variance = 2 * total / (total - 3) * (free_sides - by_side) * (free_cells - by_cell)
    return mean, variance + total * total / (total - 1) * by_side * by_cell


def largest_cell(then: Counts, now: Counts) -> float:
    """The cell that moved most, by exact binomial tails, corrected for the number of cells (Bonferroni)."""
    p = _cell_tails(then, now)
    return min(1.0, float(p.min()) * len(p))


def share(first: int, first_rest: int, second: int, second_rest: int) -> float:
    """Whether a share is the same on two sides, two-sided: exact when a count is small, else normal.

    >>> round(share(0, 1000, 8, 992), 4)
    0.0078
    """
    from scipy.special import ndtr

    n, m = int(first + first_rest), int(second + second_rest)
    having = (first + second) / (n + m)
    if min(n, m) * min(having, 1 - having) < EXPECTED:
        return float(_cell_tails(np.array([first, first_rest]), np.array([second, second_rest])).min())
    spread = np.sqrt(having * (1 - having) * (1 / n + 1 / m) * (n + m) / (n + m - 1))
    return float(2 * ndtr(-abs(second / m - first / n) / spread))


def _cell_tails(then: Counts, now: Counts) -> Floats:
    """Two-sided p of each cell: of its rows, how many should be current?

    Binomial instead of hypergeometric tails: a little on the safe side, and of a cell with most of the rows the others
    are looked at, so that it is only a little.
    """
    from scipy.special import bdtr, bdtrc

    n, m = int(then.sum()), int(now.sum())
    pooled = then + now
    most = pooled * 2 > n + m
    rows = np.where(most, n + m - pooled, pooled)
    current = np.where(most, m - now, now).astype(np.float64)
    below = bdtr(current, rows, m / (n + m))
    above = np.where(current > 0, bdtrc(np.maximum(current - 1, 0), rows, m / (n + m)), 1.0)
    both_sides: npt.NDArray[np.float64] = np.minimum(1.0, 2 * np.minimum(below, above))
    return both_sides
