"""Rollouts as people ask about them: where one stands, what each guard has seen, what people did."""

from typing import Any

import msgspec

from homeostat.ground.clock import to_iso
from homeostat.rollout.plan_text import format_plan
from homeostat.rollout.routing import weights
from homeostat.rollout.summary import summary
from homeostat.rollout.walk import Rollout


def rollout_view(rollout: Rollout, *, whole: bool = False) -> dict[str, Any]:
    """Where a rollout stands, with its numbers; `whole` with everything that is kept of what it has seen."""
    control = rollout.control
    view = {
        "id": rollout.id,
        "model": rollout.model,
        "endpoint": rollout.endpoint,
        "candidate": rollout.candidate,
        "stable": rollout.stable,
        "state": rollout.state,
        "stage": rollout.stage,
        "step": rollout.stage_name,
        "steps": [step.name for step in rollout.plan.steps()],
        "plan": format_plan(rollout.plan),
        "routing": weights(rollout),
        "reason": rollout.reason,
        "started_at": to_iso(rollout.started_at),
        "stage_since": to_iso(rollout.stage_since),
        "ended_at": _moment(rollout.ended_at),
        "promoted_at": _moment(control.promoted_at),
        "watch_until": _moment(rollout.watch_until),
        "started_by": control.started_by,
        "paused_by": control.paused_by if control.paused_at is not None else None,
        "approved": [_with_time(word) for word in control.approved],
        "overruled": [_with_time(item) for item in control.overridden],
        "looks": rollout.looks,
        "labels": rollout.evidence.label_seq,
        "stage_rows": rollout.evidence.stage_rows,
        "cycle": rollout.cycle_id,
        "numbers": summary(rollout),
    }
    return view | {"evidence": msgspec.to_builtins(rollout.evidence)} if whole else view


def _with_time(item: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    return plain | {"at": to_iso(plain["at"])}


def _moment(at: int | None) -> str | None:
    return None if at is None else to_iso(at)
