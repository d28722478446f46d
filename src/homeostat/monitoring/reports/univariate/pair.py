"""One column of two frames, made ready once for whichever test looks at it."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]


class Side(NamedTuple):
    """Of one frame: its rows, and how many of them have no value (null, NaN; for numbers infinities, too)."""

    rows: int
    missing: int
    infinite: int


class Categories(NamedTuple):
    """Distinct values of both sides, the most frequent of the reference first, and each side's rows by value."""

    labels: pl.Series
    reference: Counts
    current: Counts


class Pair:
    """A column's values on both sides, without those that are missing.

    Numbers are finite and sorted, which most tests need; categories are counted; texts stay as they are.
    """

    def __init__(self, reference: pl.Series, current: pl.Series, *, kind: str) -> None:
        self.name = reference.name
        self.kind = kind
        self.is_integer = reference.dtype.is_integer() and current.dtype.is_integer()
        self.series = (reference, current)

    @cached_property
    def numbers(self) -> tuple[Floats, Floats]:
        """Finite values of each side, ascending."""
        return np.sort(_finite(self.series[0])), np.sort(_finite(self.series[1]))

    def numbers_in_order(self) -> tuple[Floats, Floats]:
        """Finite values of each side in the frames' order, which permutations with a seed depend on."""
        return _finite(self.series[0]), _finite(self.series[1])

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Rows, missing and infinite values of each side."""
        return _side(self.series[0]), _side(self.series[1])

    @cached_property
    def table(self) -> Categories:
        """The categories, counted."""
        first, second = self._labels()
        counted = (first.value_counts(name="then"), second.value_counts(name="now"))
        joined = counted[0].join(counted[1], on="value", how="full", coalesce=True).fill_null(0)
        joined = joined.sort("then", "now", "value", descending=[True, True, False])
        counts = (joined[side].to_numpy().astype(np.int64) for side in ("then", "now"))
        return Categories(joined["value"], *counts)

    def codes_in_order(self) -> tuple[Codes, Codes]:
        """Categories as 0, 1, 2, ... (in the order of their values) in the frames' order."""
        first, second = self._labels()
        both = pl.concat([first, second]).rank("dense").to_numpy().astype(np.int64) - 1
        return both[: len(first)], both[len(first) :]

    def texts(self) -> tuple[pl.Series, pl.Series]:
        """Texts of each side in the frames' order."""
        first, second = (side.cast(pl.String, strict=False).drop_nulls() for side in self.series)
        return first, second

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Values of each side."""
        if self.kind == "num":
            return len(self.numbers[0]), len(self.numbers[1])
        if self.kind == "text":
            return len(self.texts()[0]), len(self.texts()[1])
        return int(self.table.reference.sum()), int(self.table.current.sum())

    def has_at_most(self, number: int) -> bool:
        """Whether both sides together have no more distinct values than this."""
        if self.kind != "num":
            return len(self.table.labels) <= number
        first, second = (_first_values(side, number) for side in self.numbers)
        return first is not None and second is not None and len(np.union1d(first, second)) <= number

    def reference_has_at_most(self, number: int) -> bool:
        """Whether the reference has no more distinct values than this."""
        if self.kind != "num":
            return int((self.table.reference > 0).sum()) <= number
        return _first_values(self.numbers[0], number) is not None

    def counts(self) -> tuple[Counts, Counts]:
        """Rows by distinct value, over the values of both sides; of numbers, in ascending order."""
        if self.kind != "num":
            return self.table.reference, self.table.current
        first, second = self.numbers
        values = np.union1d(unique_of_sorted(first), unique_of_sorted(second))
        return _counts_at(first, values), _counts_at(second, values)

    def _labels(self) -> tuple[pl.Series, pl.Series]:
        first, second = (as_category(side).alias("value").drop_nulls() for side in self.series)
        if first.dtype != second.dtype or first.dtype == pl.Null:
            # 1 and 1.0 are one value, and so are 1 and "1"
            wide = pl.Float64 if first.dtype.is_numeric() and second.dtype.is_numeric() else pl.String
            first, second = (side.cast(wide, strict=False) for side in (first, second))
        return first, second


def as_category(series: pl.Series) -> pl.Series:
    """A column's values as labels; None and NaN are missing."""
    if series.dtype.is_float():
        return series.fill_nan(None)
    if series.dtype in (pl.Categorical, pl.Enum):
        return series.cast(pl.String)
    if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary):
        return pl.Series(series.name, [None if value is None else str(value) for value in series], dtype=pl.String)
    return series


def as_numbers(series: pl.Series) -> Floats:
    """A column's values as float64, NaN where there is none or none that is a number."""
    if series.dtype == pl.Duration:
        series = series.dt.total_microseconds()
    numbers: Floats = series.cast(pl.Float64, strict=False).to_numpy()
    return numbers


def unique_of_sorted(values: Floats) -> Floats:
    """Distinct values of ascending ones."""
    if len(values) < 2:
        return values
    distinct: Floats = values[np.concatenate([[True], values[1:] != values[:-1]])]
    return distinct


def _finite(series: pl.Series) -> Floats:
    values = as_numbers(series)
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]


def _side(series: pl.Series) -> Side:
    missing = series.null_count()
    infinite = 0
    if series.dtype.is_float():
        missing += int(series.is_nan().sum() or 0)
        infinite = int(series.is_infinite().sum() or 0)
    return Side(rows=len(series), missing=missing, infinite=infinite)


def _first_values(ordered: Floats, most: int) -> Floats | None:
    """The distinct values, found by leaps; None as soon as there are more than `most`."""
    found: list[Any] = []
    place = 0
    while place < len(ordered):
        if len(found) == most:
            return None
        found.append(ordered[place])
        place = int(np.searchsorted(ordered, ordered[place], side="right"))
    return np.array(found, dtype=np.float64)


def _counts_at(ordered: Floats, values: Floats) -> Counts:
    ends = np.searchsorted(ordered, values, side="right")
    return np.diff(np.concatenate([[0], ends])).astype(np.int64)
