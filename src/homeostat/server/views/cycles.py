"""Cycles and the answer to `why`: each with its cause, evidence and outcome."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.loop.declaration import get_declaration
from homeostat.loop.durable import Cycle, list_cycles, steps_done
from homeostat.rollout.store import rollout_of_cycle
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


def rollout_view(rollout: Any) -> dict[str, Any]:
    """Where a rollout stands, with its numbers."""
    return {
        "id": rollout.id,
        "candidate": rollout.candidate,
        "stable": rollout.stable,
        "state": rollout.state,
        "stage": rollout.stage,
        "reason": rollout.reason,
        "evidence": msgspec.to_builtins(rollout.evidence),
    }


def why_view(conn: Connection, model: str) -> dict[str, Any]:
    """Why a model did (not) retrain, promote, roll back: its rules, its cycles, its events."""
    declaration = get_declaration(conn, model)
    return {
        "model": model,
        "rules": [str(rule) for rule in declaration.retrain.conditions] if declaration.retrain else [],
        "cycles": [cycle_view(conn, cycle) for cycle in list_cycles(conn, model)],
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
