"""A series that is gathered point by point: three typed arrays instead of a tuple a point."""

from array import array

import numpy as np

from homeostat.tracking.points import Points


class Column:
    """Appends points and hands them out as arrays."""

    def __init__(self) -> None:
        self._steps, self._at, self._values = array("q"), array("q"), array("d")

    def append(self, step: int, at: int, value: float) -> None:
        self._steps.append(step)
        self._at.append(at)
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def last(self) -> tuple[int, float]:
        """Step and value of what was appended last."""
        return self._steps[-1], self._values[-1]

    def forget_from(self, step: int) -> int:
        """Drop the points at `step` and after; says how many."""
        steps = np.frombuffer(self._steps, np.int64)
        kept = steps < step
        gone = int(len(kept) - kept.sum())
        if gone:
            at = np.frombuffer(self._at, np.int64)[kept]
            values = np.frombuffer(self._values, np.float64)[kept]
            self._steps, self._at = array("q", steps[kept].tobytes()), array("q", at.tobytes())
            self._values = array("d", values.tobytes())
        return gone

    def points(self) -> Points:
        return Points(np.array(self._steps, np.int64), np.array(self._at, np.int64), np.array(self._values, np.float64))
