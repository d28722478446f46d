"""What a user writes under `watch=[...]`, and what a check of it says.

watch=[hs.accuracy("log_loss"), hs.skew(), hs.data_drift(), hs.latency(p99="50ms"), hs.errors(below=0.01)]
"""

from collections.abc import Callable, Sequence
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
    by: str = ""
    """Request column whose values are shown apart."""
    is_own: bool = False
    """`metric` names a function of the declared file."""
    greater_is_better: bool | None = None
    """Of a function; None where the metric itself says."""

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
    rows: int = 400
    """Served rows that are recomputed each day, at most and at least half as many; 0 for none."""
    differ: float = 0.01
    """Share of them that may differ from what is recomputed."""

    def __str__(self) -> str:
        return f"training-serving skew in the first {format_duration(self.window)}"


class DataDrift(_Rule, frozen=True, kw_only=True, tag="data_drift"):
    """What a version serves now against the rows it was trained on, and once there are some, its windows before."""

    alarms_per_month: float
    window: int
    floor: float
    """Kolmogorov-Smirnov D of numbers, total variation of categories, or difference in the share of missing rows."""
    season: str | None = None
    """Which windows are comparable: those of the same 'day_of_week' or 'week_of_year'; None for all."""

    def __str__(self) -> str:
        season = f" of the same {self.season.replace('_', ' ')}" if self.season else ""
        budget = f"at most {self.alarms_per_month:g} false alarms a month"
        return f"data drift over {format_duration(self.window)}{season}, {budget}"


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


QUALITY_CHECKS = ("nulls", "new_values", "range", "unit", "stuck", "frozen", "schema")


class Quality(_Rule, frozen=True, kw_only=True, tag="quality"):
    """Breaks in what is sent: hourly, of the last hour, or the last day where an hour has too few rows."""

    checks: tuple[str, ...]
    """Some of `QUALITY_CHECKS`; none switches it off."""
    floor: float
    """Share of the rows from which nulls, values never seen, values out of range and refused requests count."""
    blocks: bool
    """Whether retraining waits while a break is open and nobody has acknowledged it."""

    def __str__(self) -> str:
        return "breaks in what is sent" if self.checks else "no breaks in what is sent"


class WeakSegment(_Rule, frozen=True, kw_only=True, tag="segment"):
    """A part of the rows on which the model is worse than on the rest, found by search."""

    window: int
    effect: float
    """Difference of the mean loss in standard deviations of a row's loss."""
    min_rows: int
    columns: tuple[str, ...]
    """Request columns that are searched; all when empty."""

    def __str__(self) -> str:
        return f"no segment worse by {self.effect:g} sd over {format_duration(self.window)}"


Watch = Accuracy | Skew | DataDrift | Latency | Errors | Quality | WeakSegment


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check said; `insufficient` is never `ok`."""

    kind: str
    subject: str
    """The metric or the column; empty when the rule has only one."""
    status: str
    """'ok', 'alarm' or 'insufficient'."""
    evidence: dict[str, Any]


def accuracy(
    metric: str | Callable[..., float],
    window: str = "7d",
    *,
    worse_by: float = 0.10,
    by: str = "",
    greater_is_better: bool | None = None,
) -> Accuracy:
    """Alarm when the metric on labels of the last `window` is worse than at the gate by the share `worse_by`.

    `metric` is one of ours, any that scikit-learn knows by name ("balanced_accuracy", "neg_log_loss"), or a function
    `(y, score) -> float` of the declared file, which says by `greater_is_better` where it goes. With `by` the values of
    a request column are shown apart.

    >>> str(accuracy("log_loss"))
    'log_loss worse by 10% over 7d'
    """
    if not worse_by > 0:
        raise Invalid(
            f"accuracy({metric!r}) has worse_by={worse_by}",
            field="worse_by",
            next_step="give a positive share, like 0.10",
        )
    name = metric if isinstance(metric, str) else _named(metric, greater_is_better)
    return Accuracy(
        metric=name,
        window=_days(window),
        worse_by=worse_by,
        by=by,
        is_own=not isinstance(metric, str),
        greater_is_better=greater_is_better,
    )


def _named(metric: Callable[..., float], greater_is_better: bool | None) -> str:  # noqa: FBT001  read by one caller
    name = getattr(metric, "__name__", "")
    if not name.isidentifier() or getattr(metric, "__qualname__", "") != name:
        raise Invalid(
            f"accuracy({metric!r:.60}) is no function of the file",
            field="metric",
            next_step="write it with `def` at the top of the declared file: it is found again by its name",
        )
    if greater_is_better is None:
        raise Invalid(
            f"nothing says whether more {name} is better or worse",
            field="greater_is_better",
            next_step=f"write hs.accuracy({name}, greater_is_better=False), or True",
        )
    return name


def skew(
    window: str = "7d", *, floor: float = 0.7, missing: float = 0.1, rows: int = 400, differ: float = 0.01
) -> Skew:
    """Alarm for each feature that is computed otherwise in serving than it was in training.

    It must be missing (or unknown) in another share of the rows, or have hardly a value in common with the training
    rows. Weather of a new season stayed below 0.6 in its first week on a year of flights, a stuck feature is at 0.76.

    And row by row: once a day `rows` of the vectors that were served are recomputed from the sources as of their time;
    an alarm names each feature of which surely more than the share `differ` comes out otherwise.
    """
    if rows and not 400 <= rows <= 100_000:
        raise Invalid(f"skew has rows={rows}", field="rows", next_step="give from 400 to 100000 rows, or 0 for none")
    return Skew(
        window=_days(window),
        floor=_share(floor, "floor"),
        missing=_share(missing, "missing"),
        rows=rows,
        differ=_share(differ, "differ"),
    )


def data_drift(
    alarms_per_month: float = 1.0, *, window: str = "7d", floor: float = 0.1, season: str | None = None
) -> DataDrift:
    """Alarm for each feature that has moved: away from its training rows, and from the windows of before.

    `alarms_per_month` is the budget of false alarms for the whole model, not for one column or one check. `floor` is
    the smallest effect that counts: Kolmogorov-Smirnov D of numbers, total variation of categories. With `season`,
    'day_of_week' (and a window of one day) or 'week_of_year', only past windows of the same phase are compared, and
    nothing is said before there are five. A retraining rule `hs.drifted()` waits until the next window has it too.
    """
    if not 0.05 <= alarms_per_month <= 10:
        raise Invalid(
            f"data_drift has alarms_per_month={alarms_per_month}",
            field="alarms_per_month",
            next_step="give a number from 0.05 to 10",
        )
    span = _days(window)
    if season not in {None, "day_of_week", "week_of_year"}:
        raise Invalid(
            f"data_drift has season={season!r}, and its windows are whole days",
            field="season",
            next_step="give 'day_of_week', 'week_of_year' or None",
        )
    if season == "day_of_week" and span != DAY:
        raise Invalid(
            f"a window of {window} has no day of the week", field="window", next_step="give window='1d' for this season"
        )
    return DataDrift(alarms_per_month=alarms_per_month, window=span, floor=_share(floor, "floor"), season=season)


def latency(p99: str) -> Latency:
    """Alarm when surely more than one request in a hundred took longer than `p99`, over the last day.

    >>> latency(p99="50ms").p99
    50000
    """
    return Latency(p99=parse_duration(p99, field="p99"))


def errors(below: float = 0.01) -> Errors:
    """Alarm when the share of failed requests is surely over `below`, over the last day."""
    return Errors(below=_share(below, "below"))


def quality(checks: Sequence[str] = QUALITY_CHECKS, *, floor: float = 0.05, blocks: bool = True) -> Quality:
    """Page somebody when what is sent is broken; retraining waits meanwhile, for it would learn from the break.

    Every declared model has it; `quality(checks=())` switches it off. Each share (`nulls`, `new_values`, `range`,
    `schema`) must surely be over that of the training rows by `floor`.
    """
    unknown = [one for one in checks if one not in QUALITY_CHECKS]
    if unknown or isinstance(checks, str):
        raise Invalid(
            f"quality does not check {unknown or checks!r}",
            field="checks",
            next_step=f"it checks {', '.join(QUALITY_CHECKS)}",
        )
    return Quality(checks=tuple(checks), floor=_share(floor, "floor"), blocks=blocks)


def no_weak_segment(
    window: str = "28d", *, effect: float = 0.2, min_rows: int = 200, columns: Sequence[str] = ()
) -> WeakSegment:
    """Alarm for each part of the rows (a value, a range, or two of them together) on which the model is worse.

    Nobody has to name the parts: they are searched for on one half of the days and tested on the other, so that at
    most one in twenty of those that are told is there by chance (Benjamini-Hochberg).
    """
    if min_rows < 50:
        raise Invalid(f"min_rows is {min_rows}", field="min_rows", next_step="give at least 50")
    if not effect > 0:
        raise Invalid(f"effect is {effect}", field="effect", next_step="give a positive number, like 0.2")
    return WeakSegment(window=_days(window), effect=effect, min_rows=min_rows, columns=tuple(columns))


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
