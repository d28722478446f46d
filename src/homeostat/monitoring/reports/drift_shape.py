"""What is kept of a column once its rows are let go: its distribution on both sides, to be shown and to be told."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from homeostat.monitoring.reports.blocks import Bars, Histogram, Spark
from homeostat.monitoring.reports.univariate.bins import histogram
from homeostat.monitoring.reports.univariate.pair import Pair, Side

BINS, SPARK_BINS = 24, 12
SMALL_BINS = 10
"""Of the older result shape."""
BARS = 20
"""So many categories are drawn; the rest are one bar."""
MOST_LABELS = 10_000
"""So many categories the older result shape lists, the most frequent of the reference."""
EDGE = 0.005
"""Values beyond these quantiles of both sides share the outermost bins."""

Floats = npt.NDArray[np.float64]


class Shape(NamedTuple):
    """One column of both frames; of texts there is only how many there are."""

    sides: tuple[Side, Side]
    drawn: Histogram | Bars | None = None
    spark: Spark | None = None
    small: tuple[dict[str, Any] | None, dict[str, Any] | None] = (None, None)
    """`small_distribution` of the older result shape: reference, current."""

    @property
    def missing_shares(self) -> tuple[float | None, float | None]:
        """Share of rows without a value; None of no rows."""
        first, second = (round(side.missing / side.rows, 4) if side.rows else None for side in self.sides)
        return first, second


def shape_of(pair: Pair) -> Shape:
    """The shape of a column."""
    match pair.kind:
        case "num":
            drawn, fine = _histogram(pair, BINS), _histogram(pair, SPARK_BINS)
            small = tuple(small_distribution(values) for values in pair.numbers)
            return Shape(pair.sides, drawn, _spark(fine), small)  # type: ignore[arg-type]
        case "cat":
            bars = _bars(pair)
            return Shape(pair.sides, bars, _spark(bars), _small_counts(pair))
        case _:
            return Shape(pair.sides)


def small_distribution(ordered: Floats) -> dict[str, list[float]]:
    """Ten bins of equal width over ascending values: 11 edges `x`, 10 densities `y`, as numpy's histogram has them."""
    if not len(ordered):
        return {"x": [], "y": []}
    low, high = ordered[0], ordered[-1]
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, SMALL_BINS + 1)
    density = histogram(ordered, edges) / np.diff(edges) / len(ordered)
    return {"x": edges.tolist(), "y": density.tolist()}


def _small_counts(pair: Pair) -> tuple[dict[str, Any], dict[str, Any]]:
    """Labels in the order in which they print, and rows by label."""
    import polars as pl

    labels = pair.table.labels.head(MOST_LABELS)
    order = labels.cast(pl.String, strict=False).arg_sort()
    names, places = labels.gather(order).to_list(), order.to_numpy()
    first, second = (
        {"x": names, "y": side[:MOST_LABELS][places].tolist()} for side in (pair.table.reference, pair.table.current)
    )
    return first, second


def _histogram(pair: Pair, bins: int) -> Histogram:
    edges = _common_edges(pair, bins)
    first, second = (_shares(values, edges) for values in pair.numbers)
    shown = tuple(float(f"{edge:.6g}") for edge in edges)
    return Histogram(title=pair.name, edges=shown, series=(("reference", first), ("current", second)))


def _common_edges(pair: Pair, bins: int) -> Floats:
    ends = [_quantiles(values) for values in pair.numbers if len(values)]
    if not ends:
        return np.array([0.0, 1.0])
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    if pair.is_integer and high - low < bins:
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    edges: Floats = np.linspace(low, high, bins + 1)
    return edges


def _quantiles(ordered: Floats) -> tuple[float, float]:
    places = (EDGE * (len(ordered) - 1), (1 - EDGE) * (len(ordered) - 1))
    low, high = (float(ordered[round(place)]) for place in places)
    return low, high


def _shares(ordered: Floats, edges: Floats) -> tuple[float, ...]:
    """Share of ascending values by bin, those beyond the ends in the outermost bins."""
    if not len(ordered):
        return (0.0,) * (len(edges) - 1)
    inner = np.searchsorted(ordered, edges[1:-1], side="right")
    counts = np.diff(np.concatenate([[0], inner, [len(ordered)]]))
    return tuple(np.round(counts / len(ordered), 5).tolist())


def _bars(pair: Pair) -> Bars:
    labels, *sides = pair.table
    series, rest = [], []
    for name, counts in zip(("reference", "current"), sides, strict=True):
        rows = max(int(counts.sum()), 1)
        series.append((name, tuple(np.round(counts[:BARS] / rows, 5).tolist())))
        rest.append(f"{counts[BARS:].sum() / rows:.1%} of the {name} rows")
    # Drawn as one bar, what is left would press those that are named against the edge.
    others = f"{len(labels) - BARS:,} other values: {', '.join(rest)}" if len(labels) > BARS else ""
    names = tuple(str(label)[:80] for label in labels.head(BARS))
    return Bars(title=pair.name, labels=names, series=tuple(series), x=others)


def _spark(drawn: Histogram | Bars) -> Spark:
    (_, then), (_, now) = drawn.series
    return Spark(reference=then[:16], current=now[:16])
