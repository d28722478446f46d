"""A column on both sides as one table of counts: cells of values, each with its rows of the reference and of now.

Numbers become cells in ascending order: every value that occurs often is a cell of its own, and so is each gap between
two of them. On up to `GRID` rows a side nothing is lost; of more, the cells are cut at `GRID` quantiles of either side,
so that a cell holds a thousandth of the rows and frequent values keep their place. Ranks, Kolmogorov-Smirnov and
chi-square then have one theory on raw values and on frozen bins: any split of the rows between the sides is as likely
as any other, given the pooled cells.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid

GRID = 1024

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Table:
    """Cells of one column; those that neither side has are left out."""

    def __init__(
        self,
        name: str,
        kind: str,
        reference: Counts,
        current: Counts,
        atom: npt.NDArray[np.bool_],
        missing: tuple[int, int],
    ) -> None:
        seen = (reference + current) > 0
        self.name = name
        self.kind = kind
        self.reference: Counts = reference[seen]
        self.current: Counts = current[seen]
        self.atom = atom[seen]
        """Whether the cell is one value (or one bin), and not the gap between two."""
        self.missing = missing
        self.values = (int(self.reference.sum()), int(self.current.sum()))
        """Rows that have a value, on either side."""

    @property
    def rows(self) -> tuple[int, int]:
        """Rows on either side."""
        return self.values[0] + self.missing[0], self.values[1] + self.missing[1]

    @cached_property
    def pooled(self) -> Counts:
        """Rows of both sides by cell."""
        return self.reference + self.current

    @cached_property
    def smaller_share(self) -> float:
        """The smaller side's share of all rows with a value: what it can expect of a cell."""
        return min(self.values) / max(sum(self.values), 1)

    @cached_property
    def distance(self) -> Floats:
        """Share of the current side less that of the reference, by cell; zeros when a side is empty."""
        if not min(self.values):
            return np.zeros(len(self.pooled))
        return self.current / self.values[1] - self.reference / self.values[0]

    def effect(self, *, few: int = 1) -> tuple[str, float | None]:
        """What moved most and by how much: ('ks' or 'tv' or 'missing', 0 to 1); None when a side has no rows.

        With fewer than `few` values on a side nothing is said about the values.
        """
        if not min(self.rows):
            return "missing", None
        missing = abs(self.missing[1] / self.rows[1] - self.missing[0] / self.rows[0])
        measure, values = ("ks", self.ks()) if self.kind == "num" else ("tv", float(np.abs(self.distance).sum() / 2))
        return ("missing", missing) if missing > values or min(self.values) < few else (measure, values)

    def ks(self) -> float:
        """The largest difference between the two distribution functions at the cells' ends."""
        return float(np.abs(np.cumsum(self.distance)).max()) if len(self.pooled) else 0.0


def table_of(
    name: str, kind: str, form: str, reference: npt.ArrayLike, current: npt.ArrayLike, missing: tuple[int, int] = (0, 0)
) -> Table:
    """The table of a `ColumnPair`.

    Raises:
        Invalid: for a kind or a form that there is not, and counts that are not over the same cells.
    """
    match kind, form:
        case (("num" | "cat"), "counts"):
            return _of_counts(name, kind, reference, current, missing)
        case "num", ("values" | "sorted"):
            return _of_numbers(name, reference, current, missing, is_sorted=form == "sorted")
        case "cat", "values":
            return _of_codes(name, reference, current, missing)
    raise Invalid(
        f"column {name!r} is of kind {kind!r} in form {form!r}",
        field=name,
        next_step="give 'num' as values, sorted or counts, or 'cat' as values or counts",
    )


def _of_counts(
    name: str, kind: str, reference: npt.ArrayLike, current: npt.ArrayLike, missing: tuple[int, int]
) -> Table:
    then, now = np.asarray(reference, dtype=np.int64), np.asarray(current, dtype=np.int64)
    if then.shape != now.shape or then.ndim != 1:
        raise Invalid(
            f"column {name!r} has counts of shapes {then.shape} and {now.shape}",
            field=name,
            next_step="give rows by the same bins or categories for both sides",
        )
    return Table(name, kind, then, now, np.ones(len(then), dtype=np.bool_), missing)


def _of_codes(name: str, reference: npt.ArrayLike, current: npt.ArrayLike, missing: tuple[int, int]) -> Table:
    (then, gone), (now, going) = (_codes(side) for side in (reference, current))
    width = max(int(side.max(initial=-1)) + 1 for side in (then, now))
    if width > 4 * (len(then) + len(now)) + 1024:  # hashes or ids as codes: their number is what counts, not their size
        both, places = np.unique(np.concatenate([then, now]), return_inverse=True)
        then, now, width = places[: len(then)], places[len(then) :], len(both)
    counts = [np.bincount(side, minlength=width).astype(np.int64) for side in (then, now)]
    return _of_counts(name, "cat", counts[0], counts[1], (missing[0] + gone, missing[1] + going))


def _codes(side: npt.ArrayLike) -> tuple[npt.NDArray[Any], int]:
    codes = np.asarray(side)
    if codes.dtype.kind == "f":
        codes = np.where(np.isnan(codes), -1, codes)
    codes = codes.astype(np.int64, copy=False)
    present = codes >= 0
    known = int(np.count_nonzero(present))
    return (codes if known == len(codes) else codes[present]), len(codes) - known


def _of_numbers(
    name: str, reference: npt.ArrayLike, current: npt.ArrayLike, missing: tuple[int, int], *, is_sorted: bool
) -> Table:
    (then, gone), (now, going) = (_ascending(side, is_sorted=is_sorted) for side in (reference, current))
    edges = np.unique(np.concatenate([_grid(then), _grid(now)]))
    counts = [_cells(side, edges) for side in (then, now)]
    pooled = counts[0] + counts[1]
    atom = np.zeros(len(pooled), dtype=np.bool_)
    atom[1::2] = pooled[1::2] > 1  # a value that occurs once is no tie
    return Table(name, "num", counts[0], counts[1], atom, (missing[0] + gone, missing[1] + going))


def _ascending(side: npt.ArrayLike, *, is_sorted: bool) -> tuple[Floats, int]:
    """The values in ascending order, and how many are missing."""
    values = np.asarray(side, dtype=np.float64)
    ordered: Floats = values if is_sorted else np.sort(values)
    known = int(np.searchsorted(ordered, np.nan))  # NaN sorts behind everything
    return ordered[:known], len(ordered) - known


def _grid(ordered: Floats) -> Floats:
    if len(ordered) <= GRID:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, GRID).astype(np.int64)]


def _cells(ordered: Floats, edges: Floats) -> Counts:
    """Rows of: below the first edge, on it, between it and the second, on that, ... above the last."""
    ends = np.empty(2 * len(edges) + 1, dtype=np.int64)
    ends[0:-1:2] = np.searchsorted(ordered, edges, side="left")
    ends[1::2] = np.searchsorted(ordered, edges, side="right")
    ends[-1] = len(ordered)
    return np.diff(ends, prepend=0)
