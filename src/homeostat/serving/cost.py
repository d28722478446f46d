"""How long a version takes for so many rows: measured when it is loaded, and with every call after."""

import time

import numpy as np

from homeostat.ground.ports import Served
from homeostat.serving.scoring import score_matrix

_SMALL = 4
_SLOWNESS = 8
"""A new measurement counts for an eighth."""
SLOW_NS = 20_000_000
UNKNOWN_NS = 1_000_000
"""What a call is taken to cost before anything was measured."""


class Cost:
    """`per_call + rows * per_row`, in nanoseconds, each a running mean."""

    __slots__ = ("per_call", "per_row")

    def __init__(self, per_call: float = UNKNOWN_NS, per_row: float = 0.0) -> None:
        self.per_call = per_call
        self.per_row = per_row

    def of(self, rows: int) -> float:
        """Nanoseconds that a call with so many rows is expected to take."""
        return self.per_call + rows * self.per_row

    def rows_within(self, nanoseconds: float) -> int:
        """How many rows one call may have to stay within that time, or to take twice what any call takes; at least 1.

        >>> Cost(per_call=100, per_row=10).rows_within(1_100), Cost(per_call=100, per_row=10).rows_within(50)
        (100, 10)
        """
        if self.per_row <= 0:
            return 1 << 30
        return max(1, int(max(nanoseconds - self.per_call, self.per_call) / self.per_row))

    def learn(self, rows: int, nanoseconds: int) -> None:
        """Take a measurement in. One that is far off (the machine was busy) counts as no more than four times that."""
        seen = min(nanoseconds, 4 * self.of(rows) + 100_000)
        if rows <= _SMALL:
            self.per_call += (max(seen - rows * self.per_row, 0.0) - self.per_call) / _SLOWNESS
        else:
            self.per_row += (max(seen - self.per_call, 0.0) / rows - self.per_row) / _SLOWNESS


def warmed_up(served: Served) -> Cost:
    """Score rows of zeros, so that lazy imports and caches are not paid by the first caller, and take the time."""
    columns = len(served.signature.columns)
    one, many = np.zeros((1, columns)), np.zeros((64, columns))
    try:
        score_matrix(served, one)
        per_call = _timed(served, one)
        if per_call > SLOW_NS:  # it is slow, and measuring it better would only keep it longer from answering
            return Cost(per_call=per_call)
        per_call = min(per_call, *(_timed(served, one) for _ in range(2)))
        whole = min(_timed(served, many) for _ in range(2))
    except Exception:  # noqa: BLE001  zeros may be outside what it takes; then its first real rows are the measure
        return Cost()
    return Cost(per_call=per_call, per_row=max(whole - per_call, 0) / len(many))


def _timed(served: Served, matrix: "np.typing.NDArray[np.float64]") -> int:
    begun = time.perf_counter_ns()
    score_matrix(served, matrix)
    return time.perf_counter_ns() - begun
