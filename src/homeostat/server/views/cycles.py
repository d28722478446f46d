"""Cycles and the answer to `why`: each with its cause, evidence and outcome."""

from typing import Any

from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.loop.durable import Cycle, list_cycles, steps_done
from homeostat.loop.watch import block_of
from homeostat.registry.models import get_model
from homeostat.rollout.store import list_rollouts, rollout_of_cycle
from homeostat.server.views.rollouts import rollout_view
from homeostat.store.events import list_events


def cycle_view(conn: Connection, cycle: Cycle) -> dict[str, Any]:
    """One cycle with what it rests on."""
    rollout = rollout_of_cycle(conn, cycle.id)
    return {
        "id": cycle.id,
        "model": cycle.model,
        "cause": cycle.cause,
        "evidence": cycle.evidence,
        "actor": cycle.actor,
        "as_of": to_iso(cycle.as_of),
        "forced": cycle.forced,
        "params": cycle.params,
        "state": cycle.state,
        "outcome": cycle.outcome,
        "reason": cycle.reason or (cycle.error.splitlines()[-1] if cycle.error else ""),
        "error": cycle.error,
        "steps": steps_done(conn, cycle.id),
        "run": cycle.run,
        "version": cycle.version if rollout is None else rollout.candidate,
        "rollout": rollout_view(rollout) if rollout else None,
        "ended_at": to_iso(cycle.ended_at) if cycle.ended_at is not None else None,
    }


def why_view(conn: Connection, model: str) -> dict[str, Any]:
    """Why a model did (not) retrain, promote, roll back: its rules, its cycles, its rollouts, its events.

    Raises:
        NotFound: when it is neither declared nor registered.
    """
    block = None
    if is_declared(conn, model):
        declaration = get_declaration(conn, model)
        retrain = declaration.retrain
        block = block_of(conn, model, declaration.watch) if retrain is not None else None
    else:
        get_model(conn, model)
        retrain = None
    return {
        "model": model,
        "rules": [str(rule) for rule in retrain.conditions] if retrain else [],
        "blocked": block.text if block is not None else "",
        "cycles": [cycle_view(conn, cycle) for cycle in list_cycles(conn, model)],
        "rollouts": [rollout_view(rollout) for rollout in reversed(list_rollouts(conn, endpoint=model, limit=100))],
        "events": [
            {
                "at": to_iso(event.at),
                "kind": event.kind,
                "actor": event.actor,
                "reason": event.reason,
                "data": event.data,
            }
            for event in list_events(conn, subject=model, limit=10_000)
        ],
    }
