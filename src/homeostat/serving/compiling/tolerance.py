"""How far two scorers' answers may lie apart, and whether they put rows in the same order."""

import numpy as np
from numpy.typing import NDArray

from homeostat.serving.compiling.artifact import Matrix

CLOSE = 1e-6
"""Share of a score's size: ten float32 steps. Many originals answer in float32 themselves."""
EXACT = 1e-12
"""Below this, two ways to add up the same float64 numbers."""


def tolerance_of(wanted: Matrix, task: str) -> float:
    """How far an answer may be off: a millionth for probabilities, else a millionth of their typical size."""
    sizes = np.abs(wanted[np.isfinite(wanted)])
    return CLOSE * float(np.median(sizes)) if task == "regression" and sizes.size else CLOSE


def differing(wanted: Matrix, found: Matrix, tolerance: float) -> NDArray[np.bool_]:
    """Which rows have an answer that is off by more than the tolerance and a millionth of its own size."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(found - wanted) <= tolerance + CLOSE * np.abs(wanted)
    same = near | (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    off: NDArray[np.bool_] = ~same
    return off if off.ndim == 1 else np.asarray(off.any(axis=1))


def greatest_difference(wanted: Matrix, found: Matrix) -> float:
    """The largest absolute difference of finite answers; infinite when one is finite and the other is not."""
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    if same.all():
        return 0.0
    gaps = np.abs(np.where(same, 0.0, found) - np.where(same, 0.0, wanted))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max())


def rank_agreement(wanted: Matrix, found: Matrix) -> float:
    """Share of neighbours in the original's order that are not turned round; equal scores have no order.

    >>> rank_agreement(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.3, 0.2]))
    0.5
    """
    agreeing = pairs = 0
    for column in range(wanted.shape[1] if wanted.ndim == 2 else 1):
        original, other = (table[:, column] if table.ndim == 2 else table for table in (wanted, found))
        order = np.argsort(original, kind="stable")
        ordered = np.diff(original[order]) > 0
        agreeing += int(np.count_nonzero(ordered & (np.diff(other[order]) >= 0)))
        pairs += int(np.count_nonzero(ordered))
    return agreeing / pairs if pairs else 1.0
