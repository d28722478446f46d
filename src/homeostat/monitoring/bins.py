"""Reference bins: frozen at training time, so that counts of any two windows add up and compare exactly."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from homeostat.ground.errors import Invalid
from homeostat.ground.records import ColumnBins, FeatureColumn

Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BINS = 16
"""Bins of a number column, each with the same share of the training rows."""
SCORE = "_score"
"""The name under which the model's own answers are profiled."""


def fit_bins(
    columns: Sequence[FeatureColumn], matrix: Matrix, scores: npt.ArrayLike | None = None
) -> tuple[ColumnBins, ...]:
    """Bins of each column of the training matrix, in signature order; with `scores`, of the answers too (`_score`).

    >>> fit_bins([FeatureColumn(name="x", kind="number")], np.array([[1.0], [2.0], [2.0], [np.nan]]))[0].edges
    (0.9999999999999999, 1.0, 2.0)
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(columns):
        raise Invalid(
            f"{len(columns)} columns and a matrix of shape {matrix.shape}",
            field="matrix",
            next_step="give rows x columns, in the order of the columns",
        )
    fitted = [_fit_column(column, matrix[:, index]) for index, column in enumerate(columns)]
    if scores is not None:
        fitted.append(_fit_column(FeatureColumn(name=SCORE, kind="number"), np.asarray(scores, dtype=np.float64)))
    return tuple(fitted)


def count(bins: Sequence[ColumnBins], matrix: Matrix) -> list[Counts]:
    """How the rows of `matrix` (one column for each of `bins`) fall into the bins."""
    return [_count_column(column, matrix[:, index]) for index, column in enumerate(bins)]


@lru_cache(maxsize=4096)
def bins_id(column: ColumnBins) -> str:
    """A hash of where the bins lie: counts with different ids must not be added."""
    text = repr((column.name, column.kind, column.edges, column.categories))
    return blake3(text.encode()).hexdigest(length=8)


def width(column: ColumnBins) -> int:
    """Number of counters: the bins, and one for nulls (and for a category one for values outside the vocabulary)."""
    return len(column.edges if column.kind == "number" else column.categories) + 2


def _fit_column(column: FeatureColumn, values: Matrix) -> ColumnBins:
    edges = _edges(values) if column.kind == "number" else ()
    empty = ColumnBins(name=column.name, kind=column.kind, edges=edges, categories=column.categories)
    counts = _count_column(empty, values)
    return ColumnBins(
        name=column.name,
        kind=column.kind,
        edges=edges,
        categories=column.categories,
        counts=tuple(int(number) for number in counts),
    )


def _edges(values: Matrix) -> tuple[float, ...]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ()
    distinct = np.unique(finite)
    if len(distinct) < BINS - 1:
        # Each value its own bin, and one on either side: a constant column that starts to move is seen.
        with np.errstate(over="ignore"):  # below the lowest float lies -inf, which is an edge like any other
            edges = np.concatenate([[np.nextafter(distinct[0], -np.inf)], distinct])
    else:
        edges = np.unique(np.quantile(finite, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    return tuple(float(edge) for edge in edges)


def _count_column(column: ColumnBins, values: Matrix) -> Counts:
    slots = width(column)
    missing = np.isnan(values)
    if column.kind == "number":
        place = np.searchsorted(np.asarray(column.edges), values, side="left")
    else:
        known = ~missing & (values >= 0) & (values < len(column.categories))
        place = np.where(known, np.where(known, values, 0), len(column.categories)).astype(np.int64)
    return np.bincount(np.where(missing, slots - 1, place), minlength=slots).astype(np.int64)
