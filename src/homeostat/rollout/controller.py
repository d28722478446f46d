"""Deciding: a pure function from what a rollout knew and what was observed since to what happens next.

Rolled back when any guard shows that the candidate is worse, or when it only fails; on to the next step when every
guard of its stage shows that it is safe, and the minimum of data and time is met. No data is never success.
"""

import msgspec

from homeostat.ground.clock import format_duration
from homeostat.rollout.observed import Observation, observed
from homeostat.rollout.stages import Bake
from homeostat.rollout.summary import summary
from homeostat.rollout.verdicts import has_minimum, problem, success
from homeostat.rollout.walk import Decision, Evidence, Rollout

_STATES = {"promote": "promoted", "complete": "promoted", "rollback": "rolled_back", "hold": "held", "abort": "aborted"}


def look(rollout: Rollout, observation: Observation, *, task: str) -> Decision:
    """Add what was observed to the evidence and decide; `task` is 'binary', 'multiclass' or 'regression'.

    While a rollout is paused nothing moves forward, and the guards go on.
    """
    evidence, now = observed(rollout, observation, task), observation.now
    walked = msgspec.structs.replace(rollout, evidence=evidence, looks=rollout.looks + 1)
    if found := problem(walked, now=now):
        return ended(walked, "rollback", f"{found.test}: {found.text}", now=now)
    age = now - rollout.stage_since
    if rollout.control.paused_at is None:
        if reason := success(walked, now=now):
            return next_step(walked, reason, now=now)
        if not isinstance(stage := rollout.step.stage, Bake) and age >= stage.horizon:
            return _undecided(walked, stage.horizon, stage.undecided, now)
    return Decision(
        action="continue",
        reason=f"{rollout.stage_name} for {format_duration(age)}",
        numbers=summary(walked),
        rollout=walked,
    )


def look_back(rollout: Rollout, observation: Observation, *, task: str) -> Decision:
    """After the promotion and its bake: do late labels say that the version before was better?"""
    whole = msgspec.structs.replace(rollout, stage=len(rollout.plan.steps()) - 1)
    evidence, now = observed(whole, observation, task), observation.now
    walked = msgspec.structs.replace(rollout, evidence=evidence, looks=rollout.looks + 1)
    if found := problem(walked, now=now):
        return ended(walked, "rollback", f"{found.test}: {found.text}", now=now)
    if rollout.watch_until is None or now >= rollout.watch_until:
        over = msgspec.structs.replace(walked, watch_until=None)
        return Decision(action="unwatch", reason="the old version is let go", numbers=summary(over), rollout=over)
    return Decision(action="continue", reason="reverse shadow", numbers=summary(walked), rollout=walked)


def next_step(rollout: Rollout, reason: str, *, now: int) -> Decision:
    """The step is passed: on to the next, be it the promotion, or the end of the bake."""
    steps = rollout.plan.steps()
    following = rollout.stage + 1
    if following == len(steps):
        return ended(rollout, "complete" if rollout.is_released else "promote", reason, now=now)
    to_bake = isinstance(steps[following].stage, Bake)
    control = msgspec.structs.replace(rollout.control, promoted_at=now) if to_bake else rollout.control
    moved = msgspec.structs.replace(
        rollout,
        stage=following,
        stage_since=now,
        evidence=_begun(rollout.evidence, weight=steps[following].weight, to_bake=to_bake, now=now),
        control=control,
        reason=reason if to_bake else rollout.reason,
    )
    action = "promote" if to_bake else "advance"
    return Decision(action=action, reason=reason, numbers=summary(rollout), rollout=moved)


def ended(rollout: Rollout, action: str, reason: str, *, now: int) -> Decision:
    """The rollout is over: 'promote' or 'complete', 'rollback', 'hold' or 'abort'."""
    state = _STATES[action]
    control = rollout.control
    if action == "promote":
        control = msgspec.structs.replace(control, promoted_at=now)
    over = msgspec.structs.replace(
        rollout,
        state=state,
        ended_at=now if rollout.ended_at is None else rollout.ended_at,
        reason=reason if action != "complete" else rollout.reason or reason,
        control=control,
        watch_until=now + rollout.plan.reverse_shadow if state == "promoted" and rollout.plan.reverse_shadow else None,
    )
    return Decision(action=action, reason=reason, numbers=summary(rollout), rollout=over)


def _undecided(rollout: Rollout, horizon: int, policy: str, now: int) -> Decision:
    reason = f"undecided in {rollout.step.name} after {format_duration(horizon)}"
    if policy == "promote" and has_minimum(rollout, now=now):
        return next_step(rollout, f"{reason}, which this plan lets pass", now=now)
    return ended(rollout, "rollback" if policy == "rollback" else "hold", reason, now=now)


def _begun(evidence: Evidence, *, weight: int, to_bake: bool, now: int) -> Evidence:
    """The evidence as a step begins: what counts by step starts anew."""
    begun = msgspec.structs.replace(evidence, stage_rows=0, failed_in_a_row=0, failed_since=None, has_answered=False)
    if weight and evidence.split_since is None:
        begun = msgspec.structs.replace(begun, split_since=now)
    if not to_bake:
        return begun
    return msgspec.structs.replace(
        begun,
        errors=evidence.errors.baking(is_alone=False),
        invalid=evidence.invalid and evidence.invalid.baking(is_alone=False),
        slow=evidence.slow.baking(is_alone=True),
    )
