"""What a user writes under `rollout=`: stages joined by `>>`, and the plan they make.

rollout=hs.shadow() >> hs.canary(5, 25, 100)
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from homeostat.ground.clock import parse_duration
from homeostat.ground.errors import Invalid

UNDECIDED = ("hold", "promote", "rollback")
"""What may happen when a stage's horizon passes without enough evidence either way."""


class _Stage(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    horizon: int
    """Microseconds of event time after which an undecided stage ends."""
    undecided: str = "hold"
    """What then happens: 'hold' ends the rollout and keeps the stable version, as 'rollback' does with its own name;
    'promote' goes on to the next stage."""

    def __post_init__(self) -> None:
        if self.horizon <= 0:
            raise Invalid(f"the horizon is {self.horizon}", field="horizon", next_step="give a span, like '14d'")
        if self.undecided not in UNDECIDED:
            raise Invalid(
                f"undecided={self.undecided!r} is not known",
                field="undecided",
                next_step=f"use {', '.join(UNDECIDED)}",
            )


class Shadow(_Stage, frozen=True, kw_only=True, tag="shadow"):
    """The candidate scores every request beside the stable version and answers none."""

    min_labels: int
    """Labelled requests scored by both, before it may go on."""
    margin: float
    """How much more loss than the stable version is tolerated, as a share of the stable's loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_labels < 1:
            raise Invalid(
                f"shadow has min_labels={self.min_labels}; no data is never success",
                field="min_labels",
                next_step="ask for at least 1",
            )
        if not 0 < self.margin < 1:
            raise Invalid(
                f"shadow has margin={self.margin}", field="margin", next_step="give a share like 0.10, between 0 and 1"
            )


class Canary(_Stage, frozen=True, kw_only=True, tag="canary"):
    """The candidate answers a growing share of the requests; errors and latency decide."""

    weights: tuple[int, ...]
    """Per cent of the traffic, growing, the last 100."""
    min_requests: int
    """Requests the candidate must have answered at each weight."""
    min_time: int
    """Microseconds of event time that each weight lasts at least."""
    error_limit: float = 0.02
    """The candidate is safe when its error share is shown to be below this, or near the stable's own."""
    slow_limit: float = 0.05
    """The same for slow requests."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.weights
        if len(weights) < 2 or weights[-1] != 100 or not all(0 < low < high for low, high in pairwise(weights)):
            raise Invalid(
                f"canary{weights} does not grow to 100",
                field="canary",
                next_step="give at least two growing percentages that end at 100, like canary(5, 25, 100)",
            )
        for name in ("min_requests", "min_time"):
            if getattr(self, name) < (name == "min_requests"):
                raise Invalid(f"canary has {name}={getattr(self, name)}", field=name, next_step="give a larger value")
        for name in ("error_limit", "slow_limit"):
            if not 0 < getattr(self, name) < 1:
                raise Invalid(
                    f"canary has {name}={getattr(self, name)}", field=name, next_step="give a share between 0 and 1"
                )


Stage = Shadow | Canary


class Plan(msgspec.Struct, frozen=True):
    """Stages in the order in which a candidate passes them; after the last it is promoted."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        kinds = [type(stage) for stage in self.stages]
        if kinds not in ([Shadow], [Canary], [Shadow, Canary]):
            raise Invalid(
                "a rollout is a shadow, a canary, or a shadow before a canary",
                field="rollout",
                next_step="write hs.shadow() >> hs.canary(5, 25, 100)",
            )

    def __rshift__(self, later: Plan) -> Plan:
        return Plan((*self.stages, *later.stages))

    def steps(self) -> tuple[tuple[Stage, int], ...]:
        """Every step of the walk: its stage, and the per cent of traffic the candidate answers.

        >>> [weight for _, weight in (shadow() >> canary(5, 25, 100)).steps()]
        [0, 5, 25]
        """
        walk: list[tuple[Stage, int]] = []
        for stage in self.stages:
            walk += [(stage, 0)] if isinstance(stage, Shadow) else [(stage, weight) for weight in stage.weights[:-1]]
        return tuple(walk)


def shadow(*, min_labels: int = 300, horizon: str = "14d", margin: float = 0.10, undecided: str = "hold") -> Plan:
    """Let the candidate score every request beside the stable version until labels show whether it is as good.

    It goes on when its loss is shown to be less than `margin` (a share) above the stable's on at least `min_labels`
    labelled requests, and is rolled back when it is shown to be worse. Undecided after `horizon`, it is held.
    """
    span = parse_duration(horizon, field="horizon")
    return Plan((Shadow(min_labels=min_labels, margin=margin, horizon=span, undecided=undecided),))


def canary(
    *weights: int,
    min_requests: int = 100,
    min_time: str = "6h",
    horizon: str = "14d",
    error_limit: float = 0.02,
    slow_limit: float = 0.05,
    undecided: str = "hold",
) -> Plan:
    """Let the candidate answer a growing share (per cent, ending at 100) while errors and latency are watched.

    Each weight lasts for at least `min_requests` of its own and `min_time`. It is rolled back when it is shown to fail
    or to be slow more often than the stable version does at the same time, and promoted when both are shown to be
    either near the stable's or below the limits. The horizon is that of each weight.

    >>> canary(5, 50, 40, 100)
    Traceback (most recent call last):
    homeostat.ground.errors.Invalid: canary(5, 50, 40, 100) does not grow to 100; give at least two ...
    """
    return Plan(
        (
            Canary(
                weights=weights,
                min_requests=min_requests,
                min_time=parse_duration(min_time, field="min_time"),
                horizon=parse_duration(horizon, field="horizon"),
                error_limit=error_limit,
                slow_limit=slow_limit,
                undecided=undecided,
            ),
        )
    )
