"""Walking rollouts: what monitoring saw is handed to the rollout's rules, and their verdict moves alias and routing.

Evidence, cursor, alias and routing of one look commit together, so a crash between two looks costs nothing.
"""

from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR
from homeostat.loop import releases
from homeostat.loop.plans import plan_of, task_of
from homeostat.monitoring.accuracy import paired
from homeostat.monitoring.health import traffic_since
from homeostat.registry.aliases import remove_alias
from homeostat.registry.lookup import aliases_of
from homeostat.rollout.controller import Observation, look, weights
from homeostat.rollout.store import Rollout, list_rollouts, save_look, start_rollout
from homeostat.serving.types import Arm
from homeostat.store.database import Database

ACTOR = "rollout"


def begin_rollout(conn: Connection, model: str, version: int, *, cycle_id: str, at: int, actor: str) -> Rollout:
    """Start the plan for a new version; without a champion it goes into service at once."""
    rollout = start_rollout(
        conn,
        endpoint=model,
        model=model,
        candidate=version,
        stable=releases.champion_number(conn, model),
        plan=plan_of(conn, model),
        cycle_id=cycle_id,
        at=at,
        actor=actor,
    )
    _apply_state(conn, rollout, at=at)
    return rollout


def advance_rollouts(database: Database, *, now: int, label_seq: int) -> list[str]:
    """Look at every running rollout once; returns what moved, as text."""
    with database.read() as conn:
        running = list_rollouts(conn, state="running")
    return [moved for rollout in running if (moved := _advance(database, rollout, now=now, label_seq=label_seq))]


def _advance(database: Database, rollout: Rollout, *, now: int, label_seq: int) -> str | None:
    with database.write() as conn:
        observation = _observe(conn, rollout, now=now, label_seq=label_seq)
        decision = look(rollout, observation, task=task_of(conn, rollout.model, rollout.candidate))
        saved = save_look(conn, decision, at=now)
        if decision.action == "continue":
            return None
        _apply_state(conn, saved, at=now)
        return f"{rollout.model}@{rollout.candidate} {saved.stage_name}: {decision.reason}"


def _observe(conn: Connection, rollout: Rollout, *, now: int, label_seq: int) -> Observation:
    assert rollout.stable is not None  # without a stable version it is promoted at the start
    pairs = paired(
        conn,
        rollout.model,
        stable=rollout.stable,
        candidate=rollout.candidate,
        after_seq=rollout.evidence.label_seq,
        up_to_seq=label_seq,
    )
    traffic = traffic_since(conn, rollout.model, start=rollout.started_at - HOUR)
    return Observation(now=now, label_seq=label_seq, paired=pairs, traffic=traffic)


def _apply_state(conn: Connection, rollout: Rollout, *, at: int) -> None:
    """Make alias and routing what the rollout's state asks for."""
    model, reason = rollout.model, rollout.reason or f"rollout: {rollout.stage_name}"
    if rollout.state == "promoted":
        releases.put_in_service(
            conn,
            model,
            rollout.candidate,
            at=at,
            actor=ACTOR,
            reason=reason,
            evidence={"rollout": rollout.id, "cycle": rollout.cycle_id},
            key=f"{rollout.id}:promoted",
        )
    else:
        routing = weights(rollout)
        arms = [Arm(**arm) for arm in routing["arms"]]
        releases.route(conn, model, arms, shadows=routing["shadows"], at=at, actor=ACTOR, reason=reason)
    if rollout.state != "running":
        _end_challenge(conn, rollout, reason, at=at)


def _end_challenge(conn: Connection, rollout: Rollout, reason: str, *, at: int) -> None:
    if aliases_of(conn, rollout.model).get(releases.CHALLENGER) == rollout.candidate:
        remove_alias(
            conn,
            rollout.model,
            releases.CHALLENGER,
            at=at,
            actor=ACTOR,
            reason=reason,
            evidence={"rollout": rollout.id, "state": rollout.state},
        )
    if rollout.state in ("rolled_back", "held"):
        releases.notify(
            conn, f"rollout.{rollout.state}", rollout.model, at=at, version=rollout.candidate, reason=reason
        )
