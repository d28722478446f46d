"""Logging whole series at once: arrays in, a million points a second and more."""

from collections.abc import Mapping
from typing import Any

from homeostat.ground.errors import Invalid
from homeostat.tracking.open_run import OpenRun


class BulkLog(OpenRun):
    """The part of a run that takes arrays."""

    def log_series(self, key: str, values: Any, *, steps: Any = None, at: Any = None) -> None:
        """Log many points of one series: arrays of values, and of steps and times (microseconds UTC) if there are any.

        Without steps they count on from where the series stands; without times all are of now.

        Raises:
            Invalid: when they are not numbers, or not equally many.
        """
        import numpy as np

        from homeostat.tracking.points import points_of

        outlet = self._begun()
        numbers = _floats(key, values)
        if steps is None:
            first = outlet.points.next_step(key)
            steps = np.arange(first, first + numbers.size, dtype=np.int64)
        if at is None:
            at = np.full(numbers.size, outlet.place.clock.now(), np.int64)
        points = points_of(steps, at, numbers)
        outlet.points.log_arrays(key, points.steps, points.at, points.values)
        outlet.wake()

    def log_batch(self, series: Mapping[str, Any], *, steps: Any = None, at: Any = None) -> None:
        """Log several series of equal length at once: `run.log_batch({"loss": losses, "lr": rates}, steps=steps)`."""
        for key, values in series.items():
            self.log_series(key, values, steps=steps, at=at)


def _floats(key: str, values: Any) -> Any:
    import numpy as np

    try:
        return np.ascontiguousarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise Invalid(
            f"series {key!r:.80} is not made of numbers: {error!s:.120}", field=key, next_step="give an array of floats"
        ) from error
