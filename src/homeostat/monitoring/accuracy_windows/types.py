"""The nouns of accuracy by window."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Measured = tuple[float | None, str]
"""A value and an empty reason, or None and why there is none."""

ALL = ""
"""The slice that is every row."""


class Measure(Protocol):
    """A metric, wherever it is computed: here, or for a user's function in a child process."""

    @property
    def name(self) -> str: ...

    @property
    def greater_is_better(self) -> bool: ...

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Lowest and highest value that there can be; None where there is none."""
        ...

    @property
    def share(self) -> Callable[[Floats, Floats], tuple[int, int]] | None:
        """Good rows and all that count, for a metric that is their quotient."""
        ...

    def many(self, parts: Sequence[tuple[Floats, Floats]]) -> list[Measured]:
        """Value or reason for each (labels, scores)."""
        ...


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What is said window by window: a metric, how long a window is, and a column to tell slices by."""

    metric: str
    window: str
    """'hour', 'day' or 'week'."""
    by: str = ""

    @property
    def key(self) -> str:
        """Its name in the catalogue."""
        return f"{self.metric}|{self.window}|{self.by}"


class WindowRows(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled predictions, one entry a row, in order of prediction time."""

    request_ids: list[str]
    at: Ints
    score: Floats
    y: Floats
    """The label that is believed."""
    first_at: Ints
    """When the first label came; a correction makes nobody late."""
    contradicted: npt.NDArray[np.bool_]
    """Another label said otherwise than the one that is believed."""

    def pick(self, chosen: npt.NDArray[np.bool_]) -> "WindowRows":
        """Some of the rows."""
        places = np.flatnonzero(chosen)
        return WindowRows(
            request_ids=[self.request_ids[place] for place in places.tolist()],
            at=self.at[places],
            score=self.score[places],
            y=self.y[places],
            first_at=self.first_at[places],
            contradicted=self.contradicted[places],
        )


class Sliced(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions of a stretch of time with the slice that each is in."""

    request_ids: list[str]
    at: Ints
    names: list[str]


class Lateness(msgspec.Struct, frozen=True):
    """How long after their predictions the first labels came, microseconds."""

    median: int
    p90: int
    p99: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one window, or of one slice of it."""

    start: int
    end: int
    slice: str
    """Value of the column; empty for all rows."""
    predictions: int
    labels: int
    """Predictions with a label."""
    contradicted: int
    """Labels that were contradicted; the last one is believed."""
    lateness: Lateness | None
    value: float | None
    low: float | None
    """The 95 % interval; None where it cannot be told."""
    high: float | None
    method: str
    """'wilson', 'jackknife over N spans', or empty."""
    reason: str
    """Why there is no value, or no interval."""
    provisional: bool
    """Labels are still to be expected."""
    at: int
    """When this was said, event time."""
    revision: int = 1
    reopened: int = 0
    """How often labels came after it had been final."""
    begun: int = 0
    """When this revision was said first."""
    begun_coverage: float = 0.0
    late: tuple[tuple[int, int], ...] = ()
    """Labels by bucket of lateness (`lateness.bucket_of`), those that occur."""
    traffic: int = 0
    """Rows in the traffic counters at that time: another number means that predictions have come."""

    @property
    def coverage(self) -> float:
        """Share of the predictions that have a label; 0 without predictions."""
        return self.labels / self.predictions if self.predictions else 0.0
