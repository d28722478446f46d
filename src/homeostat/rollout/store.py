"""Rollouts in the catalogue. All evidence is in the row, so a look after a crash goes on where the last one ended."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.ground.ids import new_id
from homeostat.rollout.paired import PairedLoss
from homeostat.rollout.rates import Guard, new_guard
from homeostat.rollout.types import Canary, Plan, Shadow
from homeostat.store.database import metadata
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event

ACTOR = "rollout"

table = sa.Table(
    "rollout_rollouts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("endpoint", sa.String(128), nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("candidate", sa.Integer, nullable=False),
    sa.Column("stable", sa.Integer, nullable=True),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("stage", sa.Integer, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("stage_since", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("cycle_id", sa.String(32), nullable=True),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.UniqueConstraint("cycle_id"),
    sa.Index("ix_rollout_rollouts_endpoint_started_at", "endpoint", "started_at"),
)
_running = table.c.state == "running"
sa.Index("uq_rollout_rollouts_running", table.c.endpoint, unique=True, sqlite_where=_running, postgresql_where=_running)


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm did: calls, rows in them, and calls that went wrong in one way or another."""

    requests: int = 0
    rows: int = 0
    errors: int = 0
    rejected: int = 0
    slow: int = 0
    invalid: int = 0

    def minus(self, before: "ArmCounts") -> "ArmCounts":
        return ArmCounts(**{name: getattr(self, name) - getattr(before, name) for name in ArmCounts.__struct_fields__})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a rollout has learned so far."""

    quality: PairedLoss | None
    """None for a plan without a shadow stage."""
    errors: Guard
    slow: Guard
    label_seq: int = 0
    """Labels up to here have been counted."""
    totals: dict[str, ArmCounts] | None = None
    """Traffic of the arms at the last look; None before the first."""
    stage_rows: int = 0
    """Rows that the candidate answered in this stage."""
    failed_in_a_row: int = 0
    """Calls of the candidate that all failed, up to the last look."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A plan being walked on an endpoint. Times are microseconds of event time."""

    id: str
    endpoint: str
    model: str
    candidate: int
    stable: int | None
    plan: Plan
    stage: int
    """Index into `plan.steps()`."""
    state: str
    """'running', 'promoted', 'rolled_back', 'held' or 'aborted'."""
    evidence: Evidence
    started_at: int
    stage_since: int
    ended_at: int | None
    reason: str
    cycle_id: str | None
    looks: int

    @property
    def stage_name(self) -> str:
        """'shadow', 'canary 5 %', or the state once it has ended."""
        if self.state != "running":
            return self.state
        _, weight = self.plan.steps()[self.stage]
        return f"canary {weight} %" if weight else "shadow"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a look concluded, and the rollout as it is then."""

    action: str
    """'continue', 'advance', 'promote', 'rollback' or 'hold'."""
    reason: str
    numbers: dict[str, Any]
    rollout: Rollout


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
) -> Rollout:
    """Begin to walk the plan; the same cycle again gets the rollout it started.

    Without a stable version there is nothing to compare with and nothing to lose: the candidate is promoted at once.

    Raises:
        Conflict: when another rollout runs on the endpoint, or the candidate is the stable version.
    """
    if cycle_id is not None and (started := rollout_of_cycle(conn, cycle_id)) is not None:
        return started
    if candidate == stable:
        raise Conflict(
            f"{model}@{candidate} is in service on {endpoint!r} already",
            field="candidate",
            next_step="roll out another version",
        )
    first = stable is None
    rollout = Rollout(
        id=new_id(),
        endpoint=endpoint,
        model=model,
        candidate=candidate,
        stable=stable,
        plan=plan,
        stage=0,
        state="promoted" if first else "running",
        evidence=new_evidence(plan),
        started_at=at,
        stage_since=at,
        ended_at=at if first else None,
        reason="first version" if first else "",
        cycle_id=cycle_id,
        looks=0,
    )
    if not insert_new(conn, table, [_row(rollout)]):
        raise _occupied(conn, endpoint)
    told = {"rollout": rollout.id, "candidate": candidate, "stable": stable, "stage": rollout.stage_name}
    kind = "rollout.promoted" if first else "rollout.started"
    append_event(conn, kind, subject=model, at=at, actor=actor, reason=rollout.reason, data=told)
    return rollout


def new_evidence(plan: Plan) -> Evidence:
    """What a rollout starts from: nothing known."""
    shadow = next((stage for stage in plan.stages if isinstance(stage, Shadow)), None)
    canary = next((stage for stage in plan.stages if isinstance(stage, Canary)), None)
    return Evidence(
        quality=PairedLoss(margin=shadow.margin) if shadow else None,
        errors=new_guard(margin=2.0, limit=canary.error_limit if canary else 0.02),
        slow=new_guard(margin=1.5, limit=canary.slow_limit if canary else 0.05),
    )


def save_look(conn: Connection, decision: Decision, *, at: int) -> Rollout:
    """Keep a look's outcome, with an event unless it was 'continue'.

    Raises:
        Conflict: when the rollout was looked at or ended meanwhile; look again.
    """
    rollout = decision.rollout
    current = (table.c.id == rollout.id, table.c.state == "running", table.c.looks == rollout.looks - 1)
    row = _row(rollout)
    if conn.execute(table.update().where(*current).values(**row)).rowcount != 1:
        raise Conflict(f"rollout {rollout.id} moved meanwhile", field="rollout", next_step="look at it again")
    if decision.action != "continue":
        kind = "rollout.advanced" if rollout.state == "running" else f"rollout.{rollout.state}"
        _tell(conn, kind, rollout, at=at, actor=ACTOR, reason=decision.reason, numbers=decision.numbers)
    return rollout


def abort_rollout(conn: Connection, rollout_id: str, *, at: int, actor: str, reason: str) -> Rollout:
    """End a running rollout by hand; the stable version stays. One that has ended is returned as it is."""
    rollout = get_rollout(conn, rollout_id)
    if rollout.state != "running":
        return rollout
    ended = msgspec.structs.replace(rollout, state="aborted", ended_at=at, reason=reason, looks=rollout.looks + 1)
    still = (table.c.id == rollout_id, table.c.state == "running")
    if conn.execute(table.update().where(*still).values(**_row(ended))).rowcount == 1:
        _tell(conn, "rollout.aborted", ended, at=at, actor=actor, reason=reason, numbers={})
    return get_rollout(conn, rollout_id)


def get_rollout(conn: Connection, rollout_id: str) -> Rollout:
    """One rollout.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(table.select().where(table.c.id == rollout_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no rollout {rollout_id!r}", field="rollout", next_step="see: homeostat why MODEL")
    return _rollout(row)


def running_rollout(conn: Connection, endpoint: str) -> Rollout | None:
    """The rollout that is under way on an endpoint."""
    row = conn.execute(table.select().where(table.c.endpoint == endpoint, _running)).mappings().one_or_none()
    return None if row is None else _rollout(row)


def rollout_of_cycle(conn: Connection, cycle_id: str) -> Rollout | None:
    """The rollout that a cycle started."""
    row = conn.execute(table.select().where(table.c.cycle_id == cycle_id)).mappings().one_or_none()
    return None if row is None else _rollout(row)


def list_rollouts(
    conn: Connection, *, endpoint: str | None = None, state: str | None = None, limit: int = 1000
) -> list[Rollout]:
    """Rollouts, newest first."""
    query = table.select().order_by(table.c.started_at.desc(), table.c.id.desc()).limit(limit)
    if endpoint is not None:
        query = query.where(table.c.endpoint == endpoint)
    if state is not None:
        query = query.where(table.c.state == state)
    return [_rollout(row) for row in conn.execute(query).mappings()]


def _occupied(conn: Connection, endpoint: str) -> Conflict:
    running = running_rollout(conn, endpoint)
    what = f"version {running.candidate} ({running.stage_name})" if running else "another version"
    return Conflict(
        f"a rollout of {what} is running on {endpoint!r}",
        field="endpoint",
        next_step="let it end, or roll back to stop it",
    )


def _tell(
    conn: Connection, kind: str, rollout: Rollout, *, at: int, actor: str, reason: str, numbers: dict[str, Any]
) -> None:
    data = {
        "rollout": rollout.id,
        "candidate": rollout.candidate,
        "stable": rollout.stable,
        "stage": rollout.stage_name,
        "numbers": numbers,
    }
    append_event(conn, kind, subject=rollout.model, at=at, actor=actor, reason=reason, data=data)


def _row(rollout: Rollout) -> dict[str, Any]:
    row = msgspec.structs.asdict(rollout)
    return row | {"plan": msgspec.to_builtins(rollout.plan), "evidence": msgspec.to_builtins(rollout.evidence)}


def _rollout(row: Any) -> Rollout:
    # The keys of a row are a subclass of str, which msgspec refuses.
    return msgspec.convert({name: row[name] for name in Rollout.__struct_fields__}, Rollout)
