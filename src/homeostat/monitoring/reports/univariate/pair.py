"""One column of two frames, made ready once for whichever test looks at it."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Side(NamedTuple):
    """Of one frame: its rows, and how many of them have no value (null, NaN; for numbers infinities, too)."""

    rows: int
    missing: int
    infinite: int


class Pair:
    """A column's values on both sides, without those that are missing.

    Numbers are finite and sorted, which most tests need; categories are counted.
    """

    def __init__(self, reference: pl.Series, current: pl.Series, *, kind: str) -> None:
        self.name = reference.name
        self.kind = kind
        self.is_integer = reference.dtype.is_integer() and current.dtype.is_integer()
        self._series = (reference, current)

    @cached_property
    def numbers(self) -> tuple[Floats, Floats]:
        """Finite values of each side, ascending."""
        return _finite_sorted(self._series[0]), _finite_sorted(self._series[1])

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Rows, missing and infinite values of each side."""
        return _side(self._series[0]), _side(self._series[1])

    @cached_property
    def table(self) -> tuple[tuple[Any, ...], Counts, Counts]:
        """Distinct values of both sides (the most frequent of the reference first), and rows of each side by value."""
        counted = [_counted(series) for series in self._series]
        joined = counted[0].join(counted[1], on="value", how="full", coalesce=True, suffix="_current").fill_null(0)
        joined = joined.sort("count", "count_current", "value", descending=[True, True, False])
        counts = (joined["count"].to_numpy().astype(np.int64), joined["count_current"].to_numpy().astype(np.int64))
        return tuple(joined["value"].to_list()), *counts

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Values of each side."""
        if self.kind == "num":
            return len(self.numbers[0]), len(self.numbers[1])
        return tuple(int(counts.sum()) for counts in self.table[1:])  # type: ignore[return-value]

    @cached_property
    def distinct(self) -> int:
        """Distinct values of both sides together."""
        if self.kind != "num":
            return len(self.table[0])
        first, second = (_unique_of_sorted(values) for values in self.numbers)
        return len(np.union1d(first, second))

    @cached_property
    def distinct_reference(self) -> int:
        """Distinct values of the reference."""
        if self.kind != "num":
            return int((self.table[1] > 0).sum())
        return len(_unique_of_sorted(self.numbers[0]))

    def counts(self) -> tuple[Counts, Counts]:
        """Rows by distinct value, over the values of both sides."""
        if self.kind != "num":
            return self.table[1], self.table[2]
        first, second = self.numbers
        values = np.union1d(_unique_of_sorted(first), _unique_of_sorted(second))
        return _counts_at(first, values), _counts_at(second, values)


def as_category(series: pl.Series) -> pl.Series:
    """A column's values as labels: 1 and 1.0 are one value, None and NaN are missing."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.dtype in (pl.Categorical, pl.Enum, pl.Boolean) or series.dtype.is_nested() or series.dtype == pl.Object:
        return series.cast(pl.String, strict=False) if series.dtype != pl.Object else _printed(series)
    return series


def as_numbers(series: pl.Series) -> Floats:
    """A column's values as float64, NaN where there is none or none that is a number."""
    if series.dtype == pl.Duration:
        series = series.dt.total_microseconds()
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        series = series.cast(pl.Float64, strict=False)
    numbers: Floats = series.cast(pl.Float64).to_numpy()
    return numbers


def _finite_sorted(series: pl.Series) -> Floats:
    values = as_numbers(series)
    finite = np.isfinite(values)
    return np.sort(values if finite.all() else values[finite])


def _side(series: pl.Series) -> Side:
    missing = series.null_count()
    infinite = 0
    if series.dtype.is_float():
        missing += int(series.is_nan().sum() or 0)
        infinite = int(series.is_infinite().sum() or 0)
    return Side(rows=len(series), missing=missing, infinite=infinite)


def _counted(series: pl.Series) -> pl.DataFrame:
    labels = as_category(series).alias("value").drop_nulls()
    labels = labels.cast(pl.Float64) if labels.dtype.is_numeric() else labels.cast(pl.String)
    return labels.value_counts(name="count")


def _printed(series: pl.Series) -> pl.Series:
    return pl.Series(series.name, [None if value is None else str(value) for value in series], dtype=pl.String)


def _unique_of_sorted(values: Floats) -> Floats:
    if len(values) < 2:
        return values
    distinct: Floats = values[np.concatenate([[True], values[1:] != values[:-1]])]
    return distinct


def _counts_at(ordered: Floats, values: Floats) -> Counts:
    ends = np.searchsorted(ordered, values, side="right")
    return np.diff(np.concatenate([[0], ends])).astype(np.int64)
