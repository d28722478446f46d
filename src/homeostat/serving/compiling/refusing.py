"""Raising where the original raises: on a missing value it cannot take, an infinity, a number beyond float32."""

import math

import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Invalid
from homeostat.serving.compiling.artifact import Matrix, Refusals

Flags = NDArray[np.bool_]

_SAFE = 1e76
"""A sum of squares below this holds neither NaN nor infinity, nor a number that float32 (up to 3.4e38) cannot hold."""


class Refusing:
    """The check before a graph is asked; one product for rows of ordinary numbers."""

    def __init__(self, refusals: Refusals, columns: int) -> None:
        self._nan = _mask(refusals.nan, columns)
        self._infinite = _mask(refusals.infinite, columns)
        self._single = _mask(refusals.single, columns)
        self._any = bool(refusals.nan or refusals.infinite or refusals.single)

    def check(self, matrix: Matrix) -> None:
        """Let ordinary rows pass at once, look at the others.

        Raises:
            Invalid: naming the first column that holds what the model does not take.
        """
        if self._any and not float(np.vdot(matrix, matrix)) < _SAFE:
            self.look(matrix)

    def look(self, matrix: Matrix) -> None:
        """Look at every value.

        Raises:
            Invalid: naming the first column that holds what the model does not take.
        """
        self.look_at_missing(np.isnan(matrix))
        if self._infinite is not None:
            _refuse(np.isinf(matrix) & self._infinite, "an infinite value")
        if self._single is not None:
            _refuse(_beyond_single(matrix) & self._single, "a number beyond what float32 holds")

    def look_at_missing(self, missing: Flags) -> None:
        """Look at where values are missing.

        Raises:
            Invalid: naming the first column in which one must not be.
        """
        if self._nan is not None:
            _refuse(missing & self._nan, "a missing value")


def _refuse(bad: Flags, what: str) -> None:
    if not bad.any():
        return
    row, column = (int(place) for place in np.argwhere(bad)[0])
    raise Invalid(
        f"column {column} of row {row} holds {what}, which the model does not take",
        field=f"columns[{column}]",
        next_step="fill it in before, or train a model that takes it",
    )


def _beyond_single(matrix: Matrix) -> Flags:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isinf(matrix.astype(np.float32)) & (np.abs(matrix) < math.inf)


def _mask(columns: tuple[int, ...], count: int) -> Flags | None:
    if not columns:
        return None
    mask = np.zeros(count, bool)
    mask[list(columns)] = True
    return mask
