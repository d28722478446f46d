"""Deciding: a pure function from what a rollout knew and what was observed since to what happens next.

Rolled back when any guard (quality, errors, slow) shows that the candidate is worse, or when it only fails; promoted
when every guard of its stage shows that it is safe, and the minimum of data and time is met. No data is never success.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

import msgspec
import numpy.typing as npt

from homeostat.ground.clock import format_duration
from homeostat.rollout.rates import Guard
from homeostat.rollout.store import ArmCounts, Decision, Evidence, Rollout
from homeostat.rollout.types import Shadow, Stage

FUSE = 5
"""Calls of the candidate that fail in a row, while the stable version answers, end the rollout at once."""


class Pairs(Protocol):
    """Labelled rows that both versions scored, in the order in which their labels came in (arrays of one length)."""

    @property
    def label_at(self) -> npt.ArrayLike: ...
    @property
    def y(self) -> npt.ArrayLike: ...
    @property
    def score_stable(self) -> npt.ArrayLike: ...
    @property
    def score_candidate(self) -> npt.ArrayLike: ...


class Traffic(Protocol):
    """Growing totals of one version in one role."""

    @property
    def requests(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def slow(self) -> int: ...
    @property
    def invalid(self) -> int: ...


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a look sees."""

    now: int
    label_seq: int
    """The labels up to here are in `paired`."""
    paired: Any
    """`Pairs`: those whose label came after the rollout's `evidence.label_seq`; None when there are none."""
    traffic: Any
    """`Mapping[tuple[int, str], Traffic]`: totals by (version, arm) since any fixed time before the rollout's start.
    The look takes the difference to the last one, so that a look lost in a crash loses no evidence."""


class ArmWeight(TypedDict):
    """A version, its weight (0 to 10,000) and its role."""

    version: int
    weight: int
    arm: str


class Routing(TypedDict):
    """What an endpoint has to do at a stage."""

    arms: list[ArmWeight]
    shadows: list[int]


def look(rollout: Rollout, observation: Observation, *, task: str) -> Decision:
    """Add what was observed to the evidence and decide; `task` is 'binary' or 'regression'."""
    evidence = observed(rollout, observation, task)
    walked = msgspec.structs.replace(rollout, evidence=evidence, looks=rollout.looks + 1)
    stage, weight = rollout.plan.steps()[rollout.stage]
    numbers = summary(evidence)
    if problem := _problem(evidence):
        return _end(walked, "rollback", problem, numbers, observation.now)
    if success := _success(walked, stage, weight, observation.now):
        return _go_on(walked, success, numbers, observation.now)
    age = observation.now - rollout.stage_since
    if age >= stage.horizon:
        return _undecided(walked, stage, numbers, observation.now)
    reason = f"{rollout.stage_name} for {format_duration(age)}"
    return Decision(action="continue", reason=reason, numbers=numbers, rollout=walked)


def weights(rollout: Rollout) -> Routing:
    """The routing that a rollout wants now: arms with weights that add up to 10,000, and versions that only look on."""
    if rollout.state == "promoted" or rollout.stable is None:
        return Routing(arms=[ArmWeight(version=rollout.candidate, weight=10_000, arm="stable")], shadows=[])
    if rollout.state != "running":
        return Routing(arms=[ArmWeight(version=rollout.stable, weight=10_000, arm="stable")], shadows=[])
    _, percent = rollout.plan.steps()[rollout.stage]
    arms = [ArmWeight(version=rollout.stable, weight=10_000 - 100 * percent, arm="stable")]
    if not percent:
        return Routing(arms=arms, shadows=[rollout.candidate])
    arms.append(ArmWeight(version=rollout.candidate, weight=100 * percent, arm="canary"))
    return Routing(arms=arms, shadows=[])


def summary(evidence: Evidence) -> dict[str, Any]:
    """The numbers a decision rests on, for people; e-values are capped at 1e9."""
    numbers: dict[str, Any] = {}
    if (quality := evidence.quality) is not None:
        relative = quality.relative_difference
        numbers["quality"] = {
            "labels": quality.rows,
            "batches": quality.batches,
            "loss_difference": None if relative is None else round(relative, 5),
            "margin": quality.margin,
            "e_rollback": _e(quality.log_e_rollback),
            "e_promote": _e(quality.log_e_promote),
        }
    for name, guard in (("errors", evidence.errors), ("slow", evidence.slow)):
        numbers[name] = {
            "candidate": [guard.bad_candidate, guard.requests_candidate],
            "stable": [guard.bad_stable, guard.requests_stable],
            "e_rollback": _e(guard.log_e_rollback),
            "e_promote": _e(guard.log_e_promote),
        }
    return numbers


# Evidence ------------------------------------------------------------------------------------------------------------


def observed(rollout: Rollout, observation: Observation, task: str) -> Evidence:
    """The evidence with this observation added."""
    evidence = rollout.evidence
    _, percent = rollout.plan.steps()[rollout.stage]
    arms = {"stable": (rollout.stable, "stable"), "canary": (rollout.candidate, "canary")}
    arms["shadow"] = (rollout.candidate, "shadow")
    totals = {name: _counts(observation.traffic, key) for name, key in arms.items()}
    before = evidence.totals or totals  # the first look only learns where the counters stand
    came = {name: totals[name].minus(before.get(name, ArmCounts())) for name in totals}
    candidate = came["canary"] if percent else came["shadow"]
    errors, slow = evidence.errors, evidence.slow
    if percent:
        errors = _errors_seen(errors, candidate, came["stable"])
        slow = _slow_seen(slow, candidate, came["stable"])
    else:  # both score the same requests, the candidate behind the scenes: no fair comparison of latency
        errors = errors.watched(_failed(came["stable"]), _asked(came["stable"]))
        slow = slow.watched(came["stable"].slow, _asked(came["stable"]) - came["stable"].errors)
    return msgspec.structs.replace(
        evidence,
        quality=_quality_seen(evidence, observation, task),
        errors=errors,
        slow=slow,
        label_seq=max(observation.label_seq, evidence.label_seq),
        totals=totals,
        stage_rows=evidence.stage_rows + candidate.rows,
        failed_in_a_row=_failed_in_a_row(evidence.failed_in_a_row, candidate, came["stable"]),
    )


def _counts(traffic: Mapping[tuple[int | None, str], Traffic], key: tuple[int | None, str]) -> ArmCounts:
    found = traffic.get(key)
    if found is None:
        return ArmCounts()
    return ArmCounts(**{name: int(getattr(found, name)) for name in ArmCounts.__struct_fields__})


def _quality_seen(evidence: Evidence, observation: Observation, task: str) -> Any:
    if evidence.quality is None or observation.paired is None:
        return evidence.quality
    pairs: Pairs = observation.paired
    return evidence.quality.seen(task, pairs.label_at, pairs.y, pairs.score_stable, pairs.score_candidate)


def _errors_seen(guard: Guard, candidate: ArmCounts, stable: ArmCounts) -> Guard:
    return guard.seen(
        _failed(candidate), _asked(candidate), _failed(stable), _asked(stable), rows_per_call=_rows_per_call(candidate)
    )


def _slow_seen(guard: Guard, candidate: ArmCounts, stable: ArmCounts) -> Guard:
    answered = [_asked(arm) - arm.errors for arm in (candidate, stable)]
    return guard.seen(candidate.slow, answered[0], stable.slow, answered[1], rows_per_call=_rows_per_call(candidate))


def _asked(arm: ArmCounts) -> int:
    return arm.requests - arm.rejected  # what the caller did wrong says nothing about the version


def _failed(arm: ArmCounts) -> int:
    return arm.errors + arm.invalid


def _rows_per_call(arm: ArmCounts) -> float:
    return arm.rows / arm.requests if arm.requests else 1.0


def _failed_in_a_row(before: int, candidate: ArmCounts, stable: ArmCounts) -> int:
    asked, failed = _asked(candidate), _failed(candidate)
    if not asked:
        return before
    if failed < asked or 2 * _failed(stable) > _asked(stable) > 0:  # both fail: an outage, not the candidate
        return 0
    return before + asked


# Verdicts ------------------------------------------------------------------------------------------------------------


def _problem(evidence: Evidence) -> str:
    """Why the candidate must go; empty when nothing says so."""
    if evidence.failed_in_a_row >= FUSE:
        return f"the last {evidence.failed_in_a_row} calls of the candidate failed"
    if (quality := evidence.quality) is not None and quality.is_worse:
        return (
            f"the candidate's loss is {quality.relative_difference or 0.0:+.1%} of the stable's on {quality.rows} "
            f"labelled requests, e = {_e(quality.log_e_rollback):.4g}"
        )
    for name, guard in (("fails", evidence.errors), ("is slow", evidence.slow)):
        if guard.is_worse:
            return (
                f"the candidate {name} in {guard.bad_candidate} of {guard.requests_candidate} calls, the stable in "
                f"{guard.bad_stable} of {guard.requests_stable}, e = {_e(guard.log_e_rollback):.4g}"
            )
    return ""


def _success(rollout: Rollout, stage: Stage, weight: int, now: int) -> str:
    """Why the candidate may go on; empty while that is not shown."""
    evidence = rollout.evidence
    if isinstance(stage, Shadow):
        return _shadow_success(evidence, stage)
    if not _has_minimum(rollout, stage, now):
        return ""
    is_last = rollout.stage == len(rollout.plan.steps()) - 1
    errors, slow = evidence.errors, evidence.slow
    if is_last and not (errors.is_safe and slow.is_safe):
        return ""
    return (
        f"{evidence.stage_rows} requests at {weight} %; so far {errors.bad_candidate} of {errors.requests_candidate} "
        f"calls failed (stable {errors.bad_stable} of {errors.requests_stable}), {slow.bad_candidate} were slow"
    )


def _shadow_success(evidence: Evidence, stage: Shadow) -> str:
    quality = evidence.quality
    if quality is None or quality.rows < stage.min_labels or not quality.is_near:
        return ""
    return (
        f"the candidate's loss is {quality.relative_difference or 0.0:+.1%} of the stable's on {quality.rows} labelled "
        f"requests; {stage.margin:.0%} worse is excluded, e = {_e(quality.log_e_promote):.4g}"
    )


def _has_minimum(rollout: Rollout, stage: Stage, now: int) -> bool:
    evidence = rollout.evidence
    if isinstance(stage, Shadow):
        return evidence.quality is not None and evidence.quality.rows >= stage.min_labels
    return evidence.stage_rows >= stage.min_requests and now - rollout.stage_since >= stage.min_time


def _undecided(rollout: Rollout, stage: Stage, numbers: dict[str, Any], now: int) -> Decision:
    reason = f"undecided in {rollout.stage_name} after {format_duration(stage.horizon)}"
    if stage.undecided == "promote" and _has_minimum(rollout, stage, now):
        return _go_on(rollout, f"{reason}, which this plan lets pass", numbers, now)
    return _end(rollout, "rollback" if stage.undecided == "rollback" else "hold", reason, numbers, now)


def _go_on(rollout: Rollout, reason: str, numbers: dict[str, Any], now: int) -> Decision:
    if rollout.stage == len(rollout.plan.steps()) - 1:
        return _end(rollout, "promote", reason, numbers, now)
    evidence = msgspec.structs.replace(rollout.evidence, stage_rows=0)
    moved = msgspec.structs.replace(rollout, stage=rollout.stage + 1, stage_since=now, evidence=evidence)
    return Decision(action="advance", reason=reason, numbers=numbers, rollout=moved)


def _end(rollout: Rollout, action: str, reason: str, numbers: dict[str, Any], now: int) -> Decision:
    state = {"promote": "promoted", "rollback": "rolled_back", "hold": "held"}[action]
    ended = msgspec.structs.replace(rollout, state=state, ended_at=now, reason=reason)
    return Decision(action=action, reason=reason, numbers=numbers, rollout=ended)


def _e(log_e: float) -> float:
    return float(f"{math.exp(min(log_e, math.log(1e9))):.4g}")
