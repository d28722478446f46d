"""From many p-values to one decision: sub-tests of a column by the Cauchy combination, columns by Holm's step-down."""

from collections.abc import Mapping, Sequence
from math import atan2, pi, tan

HIGHEST = 0.9
"""A sub-test that sees nothing may not outvote one that does: its p counts as no higher than this."""


def cauchy(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """One p-value of several that depend on each other in unknown ways; 1 when there are none.

    The weighted mean of standard Cauchy quantiles is about standard Cauchy in its tail under any correlation of normal
    sub-tests (Liu and Xie, Journal of the American Statistical Association 115, 2020). Weights are scaled to the
    sub-tests that could be made.

    >>> round(cauchy({"a": 0.001, "b": 0.5}, {"a": 1, "b": 1}), 4)
    0.002
    """
    if not parts:
        return 1.0
    total = sum(weights[name] for name in parts)
    statistic = sum(weights[name] / total / tan(pi * min(max(p, 1e-300), HIGHEST)) for name, p in parts.items())
    return atan2(1.0, statistic) / pi


def holm(raw: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values that keep the family-wise error under any dependence; None stays None and does not count.

    Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, None, 0.04, 0.02])
    [0.03, None, 0.04, 0.04]
    """
    known = sorted((p, place) for place, p in enumerate(raw) if p is not None)
    adjusted: list[float | None] = [None] * len(raw)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted
