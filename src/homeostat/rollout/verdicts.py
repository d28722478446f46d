"""What the evidence says: why a candidate must go, and why it may go on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from homeostat.ground.clock import SECOND
from homeostat.ground.sizes import format_size
from homeostat.rollout.evidence import shown
from homeostat.rollout.guards import Guard
from homeostat.rollout.stages import AB, Approval, Bake, BlueGreen, Canary, Released, Shadow
from homeostat.rollout.types import IN_BAKE
from homeostat.rollout.walk import Evidence, Rollout

FUSE = 5
"""Calls in a row, the first of a step, that fail while the stable version answers: it never worked, and must go."""
LATER_FUSE = 25
"""The same for a candidate that has answered before in this step, for one client that tries again is no proof."""
FUSE_TIME = 20 * SECOND
"""Unless nothing else came for so long: then `FUSE` calls are enough."""
UNLOADED = 30 * SECOND
"""A candidate that no worker can load for so long ends the rollout; they try again every few seconds."""


class Problem(NamedTuple):
    """A reason against the candidate: the test that gives it, and the numbers as a sentence."""

    test: str
    text: str


def problem(rollout: Rollout, *, now: int) -> Problem | None:
    """The first thing that rolls back; None when nothing does. Tests that a person overruled do not count."""
    overruled = {item.test for item in rollout.control.overridden}
    return next((found for found in _problems(rollout, now) if found.test not in overruled), None)


def _problems(rollout: Rollout, now: int) -> Iterator[Problem]:
    evidence = rollout.evidence
    if is_blown(evidence.failed_in_a_row, evidence.has_answered, now - (evidence.failed_since or now)):
        yield Problem("fuse", f"the last {evidence.failed_in_a_row} calls of the candidate failed")
    if evidence.unloaded_since is not None and now - evidence.unloaded_since >= UNLOADED:
        yield Problem(
            "loading", f"no worker could load the candidate for {(now - evidence.unloaded_since) // SECOND} s"
        )
    if (memory := evidence.memory) is not None and memory.is_over:
        added, limit = format_size(memory.added or 0), format_size(memory.limit)
        yield Problem("memory", f"the candidate added {added} to a worker, the limit is {limit}")
    yield from _quality_problems(rollout)
    yield from _rate_problems(rollout)


def is_blown(failed: Any, has_answered: Any, lasted: Any) -> Any:
    """Whether so many failures in a row, over so many microseconds, end a rollout."""
    return (failed >= LATER_FUSE) | ((failed >= FUSE) & (~np.bool_(has_answered) | (lasted >= FUSE_TIME)))


def _quality_problems(rollout: Rollout) -> Iterator[Problem]:
    plan, evidence = rollout.plan, rollout.evidence
    if (quality := evidence.quality) is not None and quality.is_worse(plan.rollback_at("paired quality")):
        yield Problem(
            "quality",
            f"the candidate's loss is {quality.relative_difference or 0.0:+.1%} of the stable's on {quality.rows} "
            f"labelled requests, e = {shown(quality.log_e_rollback):.4g}",
        )
    if (arms := evidence.arms) is not None and arms.is_worse(plan.rollback_at("arm quality")):
        yield Problem(
            "quality",
            f"the candidate's {arms.loss} is {arms.relative_difference or 0.0:+.1%} of the stable arm's on "
            f"{arms.labels_candidate} and {arms.labels_stable} labels, e = {shown(arms.log_e_rollback):.4g}",
        )


def _rate_problems(rollout: Rollout) -> Iterator[Problem]:
    says = {"errors": "fails", "invalid": "gives no valid answer", "slow": "is slow"}
    for name, guard in rate_guards(rollout.evidence).items():
        if name in rollout.plan.tests and guard.is_worse(rate_rollback_at(rollout, name, guard)):
            yield Problem(
                name,
                f"the candidate {says[name]} in {guard.bad_candidate} of {guard.requests_candidate} calls, the stable "
                f"in {guard.bad_stable} of {guard.requests_stable}, e = {shown(guard.log_e_rollback):.4g}",
            )


def rate_rollback_at(rollout: Rollout, name: str, guard: Guard) -> float:
    """The e-value at which a guard over a rate rolls back now."""
    return rollout.plan.rollback_at(name if guard.above is None else f"{name}{IN_BAKE}")


def rate_guards(evidence: Evidence) -> dict[str, Guard]:
    """The guards over rates, by name."""
    guards = {"errors": evidence.errors, "invalid": evidence.invalid, "slow": evidence.slow}
    return {name: guard for name, guard in guards.items() if guard is not None}


def success(rollout: Rollout, *, now: int) -> str:
    """Why the candidate may go on; empty while that is not shown."""
    match rollout.step.stage:
        case Shadow() as stage:
            return _shadow_success(rollout.evidence, stage)
        case Canary() as stage:
            return _canary_success(rollout, stage, now)
        case BlueGreen() as stage:
            return _blue_green_success(rollout.evidence, stage)
        case AB() as stage:
            return _ab_success(rollout.evidence, stage)
        case Bake(lasts=lasts):
            return _bake_success(rollout, lasts, now)
        case Approval():
            return ""  # a person's to say


def has_minimum(rollout: Rollout, *, now: int) -> bool:
    """Whether there is any data at all to go on with when a horizon has passed: without, nothing is let pass."""
    evidence = rollout.evidence
    match rollout.step.stage:
        case Shadow(min_labels=wanted):
            return evidence.quality is not None and evidence.quality.rows >= wanted
        case AB(min_labels=wanted):
            return evidence.arms is not None and evidence.arms.labels_candidate >= wanted
        case Canary() as stage:
            return evidence.stage_rows >= stage.min_requests and now - rollout.stage_since >= stage.min_time
        case BlueGreen(min_requests=wanted):
            return evidence.stage_rows >= wanted
        case _:
            return True


def _shadow_success(evidence: Evidence, stage: Shadow) -> str:
    quality = evidence.quality
    if quality is None or quality.rows < stage.min_labels or not quality.is_near:
        return ""
    return (
        f"the candidate's loss is {quality.relative_difference or 0.0:+.1%} of the stable's on {quality.rows} labelled "
        f"requests; {stage.margin:.0%} worse is excluded, e = {shown(quality.log_e_promote):.4g}"
    )


def _canary_success(rollout: Rollout, stage: Canary, now: int) -> str:
    evidence, weight = rollout.evidence, rollout.step.weight
    is_last = weight == stage.weights[-2]
    if not has_minimum(rollout, now=now) or (is_last and not _is_safe(evidence, stage)):
        return ""
    errors, slow = evidence.errors, evidence.slow
    return (
        f"{evidence.stage_rows} requests at {weight} %; so far {errors.bad_candidate} of {errors.requests_candidate} "
        f"calls failed (stable {errors.bad_stable} of {errors.requests_stable}), {slow.bad_candidate} were slow"
    )


def _blue_green_success(evidence: Evidence, stage: BlueGreen) -> str:
    bad = sum(guard.bad_candidate for guard in (evidence.errors, evidence.invalid) if guard is not None)
    if evidence.stage_rows < stage.min_requests or bad > stage.error_limit * evidence.errors.requests_candidate:
        return ""
    return f"the candidate is loaded and scored {evidence.stage_rows} requests along, {bad} of them badly"


def _ab_success(evidence: Evidence, stage: AB) -> str:
    arms = evidence.arms
    if arms is None or arms.labels_candidate < stage.min_labels or not arms.is_won or not _is_safe(evidence, stage):
        return ""
    wanted = f"less than {stage.margin:.0%} worse" if stage.margin else "better"
    return (
        f"the candidate's {arms.loss} is {arms.relative_difference or 0.0:+.1%} of the stable arm's on "
        f"{arms.labels_candidate} and {arms.labels_stable} labels; it is {wanted}, e = {shown(arms.log_e_promote):.4g}"
    )


def _bake_success(rollout: Rollout, lasts: int, now: int) -> str:
    evidence = rollout.evidence
    if now - rollout.stage_since < lasts or not evidence.stage_rows:  # a bake without a request has shown nothing
        return ""
    errors = evidence.errors
    return (
        f"{evidence.stage_rows} requests in the bake; {errors.bad_candidate} of {errors.requests_candidate} calls "
        f"failed, {evidence.slow.bad_candidate} were slow"
    )


def _is_safe(evidence: Evidence, stage: Released) -> bool:
    return all(guard.is_safe for name, guard in rate_guards(evidence).items() if name in stage.guards)
