"""Starting to walk a plan."""

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.ids import new_id
from homeostat.rollout.observed import Totals, arm_totals
from homeostat.rollout.stages import AB
from homeostat.rollout.store import end_watches, insert_rollout, rollout_of_cycle, running_rollout, tell
from homeostat.rollout.types import Plan
from homeostat.rollout.walk import Control, Rollout, SlowLimit, new_evidence

_LOSSES = {
    "binary": ("wrong", "log_loss", "brier"),
    "multiclass": ("wrong",),
    "regression": ("squared_error", "absolute_error"),
}


def start_rollout(
    conn: Connection,
    *,
    endpoint: str,
    model: str,
    candidate: int,
    stable: int | None,
    plan: Plan,
    cycle_id: str | None,
    at: int,
    actor: str,
    task: str = "",
    reason: str = "",
    label_seq: int = 0,
    traffic: Totals | None = None,
    slow_limit: SlowLimit | None = None,
) -> Rollout:
    """Begin to walk the plan; the same cycle again gets the rollout it started.

    Evidence are labels after `label_seq` and what comes on top of `traffic`; `slow_limit` counts until the first look
    knows a newer one. Without a stable version there is nothing to compare with and nothing to lose: the candidate is
    promoted at once.

    Raises:
        Conflict: when another rollout runs on the endpoint, or the candidate is the stable version.
        Invalid: when the plan asks for a loss that the model's answers do not have.
    """
    if cycle_id is not None and (started := rollout_of_cycle(conn, cycle_id)) is not None:
        return started
    if candidate == stable:
        raise Conflict(
            f"{model}@{candidate} is in service on {endpoint!r} already",
            field="candidate",
            next_step="roll out another version",
        )
    check_plan(plan, task)
    first = stable is None
    evidence = msgspec.structs.replace(
        new_evidence(plan, task=task, at=at, label_seq=label_seq),
        split_since=at if plan.steps()[0].weight else None,
        slow_limit=slow_limit,
    )
    rollout = Rollout(
        id=new_id(),
        endpoint=endpoint,
        model=model,
        candidate=candidate,
        stable=stable,
        plan=plan,
        stage=0,
        state="promoted" if first else "running",
        evidence=evidence,
        started_at=at,
        stage_since=at,
        ended_at=at if first else None,
        reason="first version" if first else "",
        cycle_id=cycle_id,
        looks=0,
        control=Control(task=task, started_by=actor),
    )
    if traffic is not None:
        totals = arm_totals(rollout, traffic)
        rollout = msgspec.structs.replace(rollout, evidence=msgspec.structs.replace(rollout.evidence, totals=totals))
    if not insert_rollout(conn, rollout):
        raise _occupied(conn, endpoint)
    end_watches(conn, endpoint)
    kind = "rollout.promoted" if first else "rollout.started"
    tell(conn, kind, rollout, at=at, actor=actor, reason=rollout.reason or reason, numbers={})
    return rollout


def check_plan(plan: Plan, task: str) -> None:
    """See that what a plan decides by fits what the model answers.

    Raises:
        Invalid: naming the metrics that do.
    """
    for stage in plan.stages:
        known = _LOSSES.get(task, ())
        if isinstance(stage, AB) and stage.metric and known and stage.metric not in known:
            raise Invalid(
                f"an A/B of a {task} model cannot be decided by {stage.metric!r}",
                field="metric",
                next_step=f"use {', '.join(known)}",
            )


def _occupied(conn: Connection, endpoint: str) -> Conflict:
    running = running_rollout(conn, endpoint)
    what = f"version {running.candidate} ({running.stage_name})" if running else "another version"
    return Conflict(
        f"a rollout of {what} is running on {endpoint!r}",
        field="endpoint",
        next_step=f"let it end, or stop it: homeostat rollout abort {endpoint}",
    )
