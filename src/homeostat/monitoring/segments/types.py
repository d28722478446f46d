"""The nouns of the search for weak segments."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled predictions: what each cost, when it was made, and what was asked."""

    loss: Floats
    """Smaller is better. Of a probability it is the loss beyond what the model itself expected: a hard segment is not a
    weak one."""
    at: Ints
    columns: Mapping[str, Sequence[Any]]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One half of a segment: a column and what it is."""

    column: str
    text: str
    """'origin = JFK', 'temp_f from 30 to 41', 'tailnum is missing'."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the rows that is worse than the rest, on days that were not searched."""

    conditions: tuple[Condition, ...]
    rows: int
    """Of all rows."""
    share: float
    loss: float
    """Mean, on the days that were held out."""
    rest: float
    """Mean of all other rows there."""
    low: float
    """At least so much worse, one-sided 95 %."""
    effect: float
    """`loss - rest` in standard deviations of a row's loss."""
    p: float
    """Adjusted for everything that was tested (Benjamini-Hochberg)."""
    days: int
    """Held-out days on which it had rows."""

    @property
    def text(self) -> str:
        return " and ".join(one.text for one in self.conditions)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found."""

    status: str
    """'found', 'none' or 'insufficient'."""
    reason: str
    rows: int
    searched: int
    """Segments that were looked at."""
    tested: int
    segments: tuple[Segment, ...]
