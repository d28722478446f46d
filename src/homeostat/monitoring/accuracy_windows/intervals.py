"""Confidence intervals of a metric: Wilson's for shares of rows, a jackknife over spans of time for everything else."""

from collections.abc import Sequence

import numpy as np

from homeostat.monitoring.accuracy_windows.types import Floats, Ints, Measure

Z = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""
LEAST_SPANS = 3


def wilson(good: int, total: int, z: float = Z) -> tuple[float, float]:
    """The interval of a share (Wilson, Journal of the American Statistical Association 22, 1927).

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, square = good / total, z * z / total
    centre = share + square / 2
    margin = z * float(np.sqrt(share * (1 - share) / total + square / (4 * total)))
    low, high = (centre - margin) / (1 + square), (centre + margin) / (1 + square)
    return (0.0 if good == 0 else low), (1.0 if good == total else high)


def jackknife(value: float, without: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """The interval from the values without each span, where spans have different numbers of rows.

    Delete-m_j jackknife (Busing, Meijer and van der Leeden, Statistics and Computing 9, 1999) with Student's t. Rows of
    one span share what happened then, so it is spans that are left out and not rows.
    """
    from scipy.special import stdtrit

    spans, rows = len(without), sum(sizes)
    left = np.asarray(without, dtype=np.float64)
    weight = rows / np.asarray(sizes, dtype=np.float64)
    pseudo = weight * value - (weight - 1) * left
    centre = spans * value - float(((1 - 1 / weight) * left).sum())
    error = float(np.sqrt(np.sum((pseudo - centre) ** 2 / (weight - 1)) / spans))
    margin = float(stdtrit(spans - 1, 0.975)) * error
    return value - margin, value + margin


def parts_without_spans(
    y: Floats, score: Floats, at: Ints, start: int, end: int, spans: int
) -> tuple[list[tuple[Floats, Floats]], list[int]]:
    """The rows without each of the equal spans that have any, and how many rows each has."""
    place = (at - start) * spans // (end - start)
    present, sizes = np.unique(place, return_counts=True)
    if len(present) < LEAST_SPANS:
        return [], []
    return [(y[place != one], score[place != one]) for one in present.tolist()], sizes.tolist()


def clipped(ends: tuple[float, float], measure: Measure) -> tuple[float, float]:
    """No further than the metric can go."""
    low, high = measure.bounds
    return (
        ends[0] if low is None else max(ends[0], low),
        ends[1] if high is None else min(ends[1], high),
    )
