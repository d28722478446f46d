"""The stages a plan is made of. What a user writes are the functions in `types.py`; these are what is stored."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from homeostat.ground.errors import Invalid

UNDECIDED = ("hold", "promote", "rollback")
"""What may happen when a stage's horizon passes without enough evidence either way."""
GUARDS = ("errors", "slow", "invalid", "quality")
"""What is tested of a candidate that answers; memory and the fuses are limits, not tests."""
METRICS = ("wrong", "log_loss", "brier", "squared_error", "absolute_error")
"""Losses by which an A/B decides; 'wrong' is the share of wrong answers."""


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What ends undecided after a while."""

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


class Shadow(Timed, frozen=True, kw_only=True, tag="shadow"):
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


class Released(Timed, frozen=True, kw_only=True):
    """What stages have in common whose candidate answers callers."""

    guards: tuple[str, ...] = GUARDS
    """The tests that are on; the chance of a false rollback is shared by them."""
    error_limit: float = 0.02
    """The candidate is safe when its error share is shown to be below this, or near the stable's own."""
    slow_limit: float = 0.05
    """The same for slow requests."""
    memory: int = 0
    """Bytes that the candidate may add to a worker; 0 sets no limit."""
    bake: int = 0
    """Microseconds of event time that the old version stays warm after the promotion, with the guards on."""
    reverse_shadow: int = 0
    """Microseconds of event time, after the bake, for which the old version still scores along."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("error_limit", "slow_limit"):
            if not 0 < getattr(self, name) < 1:
                raise Invalid(f"{name} is {getattr(self, name)}", field=name, next_step="give a share between 0 and 1")
        for name in ("memory", "bake", "reverse_shadow"):
            if getattr(self, name) < 0:
                raise Invalid(f"{name} is {getattr(self, name)}", field=name, next_step="give 0 or more")
        if self.reverse_shadow and not self.bake:
            raise Invalid(
                "reverse_shadow comes after a bake", field="reverse_shadow", next_step="give bake a span, too: '1h'"
            )
        if unknown := [name for name in self.guards if name not in GUARDS]:
            raise Invalid(
                f"there is no guard {unknown[0]!r}", field="guards", next_step=f"guards are {', '.join(GUARDS)}"
            )


class Canary(Released, frozen=True, kw_only=True, tag="canary"):
    """The candidate answers a growing share of the requests; errors, latency, bad output and late labels decide."""

    weights: tuple[int, ...]
    """Per cent of the traffic, growing, the last 100."""
    min_requests: int
    """Requests the candidate must have answered at each weight."""
    min_time: int
    """Microseconds of event time that each weight lasts at least."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.weights
        grows = all(isinstance(low, int) and 0 < low < high for low, high in pairwise(weights))
        if len(weights) < 2 or weights[-1] != 100 or not grows:
            raise Invalid(
                f"canary{weights} does not grow to 100",
                field="canary",
                next_step="give at least two growing whole percentages that end at 100, like canary(5, 25, 100)",
            )
        for name in ("min_requests", "min_time"):
            if getattr(self, name) < (name == "min_requests"):
                raise Invalid(f"canary has {name}={getattr(self, name)}", field=name, next_step="give a larger value")


class BlueGreen(Released, frozen=True, kw_only=True, tag="blue_green"):
    """The candidate is loaded and scores along without fault; then it answers everything, with the old one warm."""

    min_requests: int
    """Requests it must have scored along, before the swap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_requests < 1:
            raise Invalid(
                f"blue_green has min_requests={self.min_requests}; no data is never success",
                field="min_requests",
                next_step="ask for at least 1",
            )
        if not self.bake:
            raise Invalid(
                "blue_green has bake=0, and nothing would watch the swap",
                field="bake",
                next_step="give it a span: '1h'",
            )


class AB(Released, frozen=True, kw_only=True, tag="ab"):
    """A fixed split, decided by the loss on the labels of each arm's own requests."""

    weight: int
    """Per cent of the traffic that the candidate answers."""
    metric: str
    """One of `METRICS`; empty: 'wrong' for classes, 'squared_error' for regressions."""
    margin: float
    """How much more loss than the stable arm's still lets it win, as a share; with 0 it must be better."""
    min_labels: int
    """Labels of the candidate's own requests, before it may win."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.weight, int) or not 0 < self.weight < 100:
            raise Invalid(
                f"ab has weight={self.weight}", field="weight", next_step="give whole per cent between 0 and 100"
            )
        if self.metric and self.metric not in METRICS:
            raise Invalid(
                f"ab cannot decide by metric={self.metric!r}", field="metric", next_step=f"use {', '.join(METRICS)}"
            )
        if not 0 <= self.margin < 1:
            raise Invalid(f"ab has margin={self.margin}", field="margin", next_step="give a share from 0 to below 1")
        if self.min_labels < 1:
            raise Invalid(
                f"ab has min_labels={self.min_labels}; no data is never success",
                field="min_labels",
                next_step="ask for at least 1",
            )


class Approval(Timed, frozen=True, kw_only=True, tag="approval"):
    """A person has to agree; whatever the stage before had routed stays, and so do the guards."""


class Bake(msgspec.Struct, frozen=True, kw_only=True):
    """After the promotion: the candidate answers everything, the old version scores along and can be back at once."""

    lasts: int
    """Microseconds of event time."""


Stage = Shadow | Canary | BlueGreen | AB | Approval
