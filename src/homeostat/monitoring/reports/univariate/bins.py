"""Shares by value or by bin, as Evidently 0.7.23 makes them: its bins lie over both sides together."""

import math

import numpy as np

from homeostat.monitoring.reports.univariate.pair import Counts, Floats, Pair, unique_of_sorted

FEW = 20
"""Numbers of which the reference has no more distinct values than this are counted by value."""


def shares(pair: Pair) -> tuple[Floats, Floats]:
    """Shares of each side: by value, or for numbers of many values by bin."""
    if pair.kind == "num" and not pair.reference_has_at_most(FEW):
        first, second = pair.numbers
        low, high = min(first[0], second[0]), max(first[-1], second[-1])
        edges = sturges_edges(low, high, len(first) + len(second), is_integer=pair.is_integer)
        return histogram(first, edges) / len(first), histogram(second, edges) / len(second)
    then, now = pair.counts()
    return then / then.sum(), now / now.sum()


def shares_by_distinct(pair: Pair) -> tuple[Floats, Floats]:
    """The same, but numbers always by bin, and their number from the distinct values (as for Hellinger's distance)."""
    if pair.kind != "num":
        return shares(pair)
    values = unique_of_sorted(np.sort(np.concatenate([unique_of_sorted(side) for side in pair.numbers])))
    edges = sturges_edges(values[0], values[-1], len(values), is_integer=pair.is_integer)
    first, second = (histogram(side, edges) / len(side) for side in pair.numbers)
    return first, second


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
