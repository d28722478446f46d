"""How far two samples of numbers lie apart, in the numbers' own unit: earth mover's and energy distance."""

import math

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Floats, Pair

LEAST_SPREAD = 0.001
"""A reference whose standard deviation is less than this counts as spread that much."""
BLOCK = 1 << 20
"""Rows of the reference that are looked at in one go: memory stays bounded."""


def wasserstein_normed(pair: Pair) -> float:
    """Earth mover's distance (`scipy.stats.wasserstein_distance`) by the reference's standard deviation."""
    return wasserstein(*pair.numbers) / max(float(np.std(pair.numbers[0])), LEAST_SPREAD)


def wasserstein(first: Floats, second: Floats) -> float:
    """Mean distance between the quantiles, of ascending values: no merge of the two is needed."""
    n, m = len(first), len(second)
    if n == m:
        return float(np.abs(first - second).mean())
    # Value i of the first covers the units (i m, (i + 1) m] of n m, value j of the second (j n, (j + 1) n].
    moved = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        own = np.arange(start + 1, stop + 1) * m
        other = np.arange(start * m // n + 1, stop * m // n + 1) * n
        ends = np.sort(np.concatenate([own, other]))
        width = np.diff(ends, prepend=start * m)
        moved += float(np.abs(first[(ends - 1) // m] - second[(ends - 1) // n]) @ width)
    return moved / n / m


def energy(pair: Pair) -> float:
    """Energy distance (`scipy.stats.energy_distance`)."""
    first, second = pair.numbers
    values = np.concatenate([first, second])
    values.sort(kind="stable")  # two ascending runs: a merge
    below = np.searchsorted(first, values[:-1], side="right") / len(first)
    above = np.searchsorted(second, values[:-1], side="right") / len(second)
    return math.sqrt(2 * float(((below - above) ** 2) @ np.diff(values)))
