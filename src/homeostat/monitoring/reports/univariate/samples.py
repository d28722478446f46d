"""Tests of two samples of numbers that scipy has: called as they are, with the cases that it refuses told before.

scipy.stats takes over half a second to load, so that no default test is among them.
"""

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Pair


def anderson_darling(pair: Pair) -> float | None:
    """k-sample Anderson-Darling p-value, which scipy bounds to 0.001 to 0.25; None for a single value or under four."""
    from scipy import stats

    if pair.has_at_most(1) or sum(pair.sizes) < 4:
        return None
    return float(stats.anderson_ksamp(list(pair.numbers)).pvalue)


def cramer_von_mises(pair: Pair) -> float | None:
    """Two-sample Cramer-von Mises p-value; None with fewer than two values on a side."""
    from scipy import stats

    return float(stats.cramervonmises_2samp(*pair.numbers).pvalue) if min(pair.sizes) > 1 else None


def epps_singleton(pair: Pair) -> float | None:
    """Epps-Singleton p-value; None when the middle half of the values is one value, or a side has under five."""
    from scipy import stats

    low, high = np.percentile(np.concatenate(pair.numbers), [25, 75])
    if low == high or min(pair.sizes) < 5:
        return None
    return float(stats.epps_singleton_2samp(*pair.numbers).pvalue)


def mann_whitney(pair: Pair) -> float:
    """Two-sided Mann-Whitney p-value."""
    from scipy import stats

    return float(stats.mannwhitneyu(*pair.numbers).pvalue)


def mann_whitney_one_sided(pair: Pair) -> float:
    """Mann-Whitney p-value that the reference is less: of a shift downwards it says nothing."""
    from scipy import stats

    return float(stats.mannwhitneyu(*pair.numbers, alternative="less").pvalue)


def students_t(pair: Pair) -> float | None:
    """Student's t, equal variances, two-sided; None for a single value."""
    from scipy import stats

    if sum(pair.sizes) < 3 or pair.has_at_most(1):
        return None
    return float(stats.ttest_ind(*pair.numbers).pvalue)
