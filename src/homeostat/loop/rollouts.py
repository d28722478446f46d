"""Walking rollouts: what monitoring saw is handed to the rollout's rules, and their verdict moves alias and routing.

Evidence, cursor, alias and routing of one look commit together, so a crash between two looks costs nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from homeostat.ground.clock import MINUTE
from homeostat.loop import releases
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.loop.observing import known_traffic, observe, slow_limit_of
from homeostat.loop.workers import MemoryWatch, Workers, WorkerState, no_workers
from homeostat.monitoring.labels import label_high_water
from homeostat.registry.aliases import remove_alias
from homeostat.registry.lookup import aliases_of
from homeostat.registry.versions import get_version
from homeostat.rollout.begin import start_rollout
from homeostat.rollout.controller import look, look_back
from homeostat.rollout.guards import SLOT
from homeostat.rollout.routing import weights
from homeostat.rollout.store import ACTOR, end_watches, get_rollout, open_rollouts, save_decision
from homeostat.rollout.types import Plan
from homeostat.rollout.walk import Decision, Rollout
from homeostat.serving.endpoints import find_endpoint
from homeostat.serving.types import Arm
from homeostat.store.database import Database


def begin_rollout(
    conn: Connection,
    model: str,
    version: int,
    *,
    plan: Plan | None = None,
    cycle_id: str | None = None,
    at: int,
    actor: str,
    reason: str = "",
) -> Rollout:
    """Start to walk a plan (by default the declared one) for a version; without a champion it goes into service."""
    stable = releases.champion_number(conn, model)
    rollout = start_rollout(
        conn,
        endpoint=model,
        model=model,
        candidate=version,
        stable=stable,
        plan=plan or get_declaration(conn, model).rollout,
        cycle_id=cycle_id,
        at=at,
        actor=actor,
        reason=reason,
        task=task_of(conn, model, version),
        label_seq=label_high_water(conn),
        traffic=known_traffic(conn, model, since=at),
        slow_limit=None if stable is None else slow_limit_of(conn, model, stable, now=at),
    )
    apply_state(conn, rollout, at=at, actor=actor)
    return rollout


def task_of(conn: Connection, model: str, version: int) -> str:
    """What a version answers: 'binary', 'multiclass' or 'regression'."""
    task = get_version(conn, model, version).signature.task
    return task or (get_declaration(conn, model).task if is_declared(conn, model) else "")


def advance_rollouts(
    database: Database,
    *,
    now: int,
    label_seq: int,
    workers: Workers = no_workers,
    memory: MemoryWatch | None = None,
) -> list[str]:
    """Look at every open rollout once; returns what moved, as text."""
    with database.read() as conn:
        found = open_rollouts(conn)
    is_walking = any(state == "running" for _, state in found)
    states = workers(closely=is_walking)
    if not is_walking and memory is not None:
        memory.at_rest(states)
    moved, failed = [], []
    for rollout, _ in found:
        try:
            moved.append(_advance(database, rollout, now=now, label_seq=label_seq, states=states, memory=memory))
        except Exception as error:  # noqa: BLE001  one model's trouble must not keep another's rollout from going back
            failed.append(error)
    if failed:
        raise failed[0]
    return [text for text in moved if text]


def _advance(
    database: Database,
    rollout_id: str,
    *,
    now: int,
    label_seq: int,
    states: Sequence[WorkerState],
    memory: MemoryWatch | None,
) -> str | None:
    with database.write() as conn:
        rollout = get_rollout(conn, rollout_id)  # anew: a person may have been at it
        if rollout.state == "promoted" and rollout.watch_until is None:
            return None
        if rollout.state not in {"running", "promoted"}:
            return None
        if _was_overtaken(conn, rollout) or _was_just_seen(rollout, now=now):
            return None
        observation = observe(conn, rollout, now=now, label_seq=label_seq, states=states, memory=memory)
        decide = look if rollout.state == "running" else look_back
        decision = decide(
            rollout, observation, task=rollout.control.task or task_of(conn, rollout.model, rollout.candidate)
        )
        if _is_idle(rollout, decision, now=now):
            return None
        return carry_out(conn, decision, before=rollout, at=now, actor=ACTOR)


def _was_overtaken(conn: Connection, rollout: Rollout) -> bool:
    """A promoted version that is no longer the champion: somebody moved on, and there is nothing to go back from."""
    if rollout.state == "running" or releases.champion_number(conn, rollout.model) == rollout.candidate:
        return False
    end_watches(conn, rollout.endpoint)
    return True


def _was_just_seen(rollout: Rollout, *, now: int) -> bool:
    """Looking back waits for labels: once a minute is enough, of a thousand models each for a week."""
    if rollout.watch_until is None or now >= rollout.watch_until:
        return False
    return now - rollout.evidence.errors.last < MINUTE


def _is_idle(rollout: Rollout, decision: Decision, *, now: int) -> bool:
    """Nothing came and nothing is due: kept, such looks would be most of what is written."""
    before, after = rollout.evidence, decision.rollout.evidence
    same = before.totals == after.totals and before.label_seq == after.label_seq
    still = (before.memory, before.unloaded_since, before.slow_limit) == (
        after.memory,
        after.unloaded_since,
        after.slow_limit,
    )
    return decision.action == "continue" and same and still and now - before.errors.last < SLOT


def carry_out(conn: Connection, decision: Decision, *, before: Rollout, at: int, actor: str) -> str | None:
    """Keep a decision and make alias and routing what it asks for; says what moved."""
    saved = save_decision(conn, decision, at=at, actor=actor)
    if decision.action in {"continue", "pause", "resume"}:
        return None
    if before.is_released and saved.state not in {"running", "promoted"}:
        _go_back(conn, saved, decision, at=at, actor=actor)
    else:
        apply_state(conn, saved, at=at, actor=actor, numbers=decision.numbers, was_released=before.is_released)
    return f"{saved.model}@{saved.candidate} {saved.stage_name}: {decision.reason}"


def apply_state(
    conn: Connection,
    rollout: Rollout,
    *,
    at: int,
    actor: str,
    numbers: dict[str, Any] | None = None,
    was_released: bool = False,
) -> None:
    """Make alias and routing what the rollout's state asks for."""
    model, reason = rollout.model, rollout.reason or f"rollout: {rollout.stage_name}"
    routing = weights(rollout)
    arms, shadows = [Arm(**arm) for arm in routing["arms"]], routing["shadows"]
    if rollout.is_released and not was_released:
        releases.put_in_service(
            conn,
            model,
            rollout.candidate,
            at=at,
            actor=actor,
            reason=reason,
            evidence=_evidence(rollout, numbers or {}),
            key=f"{rollout.id}:promoted",
            shadows=shadows,
        )
    elif _differs(conn, rollout, arms, shadows, routing["shadow_share"]):
        share = routing["shadow_share"]
        releases.route(conn, model, arms, shadows=shadows, shadow_share=share, at=at, actor=actor, reason=reason)
    if rollout.state != "running" or rollout.is_released:
        _end_challenge(conn, rollout, reason, at=at)


def _go_back(conn: Connection, rollout: Rollout, decision: Decision, *, at: int, actor: str) -> None:
    assert rollout.stable is not None  # a first version has no bake
    releases.take_out_of_service(
        conn,
        rollout.model,
        back_to=rollout.stable,
        at=at,
        actor=actor,
        reason=decision.reason,
        evidence=_evidence(rollout, decision.numbers),
        key=f"{rollout.id}:rolled_back",
    )
    _tell(conn, rollout, decision.reason, at=at)


def _evidence(rollout: Rollout, numbers: dict[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of a move."""
    control = rollout.control
    kept: dict[str, Any] = {"rollout": rollout.id, "cycle": rollout.cycle_id, "numbers": numbers}
    if control.approved:
        kept["approved_by"] = [word.by for word in control.approved]
    if control.overridden:
        kept["overruled"] = [{"test": item.test, "e_rollback": item.e_rollback} for item in control.overridden]
    return kept


def _differs(conn: Connection, rollout: Rollout, arms: list[Arm], shadows: list[int], share: int) -> bool:
    endpoint = find_endpoint(conn, rollout.endpoint)
    wanted = (tuple(arms), tuple(shadows), share)
    return endpoint is None or (endpoint.arms, endpoint.shadows, endpoint.shadow_share) != wanted


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
    _tell(conn, rollout, reason, at=at)


def _tell(conn: Connection, rollout: Rollout, reason: str, *, at: int) -> None:
    if rollout.state in {"rolled_back", "held"}:
        releases.notify(
            conn, f"rollout.{rollout.state}", rollout.model, at=at, version=rollout.candidate, reason=reason
        )
