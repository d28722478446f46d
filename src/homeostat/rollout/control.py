"""What a person may do to a rollout; each gives a `Decision` to be saved with the person's name.

Pure: what was looked at last is what a person decides on. Moving alias and routing is the loop's part.
"""

import math
from typing import Any

import msgspec

from homeostat.ground.errors import Conflict, Refused
from homeostat.rollout.controller import ended, next_step
from homeostat.rollout.evidence import LEANING_AT, shown
from homeostat.rollout.stages import Approval, Bake
from homeostat.rollout.summary import summary
from homeostat.rollout.verdicts import problem, rate_guards
from homeostat.rollout.walk import Approved, Control, Decision, Overridden, Rollout


def pause(rollout: Rollout, *, now: int, actor: str, reason: str) -> Decision:
    """Nothing moves forward until it is resumed; the guards go on, so it may still be rolled back.

    Raises:
        Conflict: when it is paused already, or over.
    """
    _check_running(rollout)
    if rollout.control.paused_at is not None:
        raise Conflict(
            f"the rollout of {rollout.model}@{rollout.candidate} is paused already",
            field="rollout",
            next_step="resume it with: homeostat rollout resume",
        )
    control = msgspec.structs.replace(rollout.control, paused_at=now, paused_by=actor)
    return _decided(rollout, "pause", reason or "paused by hand", control=control)


def resume(rollout: Rollout, *, now: int, reason: str) -> Decision:
    """Go on; the time in between counts for no minimum and no horizon.

    Raises:
        Conflict: when it is not paused.
    """
    _check_running(rollout)
    if (paused_at := rollout.control.paused_at) is None:
        raise Conflict(
            f"the rollout of {rollout.model}@{rollout.candidate} is not paused",
            field="rollout",
            next_step="nothing has to be done",
        )
    control = msgspec.structs.replace(rollout.control, paused_at=None, paused_by="")
    since = rollout.stage_since + (now - paused_at)
    return _decided(rollout, "resume", reason or "resumed by hand", control=control, stage_since=since)


def approve(rollout: Rollout, *, now: int, actor: str, comment: str) -> Decision:
    """A person's word at an approval step: on to the next one.

    Raises:
        Conflict: when no approval is waited for.
    """
    _check_running(rollout)
    if not isinstance(rollout.step.stage, Approval):
        raise Conflict(
            f"the rollout of {rollout.model}@{rollout.candidate} is in {rollout.stage_name} and waits for no approval",
            field="rollout",
            next_step="to skip ahead: homeostat rollout promote",
        )
    return _onwards(_with_word(rollout, now=now, actor=actor, comment=comment), f"approved by {actor}", comment, now)


def promote(
    rollout: Rollout, *, now: int, actor: str, reason: str, to_the_end: bool = False, force: bool = False
) -> Decision:
    """Skip ahead by hand: past this step, or (`to_the_end`) straight to the promotion.

    `force` goes on although guards say otherwise, and although a rollout was held; what was overruled is recorded and
    no longer rolls back.

    Raises:
        Refused: when a guard leans against the candidate and `force` was not said.
        Conflict: when there is nothing to skip.
    """
    if rollout.state == "held" and force:
        rollout = msgspec.structs.replace(rollout, state="running", ended_at=None)
    _check_running(rollout)
    against = leaning(rollout, now=now)
    if against and not force:
        tests = "; ".join(f"{test} (e = {shown(log_e):.4g})" for test, log_e in against.items())
        raise Refused(
            f"guards lean against {rollout.model}@{rollout.candidate}: {tests}",
            field="rollout",
            next_step="wait for more data, abort it, or say --force; that is recorded",
        )
    overruled = tuple(
        Overridden(test=test, e_rollback=shown(log_e), by=actor, at=now, reason=reason)
        for test, log_e in against.items()
    )
    rollout = _with_word(rollout, now=now, actor=actor, comment=reason)
    control = msgspec.structs.replace(rollout.control, overridden=(*rollout.control.overridden, *overruled))
    rollout = msgspec.structs.replace(rollout, control=control)
    what = f"promoted by {actor}" + (f", overruling {', '.join(against)}" if against else "")
    if to_the_end:
        rollout = _before_promotion(rollout)
    return _onwards(rollout, what, reason, now)


def abort(rollout: Rollout, *, now: int, actor: str, reason: str) -> Decision:
    """End it by hand; the stable version has the traffic again.

    Raises:
        Conflict: when it is over.
    """
    _check_running(rollout)
    walked = msgspec.structs.replace(rollout, looks=rollout.looks + 1)
    return ended(walked, "abort", reason or f"aborted by {actor}", now=now)


def leaning(rollout: Rollout, *, now: int) -> dict[str, float]:
    """Tests whose e-value against the candidate is 20 or more, with its logarithm; and whatever else rolls back."""
    evidence, overruled = rollout.evidence, {item.test for item in rollout.control.overridden}
    tests = {name: guard.log_e_rollback for name, guard in rate_guards(evidence).items() if name in rollout.plan.tests}
    quality = [part.log_e_rollback for part in (evidence.quality, evidence.arms) if part is not None]
    if quality:
        tests["quality"] = max(quality)
    found = {test: log_e for test, log_e in tests.items() if log_e >= math.log(LEANING_AT) and test not in overruled}
    if (other := problem(rollout, now=now)) is not None and other.test not in found:
        found[other.test] = math.inf
    return found


def _with_word(rollout: Rollout, *, now: int, actor: str, comment: str) -> Rollout:
    word = Approved(step=rollout.step.name, by=actor, at=now, comment=comment)
    control = msgspec.structs.replace(rollout.control, approved=(*rollout.control.approved, word), paused_at=None)
    return msgspec.structs.replace(rollout, control=control)


def _onwards(rollout: Rollout, what: str, comment: str, now: int) -> Decision:
    walked = msgspec.structs.replace(rollout, looks=rollout.looks + 1)
    return next_step(walked, f"{what}: {comment}" if comment else what, now=now)


def _before_promotion(rollout: Rollout) -> Rollout:
    """At the last step before the promotion; in the bake there is nothing left to skip but the bake."""
    steps = rollout.plan.steps()
    if isinstance(steps[rollout.stage].stage, Bake):
        return rollout
    last = len(steps) - 1 - isinstance(steps[-1].stage, Bake)
    return msgspec.structs.replace(rollout, stage=last)


def _decided(rollout: Rollout, action: str, reason: str, *, control: Control, **changes: Any) -> Decision:
    changed = msgspec.structs.replace(rollout, control=control, looks=rollout.looks + 1, **changes)
    return Decision(action=action, reason=reason, numbers=summary(rollout), rollout=changed)


def _check_running(rollout: Rollout) -> None:
    if rollout.state != "running":
        raise Conflict(
            f"the rollout of {rollout.model}@{rollout.candidate} is over: {rollout.state.replace('_', ' ')}",
            field="rollout",
            next_step=f"start another with: homeostat rollout start {rollout.model}@{rollout.candidate}",
        )
