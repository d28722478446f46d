"""When a model is retrained: rules that call for a cycle.

A needless cycle costs compute, never quality: the gate decides.

retrain=hs.when(hs.worse("log_loss", by=0.10)) | hs.older_than("60d")
"""

from __future__ import annotations

import msgspec

from homeostat.ground.clock import format_duration, parse_duration
from homeostat.ground.errors import Invalid


class _Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="rule"):
    def __or__(self, other: Condition | Retrain) -> Retrain:
        return when(self) | other  # type: ignore[arg-type]


class Worse(_Rule, frozen=True, kw_only=True, tag="worse"):
    """The metric on arrived labels is worse than the champion's own evaluation by a relative share."""

    metric: str
    by: float
    window: int
    min_labels: int

    def __str__(self) -> str:
        return f"{self.metric} worse by {self.by:.0%} over {format_duration(self.window)}"


class OlderThan(_Rule, frozen=True, kw_only=True, tag="older_than"):
    """The champion's newest training data is older than this."""

    age: int

    def __str__(self) -> str:
        return f"older than {format_duration(self.age)}"


class Drifted(_Rule, frozen=True, kw_only=True, tag="drifted"):
    """A data-drift alarm has been open for a whole window more; for models whose labels cannot come in time."""

    def __str__(self) -> str:
        return "data drift alarm"


Condition = Worse | OlderThan | Drifted


class Retrain(msgspec.Struct, frozen=True, kw_only=True):
    """Any one of these conditions calls for a cycle, but not sooner than `cooldown` after the last."""

    conditions: tuple[Condition, ...]
    cooldown: int

    def __or__(self, other: Condition | Retrain) -> Retrain:
        more = other if isinstance(other, Retrain) else when(other)
        return Retrain(conditions=(*self.conditions, *more.conditions), cooldown=max(self.cooldown, more.cooldown))

    def __ror__(self, other: Condition) -> Retrain:
        return when(other) | self


def worse(metric: str, *, by: float, window: str = "7d", min_labels: int = 500) -> Worse:
    """The metric over the last `window` of arrived labels is worse than at the gate by the share `by`."""
    if not by > 0:
        raise Invalid(f"worse({metric!r}) needs a positive share, got by={by}", field="by", next_step="try by=0.10")
    span = parse_duration(window, field="window")
    return Worse(metric=metric, by=by, window=span, min_labels=min_labels)


def older_than(age: str) -> OlderThan:
    """The champion was trained on data that ended longer than `age` ago."""
    return OlderThan(age=parse_duration(age, field="older_than"))


def drifted() -> Drifted:
    """A data-drift alarm of the champion has been open for one whole window of its rule: two in a row have it."""
    return Drifted()


def when(condition: Condition, *, cooldown: str = "7d") -> Retrain:
    """Retrain when the condition holds, at most once per `cooldown`."""
    return Retrain(conditions=(condition,), cooldown=parse_duration(cooldown, field="cooldown"))
