"""Kolmogorov-Smirnov: the largest distance between two empirical distribution functions, and its p-value."""

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Floats, Pair

EXACT = 10_000
"""Up to as many rows on each side the p-value is exact, beyond it is asymptotic, as scipy has it."""


def kolmogorov_smirnov(pair: Pair) -> float:
    """Two-sample p-value (`scipy.stats.ks_2samp`)."""
    first, second = pair.numbers
    sizes = len(first), len(second)
    if sizes[0] == sizes[1] <= EXACT:
        return _outside_square(sizes[0], round(ks_distance(first, second) * sizes[0]))
    from scipy import stats

    if max(sizes) <= EXACT:
        return float(stats.ks_2samp(first, second).pvalue)
    effective = float(sizes[0]) * sizes[1] / (sizes[0] + sizes[1])
    return float(stats.kstwo.sf(ks_distance(first, second), np.round(effective)))


def ks_distance(first: Floats, second: Floats) -> float:
    """The distance, of ascending values: each function is the higher one only at values of its own."""
    return max(0.0, _lead(first, second), _lead(second, first))


def _lead(own: Floats, other: Floats) -> float:
    if not len(own):
        return 0.0
    height = np.arange(1, len(own) + 1) / len(own)
    return float((height - np.searchsorted(other, own, side="right") / max(len(other), 1)).max())


def _outside_square(size: int, steps: int) -> float:
    """Share of paths from (0, 0) to (size, size) that leave the band of `steps` around the diagonal.

    Hodges, Arkiv foer Matematik 3 (1958): P = 2 A0 (1 - A1 (1 - A2 (...))), each A a product of `steps` fractions.
    """
    if steps == 0:
        return 1.0
    place = np.arange((size // steps + 1) * steps, dtype=np.float64)
    products = ((size - place) / (size + place + 1)).reshape(-1, steps).prod(axis=1)
    share = 0.0
    for product in products[::-1]:
        share = float(product) * (1.0 - share)
    return min(1.0, 2 * share)
