"""What a user writes under `rollout=`: stages joined by `>>`, and the plan they make.

rollout=hs.shadow() >> hs.canary(5, 25, 100, bake="1h")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from homeostat.ground.clock import parse_duration
from homeostat.ground.errors import Invalid
from homeostat.ground.sizes import parse_size
from homeostat.rollout.stages import AB, GUARDS, Approval, Bake, BlueGreen, Canary, Released, Shadow, Stage

FALSE_ROLLBACK = 0.03
"""Chance that a candidate which is no worse is ever rolled back, all tests of a plan together."""
ERRORS_WEIGHT = 3
"""How many other tests' share of that chance the test of errors has."""
IN_BAKE = " in the bake"
REVERSE_SHADOW = "7d"
"""How long the version before still scores along after a bake, unless a plan says otherwise."""


class Step(NamedTuple):
    """One step of the walk."""

    stage: Stage | Bake
    weight: int
    """Per cent of the traffic that the candidate answers."""
    looks_on: bool
    """Whether the version that does not answer everything scores along: the candidate, in the bake the old one."""

    @property
    def name(self) -> str:
        """What people call it: 'shadow', 'canary 5 %'.

        >>> [step.name for step in (shadow() >> canary(5, 100, approve=True)).steps()]
        ['shadow', 'canary 5 %', 'approval', 'bake']
        """
        match self.stage:
            case Canary():
                return f"canary {self.weight} %"
            case AB():
                return f"a/b {self.weight} %"
            case BlueGreen():
                return "blue-green"
            case stage:
                return type(stage).__name__.lower()


class Plan(msgspec.Struct, frozen=True):
    """Stages in the order in which a candidate passes them; after the last it is promoted, then watched in the bake."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        kinds = [type(stage) for stage in self.stages if not isinstance(stage, Approval)]
        order = [kind for kind in (Shadow, AB, Canary, BlueGreen) if kind in kinds]
        if kinds != order or {Canary, BlueGreen} <= set(kinds) or not self.stages:
            raise Invalid(
                "a rollout is a shadow, then an A/B, then a canary or blue-green, each at most once",
                field="rollout",
                next_step="write hs.shadow() >> hs.canary(5, 25, 100)",
            )
        weights = [step.weight for step in self.steps() if isinstance(step.stage, AB | Canary)]
        if weights != sorted(weights):
            raise Invalid(
                f"the candidate's share would fall: {weights}",
                field="rollout",
                next_step="let the canary go on from the A/B, like hs.ab(20) >> hs.canary(50, 100)",
            )

    def __rshift__(self, later: Plan) -> Plan:
        return Plan((*self.stages, *later.stages))

    @property
    def released(self) -> Released | None:
        """The last stage whose candidate answers: its limits hold in the bake, too."""
        return next((stage for stage in reversed(self.stages) if isinstance(stage, Released)), None)

    @property
    def bake(self) -> int:
        """Microseconds that the old version stays warm after the promotion."""
        return self.released.bake if self.released else 0

    @property
    def reverse_shadow(self) -> int:
        """Microseconds that the old version scores along after the bake."""
        return self.released.reverse_shadow if self.released else 0

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that may roll back; quality is one on paired rows (shadow, bake), one on each arm's own labels."""
        on = {name for stage in self.stages if isinstance(stage, Released) for name in stage.guards}
        has_shadow = any(isinstance(stage, Shadow) for stage in self.stages)
        if has_shadow:
            on |= {"errors", "invalid"}
        splits = any(isinstance(stage, AB | Canary) and "quality" in stage.guards for stage in self.stages)
        tests: list[str] = [name for name in ("errors", "slow", "invalid") if name in on]
        if has_shadow or (self.bake and "quality" in on):
            tests.append("paired quality")
        if splits or any(isinstance(stage, AB) for stage in self.stages):
            tests.append("arm quality")
        return tuple(tests)

    def rollback_at(self, test: str) -> float:
        """The e-value at which one of `tests` rolls back: 0.03, shared by all of them (Bonferroni) by their weight.

        Errors weigh three times what the others do, for they hurt at once. In the bake rates are tested anew; those
        tests are called 'errors in the bake' and so on.

        >>> round(canary(5, 25, 100, bake="0s", guards=("errors", "slow", "invalid")).rollback_at("errors"), 1)
        55.6
        """
        again = [f"{name}{IN_BAKE}" for name in self.tests if self.bake and not name.endswith("quality")]
        weights = dict.fromkeys([*self.tests, *again], 1) | {"errors": ERRORS_WEIGHT}
        total = sum(weights[name] for name in [*self.tests, *again])
        return total / weights.get(test, 1) / FALSE_ROLLBACK

    def steps(self) -> tuple[Step, ...]:
        """Every step of the walk, the bake after the promotion included.

        >>> [step.weight for step in (shadow() >> canary(5, 25, 100)).steps()]
        [0, 5, 25, 100]
        """
        walk: list[Step] = []
        for stage in self.stages:
            match stage:
                case Canary():
                    walk += [Step(stage, weight, looks_on=False) for weight in stage.weights[:-1]]
                case AB():
                    walk.append(Step(stage, stage.weight, looks_on=False))
                case Approval():
                    before = walk[-1] if walk else Step(stage, 0, looks_on=False)
                    walk.append(before._replace(stage=stage))
                case _:
                    walk.append(Step(stage, 0, looks_on=True))
        if self.bake:
            walk.append(Step(Bake(lasts=self.bake), 100, looks_on=True))
        return tuple(walk)


def shadow(
    *,
    min_labels: int = 300,
    horizon: str = "14d",
    margin: float = 0.10,
    undecided: str = "hold",
    approve: bool = False,
) -> Plan:
    """Let the candidate score every request beside the stable version until labels show whether it is as good.

    It goes on when its loss is shown to be less than `margin` (a share) above the stable's on at least `min_labels`
    labelled requests, and is rolled back when it is shown to be worse. Undecided after `horizon`, it is held.
    `approve=True` adds a step that waits for a person.
    """
    span = parse_duration(horizon, field="horizon")
    return _plan(Shadow(min_labels=min_labels, margin=margin, horizon=span, undecided=undecided), approve=approve)


def canary(
    *weights: int,
    min_requests: int = 100,
    min_time: str = "6h",
    horizon: str = "14d",
    error_limit: float = 0.02,
    slow_limit: float = 0.05,
    undecided: str = "hold",
    approve: bool = False,
    bake: str = "1h",
    reverse_shadow: str = "",
    guards: Sequence[str] = GUARDS,
    memory: str = "0B",
) -> Plan:
    """Let the candidate answer a growing share (per cent, ending at 100) while its guards watch.

    Each weight lasts for at least `min_requests` of its own and `min_time`. It is rolled back when it is shown to fail,
    to be slow, to answer what is no valid output, or to lose more on its labels than the stable version does at the
    same time; and promoted when errors, slow and invalid answers are shown to be either near the stable's or below
    the limits. The horizon is that of each weight. After the promotion the old version stays warm for `bake`, and the
    guards go on; for `reverse_shadow` after that it still scores a part of the requests along, so that late labels can
    tell: '7d' by default where there is a bake, '0s' for none.

    >>> canary(5, 50, 40, 100)
    Traceback (most recent call last):
    homeostat.ground.errors.Invalid: canary(5, 50, 40, 100) does not grow to 100; give at least two ...
    """
    stage = Canary(
        weights=weights,
        min_requests=min_requests,
        min_time=parse_duration(min_time, field="min_time"),
        horizon=parse_duration(horizon, field="horizon"),
        error_limit=error_limit,
        slow_limit=slow_limit,
        undecided=undecided,
        bake=parse_duration(bake, field="bake"),
        reverse_shadow=_looks_back(reverse_shadow, bake),
        guards=tuple(guards),
        memory=parse_size(memory, field="memory"),
    )
    return _plan(stage, approve=approve)


def blue_green(
    *,
    min_requests: int = 20,
    horizon: str = "1d",
    error_limit: float = 0.02,
    slow_limit: float = 0.05,
    undecided: str = "hold",
    approve: bool = False,
    bake: str = "1h",
    reverse_shadow: str = "",
    guards: Sequence[str] = GUARDS,
    memory: str = "0B",
) -> Plan:
    """Load the candidate, let it score `min_requests` along without a fault, then send it all traffic in one swap.

    For `bake` afterwards the old version stays warm and scores along; when the candidate is shown to fail, to be slow
    or to lose more, everything goes back to the old one at once.
    """
    stage = BlueGreen(
        min_requests=min_requests,
        horizon=parse_duration(horizon, field="horizon"),
        error_limit=error_limit,
        slow_limit=slow_limit,
        undecided=undecided,
        bake=parse_duration(bake, field="bake"),
        reverse_shadow=_looks_back(reverse_shadow, bake),
        guards=tuple(guards),
        memory=parse_size(memory, field="memory"),
    )
    return _plan(stage, approve=approve)


def ab(
    weight: int = 50,
    *,
    metric: str = "",
    margin: float = 0.0,
    min_labels: int = 300,
    horizon: str = "14d",
    error_limit: float = 0.02,
    slow_limit: float = 0.05,
    undecided: str = "hold",
    approve: bool = False,
    bake: str = "1h",
    reverse_shadow: str = "",
    guards: Sequence[str] = GUARDS,
    memory: str = "0B",
) -> Plan:
    """Let the candidate answer a fixed share, and let the labels of each arm's own requests decide.

    It wins when its loss (`metric`: 'wrong' for classes, 'squared_error' for regressions, or another of `METRICS`) is
    shown to be below the stable arm's, or with a `margin`, less than that share above it; it is rolled back when it is
    shown to be worse, or when a guard says so. Undecided after `horizon`, it is held.
    """
    stage = AB(
        weight=weight,
        metric=metric,
        margin=margin,
        min_labels=min_labels,
        horizon=parse_duration(horizon, field="horizon"),
        error_limit=error_limit,
        slow_limit=slow_limit,
        undecided=undecided,
        bake=parse_duration(bake, field="bake"),
        reverse_shadow=_looks_back(reverse_shadow, bake),
        guards=tuple(guards),
        memory=parse_size(memory, field="memory"),
    )
    return _plan(stage, approve=approve)


def approval(*, horizon: str = "7d", undecided: str = "hold") -> Plan:
    """Wait for a person: `homeostat rollout approve MODEL`. Whatever the stage before had routed stays meanwhile.

    >>> [step.name for step in (shadow() >> approval() >> blue_green()).steps()]
    ['shadow', 'approval', 'blue-green', 'bake']
    """
    return Plan((Approval(horizon=parse_duration(horizon, field="horizon"), undecided=undecided),))


def _plan(stage: Stage, *, approve: bool) -> Plan:
    return Plan((stage,)) >> approval() if approve else Plan((stage,))


def _looks_back(reverse_shadow: str, bake: str) -> int:
    if not reverse_shadow:
        reverse_shadow = REVERSE_SHADOW if parse_duration(bake, field="bake") else "0s"
    return parse_duration(reverse_shadow, field="reverse_shadow")
