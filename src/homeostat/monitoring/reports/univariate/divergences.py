"""How far two distributions lie apart, 0 for equal ones: over values, or over bins of numbers.

The bins depend on both sides, so that scores of different windows are only roughly comparable.
"""

import math

import numpy as np

from homeostat.monitoring.reports.univariate.bins import shares, shares_by_distinct
from homeostat.monitoring.reports.univariate.pair import Floats, Pair


def jensen_shannon(pair: Pair) -> float:
    """Jensen-Shannon distance, natural logarithm, 0 to 0.83 (`scipy.spatial.distance.jensenshannon`)."""
    then, now = (side / side.sum() for side in shares(pair))
    middle = (then + now) / 2
    return math.sqrt(max((_relative_entropy(then, middle) + _relative_entropy(now, middle)) / 2, 0.0))


def population_stability(pair: Pair) -> float:
    """PSI; empty bins count as 0.0001, or less where shares are."""
    then, now = (_filled(side) for side in shares(pair))
    return float(np.sum((then - now) * np.log(then / now)))


def kullback_leibler(pair: Pair) -> float:
    """Divergence of the reference from the current shares, empty bins filled as for PSI."""
    then, now = (_filled(side) for side in shares(pair))
    return max(_relative_entropy(then / then.sum(), now / now.sum()), 0.0)


def hellinger(pair: Pair) -> float:
    """Hellinger distance, 0 to 1."""
    then, now = shares_by_distinct(pair)
    return math.sqrt(1 - min(max(float(np.sum(np.sqrt(then * now))), 0.0), 1.0))


def _relative_entropy(first: Floats, second: Floats) -> float:
    """Sum of p log(p / q); where p is nothing, so is the term. scipy.special has it, at a quarter second of import."""
    seen = first > 0
    return float(np.sum(first[seen] * np.log(first[seen] / second[seen])))


def _filled(share: Floats) -> Floats:
    least = float(share[share > 0].min())
    return np.where(share == 0, least / 10**6 if least <= 0.0001 else 0.0001, share)
