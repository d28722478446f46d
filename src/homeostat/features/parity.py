"""Parity: vectors that were served, recomputed from the source files as of the same moments, row by row."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from homeostat.features.compiled import FeatureSet
from homeostat.features.encoding import encode_frame
from homeostat.features.offline import training_frame
from homeostat.ground.errors import Invalid
from homeostat.ground.records import FeatureColumn

TOLERANCE = 1e-9
"""Relative; equal definitions give equal bits, this forgives storage that rounds."""

_EXAMPLES = 10


class FeatureParity(msgspec.Struct, frozen=True, kw_only=True):
    """How often one feature was served as it is recomputed."""

    checked: int
    mismatched: int
    served_missing: int
    """Mismatches where nothing was served but there is a value: a row that came late, or never."""
    recomputed_missing: int
    """Mismatches where a value was served that the files do not hold."""


class ParityExample(msgspec.Struct, frozen=True, kw_only=True):
    """One value that differs; None = missing."""

    request_id: str
    feature: str
    served: float | None
    recomputed: float | None


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the check found; no rows is 0 checked, not agreement."""

    checked: int
    """Rows."""
    mismatched: int
    """Rows with at least one feature that differs."""
    features: dict[str, FeatureParity]
    examples: tuple[ParityExample, ...]


def check_parity(
    feature_set: FeatureSet,
    columns: Sequence[FeatureColumn],
    *,
    inputs: pl.DataFrame,
    times: Sequence[int] | pl.Series,
    vectors: NDArray[np.float64],
    root: Path,
    request_ids: Sequence[str],
) -> ParityReport:
    """Compare served vectors with the training join of the same requests as of the same moments.

    Raises:
        Invalid: when the lengths disagree, or an input column is missing.
    """
    rows = len(request_ids)
    if len(inputs) != rows or len(times) != rows or vectors.shape != (rows, len(columns)):
        raise Invalid(
            f"{rows} request ids, {len(inputs)} rows of inputs, {len(times)} times, vectors of {vectors.shape}",
            field="vectors",
            next_step=f"give one of each a row, and {len(columns)} values a vector",
        )
    moments = times if isinstance(times, pl.Series) else pl.Series("times", times, dtype=pl.Int64)
    again = encode_frame(columns, training_frame(feature_set, inputs, times=moments, root=root))
    differs = ~_equal(vectors, again)
    return ParityReport(
        checked=rows,
        mismatched=int(differs.any(axis=1).sum()),
        features={
            column.name: _of_feature(differs[:, position], vectors[:, position], again[:, position])
            for position, column in enumerate(columns)
        },
        examples=tuple(
            ParityExample(
                request_id=request_ids[row],
                feature=columns[position].name,
                served=_value(vectors[row, position]),
                recomputed=_value(again[row, position]),
            )
            for row, position in np.argwhere(differs)[:_EXAMPLES].tolist()
        ),
    )


def _equal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isclose(one, other, rtol=TOLERANCE, atol=0.0, equal_nan=True)


def _of_feature(differs: NDArray[np.bool_], served: NDArray[np.float64], again: NDArray[np.float64]) -> FeatureParity:
    return FeatureParity(
        checked=len(differs),
        mismatched=int(differs.sum()),
        served_missing=int((differs & np.isnan(served)).sum()),
        recomputed_missing=int((differs & np.isnan(again)).sum()),
    )


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
