"""The nouns of quality breaks."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MIN_ROWS = 200
"""Fewer rows are 'insufficient', never 'no break'."""
REQUESTS = "_requests"
"""Stands for the column where it is requests that are refused."""


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a column."""

    check: str
    """One of `QUALITY_CHECKS`."""
    column: str
    text: str
    """In words, with the numbers."""
    numbers: dict[str, Any]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the log, evenly over a stretch of time, in order of their times."""

    at: Ints
    values: Floats
    """Rows x columns of the reference; NaN where missing."""


class SampledRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the last day, and of four calm days before it, or before the break that is open."""

    calm: Sample
    recent: Sample
