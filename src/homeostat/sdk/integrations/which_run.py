"""To which run a hook logs: the one it was given, the current one, or one of its own."""

from collections.abc import Mapping
from typing import Any

from homeostat.ground.errors import Invalid
from homeostat.sdk.connect import current_run, run
from homeostat.tracking.client import ActiveRun

_LONGEST = 6_000
"""Characters of a parameter's value: what MLflow takes too."""


class Hooked:
    """A hook's run; one that the hook has begun itself ends with the hook."""

    def __init__(self, given: ActiveRun | None = None, *, project: str = "") -> None:
        self._given = given
        self._project = project
        self._own: ActiveRun | None = None

    @property
    def run(self) -> ActiveRun:
        """The run, begun now if there is none."""
        found = self._given or current_run() or self._own
        if found is None:
            found = self._own = run(self._project).begin()
        return found

    def end(self, *, failed: bool = False) -> None:
        """End the run if it is the hook's own."""
        if self._own is not None:
            self._own.end("failed" if failed else "finished")
            self._own = None


def run_to_log_to(given: ActiveRun | None, *, hook: str) -> ActiveRun:
    """The run that was given, or the current one.

    Raises:
        Invalid: when there is neither.
    """
    found = given or current_run()
    if found is None:
        raise Invalid(f"{hook} has no run to log to", field="run", next_step="train within `with hs.run(...)`")
    return found


def numbers_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some values that are numbers."""
    return {str(key): value for key, value in values.items() if _is_number(value)}


def log_new_params(run: ActiveRun, values: Mapping[str, Any], *, prefix: str = "") -> None:
    """Record parameters, those that the run has already excepted: a second fit in a run must not fail over them."""
    texts = {f"{prefix}{key}"[:250]: str(value)[:_LONGEST] for key, value in values.items() if value is not None}
    run.params({key: text for key, text in texts.items() if not run.has_param(key)})


def _is_number(value: Any) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    return hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0 and not isinstance(value, str)
