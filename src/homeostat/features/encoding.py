"""From feature values to the float64 matrix a model sees; training frames and served values give equal matrices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from homeostat.features.compiled import FeatureSet
from homeostat.ground.records import FeatureColumn

if TYPE_CHECKING:
    import polars as pl

MOST_CATEGORIES = 254
"""What a histogram of bytes can hold besides "missing"; rarer values count as missing."""


def fit_columns(feature_set: FeatureSet, frame: "pl.DataFrame") -> tuple[FeatureColumn, ...]:
    """The columns of the vector with their frozen vocabularies: the most frequent categories, sorted."""
    return tuple(
        FeatureColumn(name=name, kind=kind, categories=_vocabulary(frame[name]) if kind == "category" else ())
        for name, kind in zip(feature_set.names, feature_set.kinds, strict=True)
    )


def encode_frame(columns: Sequence[FeatureColumn], frame: "pl.DataFrame") -> NDArray[np.float64]:
    """A training frame as matrix: NaN = missing, categories as codes in their vocabulary."""
    matrix = np.empty((len(frame), len(columns)), dtype=np.float64)
    for position, column in enumerate(columns):
        matrix[:, position] = (
            _codes(column, frame[column.name]) if column.kind == "category" else _numbers(frame[column.name])
        )
    return matrix


def encode_values(
    columns: Sequence[FeatureColumn],
    values: Mapping[str, Sequence[Any]],
    *,
    codebooks: "Sequence[Codebook] | None" = None,
) -> NDArray[np.float64]:
    """Served values (None = missing) as the same matrix; pass `codebooks_of(columns)` to make them only once."""
    rows = []
    for column, codes in zip(columns, codebooks or codebooks_of(columns), strict=True):
        given = values[column.name]
        rows.append([codes.get(category_text(value)) for value in given] if column.kind == "category" else given)
    return np.ascontiguousarray(np.array(rows, dtype=np.float64).T)  # numpy reads None as NaN


def category_text(value: Any) -> str | None:
    """A value as category: 5 and 5.0 are the same one.

    >>> category_text(5.0), category_text(True), category_text(None)
    ('5', 'true', None)
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


Codebook = dict[str | None, float]


def codebooks_of(columns: Sequence[FeatureColumn]) -> tuple[Codebook, ...]:
    """For each column the code of each category."""
    return tuple(_codebook(column.categories) for column in columns)


def _codebook(categories: tuple[str, ...]) -> Codebook:
    return {category: float(code) for code, category in enumerate(categories)}


def _counts(values: "pl.Series") -> list[tuple[Any, int]]:
    table = values.value_counts(name="_count")
    return list(zip(table[values.name].to_list(), table["_count"].to_list(), strict=True))


def _vocabulary(values: "pl.Series") -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for value, times in _counts(values):
        text = category_text(value)
        if text is not None:
            counts[text] += times
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
    return tuple(sorted(frequent))


def _codes(column: FeatureColumn, values: "pl.Series") -> NDArray[np.float64]:
    import polars as pl

    codes = _codebook(column.categories)
    distinct = values.unique().to_list()
    mapped = [codes.get(category_text(value)) for value in distinct]
    old = pl.Series(distinct, dtype=values.dtype)
    return values.replace_strict(old, pl.Series(mapped, dtype=pl.Float64), return_dtype=pl.Float64).to_numpy()


def _numbers(values: "pl.Series") -> NDArray[np.float64]:
    import polars as pl

    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
