"""What all scorers share: the matrix they take, the column they answer, and how they say that they cannot."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Refused

Matrix = NDArray[np.float64]

ONE_THREAD_BELOW = 10_000
"""Rows. Below, one thread: HGB takes 0.39 ms for a row on one thread and 0.68 ms on two. From 1,000 rows two idle cores
are up to 1.6x faster, but on two busy ones the threads wait for each other (18 ms instead of 2.8 ms)."""


def positive_column(classes: Sequence[Any]) -> int | None:
    """Where True (or 1) stands among the classes of a classifier; None when it knows only False.

    Raises:
        Refused: when the classes are not False and True.
    """
    try:
        known = [bool(label) if label in (0, 1) else None for label in classes]
    except (TypeError, ValueError):
        known = [None]
    if known and None not in known and len(set(known)) == len(known):
        return known.index(True) if True in known else None
    raise Refused(
        f"the model's classes are {[str(label) for label in classes][:5]}, not False and True",
        field="model",
        next_step="train on the label as it is given: True for the positive class",
    )


def column_of(answer: Any) -> Matrix:
    """One float64 a row, from a vector or a table of one column."""
    values = np.asarray(answer, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise Refused(f"the model gives {values.shape[1]} values a row", field="model", next_step="train for one label")
    return np.ascontiguousarray(values)


def cannot(model: Any, what: str, mend: str) -> Refused:
    """The refusal of a model that cannot answer."""
    return Refused(f"the model ({type(model).__name__}) {what}", field="model", next_step=mend)
