"""Before a rollout starts: how often would this plan roll back a good version, and how soon would it find a bad one?

The same arithmetic as the real guards, on thousands of repetitions at once, with traffic like yours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.clock import SECOND
from homeostat.rollout.guards import apart
from homeostat.rollout.simulated_guards import Flags, ManyBets, ManyGuards, many_guards
from homeostat.rollout.simulated_world import Candidate, Draw, Side, World, candidates, lengths
from homeostat.rollout.stages import AB, Approval, Bake, BlueGreen, Canary, Shadow
from homeostat.rollout.types import IN_BAKE, Plan, Step
from homeostat.rollout.verdicts import is_blown
from homeostat.rollout.walk import Evidence, new_evidence

Progress = Callable[[str, float], None]
"""Called with what is simulated and how much of it is done, 0 to 1."""

_RUNNING, _PASSED, _ROLLED_BACK, _HELD = 0, 1, 2, 3
_WARM = 120
"""Minutes for which the stable version has been watched before."""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one kind of candidate. Times are minutes from the start of the rollout."""

    candidate: Candidate
    is_worse: bool
    rolled_back: float
    """Share of the repetitions: false rollbacks of a candidate that is as good, detections of one that is not."""
    promoted: float
    held: float
    rollback_p50: float | None
    """Minutes to the rollback: of half of those rolled back, and of nine in ten."""
    rollback_p90: float | None
    promotion_p50: float | None
    exposed_p50: float | None
    """Requests that a candidate which was rolled back had answered by then, at the median."""
    by_test: dict[str, float]
    """Share of the repetitions that each guard rolled back."""


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, a world, and what became of each kind of candidate."""

    plan: str
    world: World
    repetitions: int
    rollback_at: dict[str, float]
    """The e-value at which each test rolls back."""
    results: tuple[Simulated, ...]


def simulate(
    plan: Plan,
    world: World,
    *,
    kinds: list[Candidate] | None = None,
    repetitions: int = 1000,
    seed: int = 0,
    limit: float | None = None,
    progress: Progress | None = None,
) -> list[Simulated]:
    """Walk the plan with each kind of candidate; `limit` ends every step after so many minutes, undecided."""
    found = []
    for kind in kinds if kinds is not None else candidates(world):
        walk = _Walk(plan, world, kind, repetitions, np.random.default_rng(seed), limit)
        walk.run(partial(progress, kind.name) if progress else _nobody)
        found.append(walk.result())
    return found


class _Walk:
    """Many repetitions of one plan with one kind of candidate; each step for all that are left, side by side."""

    def __init__(
        self,
        plan: Plan,
        world: World,
        candidate: Candidate,
        repetitions: int,
        rng: np.random.Generator,
        limit: float | None,
    ) -> None:
        self._plan, self._world, self._candidate, self._count = plan, world, candidate, repetitions
        self._limit = limit
        self._draw = Draw(world, candidate, rng)
        like: Evidence = new_evidence(plan)
        self._guards = many_guards(repetitions, error_limit=like.errors.below.limit, slow_limit=like.slow.below.limit)
        self._paired = ManyBets(like.quality.margin, repetitions) if like.quality and world.labels_per_hour else None
        self._arms = self._arm_bets(like)
        self._state = np.full(repetitions, _RUNNING)
        self._test = np.full(repetitions, "", dtype=object)
        self._minutes = np.zeros(repetitions)
        self._exposed = np.zeros(repetitions)
        self._labelled = np.zeros(repetitions)
        self._failed = np.zeros(repetitions)
        self._failing_for = np.zeros(repetitions)
        self._has_answered = np.zeros(repetitions, dtype=bool)

    def run(self, progress: Callable[[float], None]) -> None:
        self._warm_up()
        steps = self._plan.steps()
        for place, step in enumerate(steps):
            self._state[self._state == _PASSED] = _RUNNING
            if isinstance(step.stage, Bake):
                for name, guard in self._guards.items():
                    guard.bake(is_alone=name == "slow")
            self._step(step, partial(_part, progress, place, len(steps)))
        progress(1.0)

    def result(self) -> Simulated:
        back, promoted = self._state == _ROLLED_BACK, self._state == _PASSED
        return Simulated(
            candidate=self._candidate,
            is_worse=self._candidate.is_worse_than(self._world),
            rolled_back=float(back.mean()),
            promoted=float(promoted.mean()),
            held=float((self._state == _HELD).mean()),
            rollback_p50=_quantile(self._minutes[back], 0.5),
            rollback_p90=_quantile(self._minutes[back], 0.9),
            promotion_p50=_quantile(self._minutes[promoted], 0.5),
            exposed_p50=_quantile(self._exposed[back], 0.5),
            by_test={
                test: float((self._test[back] == test).sum() / self._count) for test in sorted(set(self._test[back]))
            },
        )

    def _arm_bets(self, like: Evidence) -> Any:
        if like.arms is None or not self._world.labels_per_hour:
            return None
        if like.arms.rates is not None:
            return ManyGuards(like.arms.rates, self._count)
        return ManyBets(0.0, self._count)

    def _warm_up(self) -> None:
        nobody = np.zeros(self._count, dtype=np.int64)
        for _ in range(_WARM):
            stable = self._draw.side(1.0, 60.0, at=0.0, is_candidate=False, count=self._count)
            for name, guard in self._guards.items():
                bad, requests = _bad(name, stable)
                guard.seen(nobody, nobody, bad, requests, seconds=60.0, few=0, is_answered=False)

    def _step(self, step: Step, progress: Callable[[float], None]) -> None:
        seconds = _horizon(step) / SECOND if self._limit is None else min(_horizon(step) / SECOND, self._limit * 60)
        at, rows = 0.0, np.zeros(self._count)
        self._failed[:], self._failing_for[:], self._has_answered[:] = 0.0, 0.0, False
        for length in lengths(seconds):
            active = self._state == _RUNNING
            if not active.any():
                break
            at += length
            self._minutes[active] += length / 60
            rows += self._look(step, length, at, active)
            self._roll_back(active)
            passed = (self._state == _RUNNING) & self._have_passed(step, at, rows)
            self._state[passed] = _PASSED
            progress(at / seconds)
        self._undecided(step)

    def _look(self, step: Step, length: float, at: float, active: Flags) -> npt.NDArray[np.int64]:
        whole = step.weight == 100
        share = 1.0 if step.looks_on else step.weight / 100
        theirs = _only(active, self._draw.side(share, length, at=at, is_candidate=True, count=self._count))
        ours = _only(
            active,
            self._draw.side(1.0 if step.looks_on else 1 - share, length, at=at, is_candidate=False, count=self._count),
        )
        for name, guard in self._guards.items():
            if name == "slow" and step.looks_on and not whole:
                continue
            (bad_c, n_c), (bad_s, n_s) = _bad(name, theirs), _bad(name, ours)
            slots = np.minimum(_groups(name, theirs), max(length / 10.0, 1.0))
            few = apart(bad_c, slots=slots)
            guard.seen(bad_c, n_c, bad_s, n_s, seconds=length, few=few, is_answered=step.weight > 0)
        self._fail(theirs, ours, length)
        self._label(step, length, active)
        if step.weight:
            self._exposed += theirs.requests
        requests: npt.NDArray[np.int64] = theirs.requests
        return requests

    def _fail(self, theirs: Side, ours: Side, length: float) -> None:
        """The failures in a row that the fuse counts, as `observed` does."""
        is_asked = theirs.requests > 0
        has_failed = is_asked & (theirs.errors + theirs.invalid >= theirs.requests)
        is_outage = 2 * (ours.errors + ours.invalid) > np.maximum(ours.requests, 1)
        counts = has_failed & ~is_outage
        self._failing_for = np.where(counts & (self._failed > 0), self._failing_for + length, self._failing_for)
        self._failed = np.where(counts, self._failed + theirs.requests, np.where(is_asked, 0.0, self._failed))
        self._failing_for[self._failed == 0] = 0.0
        self._has_answered |= is_asked & ~has_failed

    def _label(self, step: Step, length: float, active: Flags) -> None:
        if self._paired is not None and step.looks_on:
            self._paired.seen(_only(active, self._draw.paired(length, self._count)), seconds=length)
        if self._arms is not None and 0 < step.weight < 100:
            labels = _only(active, self._draw.split(step.weight / 100, length, self._count))
            self._labelled += labels.candidate
            if isinstance(self._arms, ManyBets):
                self._arms.seen(labels, seconds=length)
            else:
                wrong_c, n_c, wrong_s, n_s = (
                    labels.wrong_candidate,
                    labels.candidate,
                    labels.wrong_stable,
                    labels.stable,
                )
                few = apart(wrong_c, slots=max(length / 10.0, 1.0))
                self._arms.seen(wrong_c, n_c, wrong_s, n_s, seconds=length, few=few, is_answered=True)

    def _roll_back(self, active: Flags) -> None:
        plan = self._plan
        found = {
            name: guard.are_worse(self._at(name, guard)) for name, guard in self._guards.items() if name in plan.tests
        }
        found["fuse"] = is_blown(self._failed, self._has_answered, self._failing_for * SECOND)
        for test, bets in (("paired quality", self._paired), ("arm quality", self._arms)):
            if bets is not None:
                found["quality"] = found.get("quality", False) | bets.are_worse(plan.rollback_at(test))
        for test, worse in found.items():
            back = active & worse & (self._state == _RUNNING)
            self._state[back], self._test[back] = _ROLLED_BACK, test

    def _at(self, name: str, guard: ManyGuards) -> float:
        return self._plan.rollback_at(name if guard.above is None else f"{name}{IN_BAKE}")

    def _have_passed(self, step: Step, at: float, rows: npt.NDArray[Any]) -> Any:
        match step.stage:
            case Shadow(min_labels=wanted):
                return self._paired is not None and (self._paired.rows >= wanted) & self._paired.are_near()
            case Canary() as stage:
                enough = (rows >= stage.min_requests) & (at * SECOND >= stage.min_time)
                return enough & (self._are_safe(stage.guards) if step.weight == stage.weights[-2] else True)
            case AB() as stage:
                if self._arms is None:
                    return False
                enough = self._labelled >= stage.min_labels
                return enough & self._arms.are_near() & self._are_safe(stage.guards)
            case BlueGreen(min_requests=wanted):
                return rows >= wanted
            case Bake(lasts=lasts):
                return (at * SECOND >= lasts) & (rows > 0)
            case Approval():
                return True  # a person agrees at once

    def _are_safe(self, tests: tuple[str, ...]) -> Flags:
        safe = np.ones(self._count, dtype=bool)
        for name, guard in self._guards.items():
            if name in tests:
                safe &= guard.are_safe()
        return safe

    def _undecided(self, step: Step) -> None:
        left = self._state == _RUNNING
        policy = "promote" if isinstance(step.stage, Bake) else step.stage.undecided
        self._state[left] = {"promote": _PASSED, "rollback": _ROLLED_BACK}.get(policy, _HELD)
        self._test[left & (self._state == _ROLLED_BACK)] = "horizon"


def _nobody(_share: float) -> None:
    """Progress that nobody wants to hear of."""


def _part(progress: Callable[[float], None], place: int, parts: int, share: float) -> None:
    progress((place + share) / parts)


def _horizon(step: Step) -> int:
    return step.stage.lasts if isinstance(step.stage, Bake) else step.stage.horizon


def _bad(name: str, side: Side) -> tuple[Any, Any]:
    """The bad events of one kind and the requests among which they are."""
    answered = side.requests - side.errors
    return {
        "errors": (side.errors, side.requests),
        "invalid": (side.invalid, answered),
        "slow": (side.slow, answered),
    }[name]


def _groups(name: str, side: Side) -> Any:
    return {"errors": side.error_clusters, "invalid": side.invalid, "slow": side.slow_clusters}[name]


def _only(active: Flags, counts: Any) -> Any:
    """The same counts, with nothing in the repetitions that are over."""
    return type(counts)(*(part * active for part in counts))


def _quantile(values: npt.NDArray[np.float64], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 2) if len(values) else None
