"""What a user writes under `watch=[...]`, and what a check of it says.

watch=[hs.accuracy("log_loss"), hs.skew(), hs.data_drift(), hs.latency(p99="50ms"), hs.errors(below=0.01)]
"""

from typing import Any

import msgspec

from homeostat.ground.clock import DAY, format_duration, parse_duration
from homeostat.ground.errors import Invalid

GREATER_IS_BETTER = frozenset({"roc_auc", "average_precision", "accuracy", "precision", "recall", "f1", "r2"})
"""Metrics that fall when a model gets worse; every other one is a loss and rises. (Evaluation knows the formulas, but
rooms do not know each other.)"""


class _Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    pass


class Accuracy(_Rule, frozen=True, kw_only=True, tag="accuracy"):
    """The metric on arrived labels against what the version scored at its gate."""

    metric: str
    window: int
    """Microseconds of event time up to now."""
    worse_by: float
    """Relative worsening that matters; it must also be beyond the day-to-day noise."""

    def __str__(self) -> str:
        return f"{self.metric} worse by {self.worse_by:.0%} over {format_duration(self.window)}"


class Skew(_Rule, frozen=True, kw_only=True, tag="skew"):
    """The first rows a version serves against the rows it was trained on."""

    window: int
    """Microseconds of event time from the version's first day in service."""
    floor: float
    """Jensen-Shannon distance of the values (0.83 = disjoint) that only a broken feature reaches, not a season."""
    missing: float
    """Jensen-Shannon distance of the shares of missing and unknown values."""

    def __str__(self) -> str:
        return f"training-serving skew in the first {format_duration(self.window)}"


class DataDrift(_Rule, frozen=True, kw_only=True, tag="data_drift"):
    """What a version serves now against the rows it was trained on, two windows in a row."""

    alarms_per_month: float
    window: int
    floor: float

    def __str__(self) -> str:
        return f"data drift over {format_duration(self.window)}, at most {self.alarms_per_month:g} false alarms a month"


class Latency(_Rule, frozen=True, kw_only=True, tag="latency"):
    """At most one request in a hundred slower than this; such a request also counts as slow in a canary."""

    p99: int
    """Microseconds."""

    def __str__(self) -> str:
        return f"p99 latency <= {format_duration(self.p99)}"


class Errors(_Rule, frozen=True, kw_only=True, tag="errors"):
    """The share of requests that failed, or were answered with something that is not a number."""

    below: float

    def __str__(self) -> str:
        return f"errors < {self.below:.2%}"


Watch = Accuracy | Skew | DataDrift | Latency | Errors


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check said; `insufficient` is never `ok`."""

    kind: str
    subject: str
    """The metric or the column; empty when the rule has only one."""
    status: str
    """'ok', 'alarm' or 'insufficient'."""
    evidence: dict[str, Any]


def accuracy(metric: str, window: str = "7d", *, worse_by: float = 0.10) -> Accuracy:
    """Alarm when the metric on labels of the last `window` is worse than at the gate by the share `worse_by`.

    >>> str(accuracy("log_loss"))
    'log_loss worse by 10% over 7d'
    """
    if not worse_by > 0:
        raise Invalid(
            f"accuracy({metric!r}) has worse_by={worse_by}",
            field="worse_by",
            next_step="give a positive share, like 0.10",
        )
    return Accuracy(metric=metric, window=_days(window), worse_by=worse_by)


def skew(window: str = "7d", *, floor: float = 0.7, missing: float = 0.1) -> Skew:
    """Alarm for each feature that is computed otherwise in serving than it was in training.

    It must be missing (or unknown) in another share of the rows, or have hardly a value in common with the training
    rows. Weather of a new season stayed below 0.6 in its first week on a year of flights, a stuck feature is at 0.76.
    """
    return Skew(window=_days(window), floor=_share(floor, "floor"), missing=_share(missing, "missing"))


def data_drift(alarms_per_month: float = 1.0, *, window: str = "7d", floor: float = 0.1) -> DataDrift:
    """Alarm for each feature that has moved away from its training rows in two windows in a row.

    `alarms_per_month` is the budget of false alarms for the whole model, not for one column or one check.
    """
    if not 0.05 <= alarms_per_month <= 10:
        raise Invalid(
            f"data_drift has alarms_per_month={alarms_per_month}",
            field="alarms_per_month",
            next_step="give a number from 0.05 to 10",
        )
    return DataDrift(alarms_per_month=alarms_per_month, window=_days(window), floor=_share(floor, "floor"))


def latency(p99: str) -> Latency:
    """Alarm when surely more than one request in a hundred took longer than `p99`, over the last day.

    >>> latency(p99="50ms").p99
    50000
    """
    return Latency(p99=parse_duration(p99, field="p99"))


def errors(below: float = 0.01) -> Errors:
    """Alarm when the share of failed requests is surely over `below`, over the last day."""
    return Errors(below=_share(below, "below"))


def _days(window: str) -> int:
    span = parse_duration(window, field="window")
    if span < DAY or span % DAY:
        raise Invalid(
            f"the window {window!r} is not whole days", field="window", next_step="write it like '1d' or '7d'"
        )
    return span


def _share(value: float, field: str) -> float:
    if 0 < value < 1:
        return value
    raise Invalid(f"{field} is {value}", field=field, next_step="give a number between 0 and 1")
