"""Ending a rollout because something else has to happen to its endpoint."""

from sqlalchemy.engine import Connection

from homeostat.rollout.control import abort
from homeostat.rollout.store import end_watches, running_rollout, save_decision
from homeostat.rollout.walk import Rollout


def stop_rollout(conn: Connection, endpoint: str, *, at: int, actor: str, reason: str) -> Rollout | None:
    """End whatever rollout the endpoint has, and let go of what its last one is watched against.

    The caller sees to alias and routing. Returns the rollout that was ended.
    """
    end_watches(conn, endpoint)
    rollout = running_rollout(conn, endpoint)
    if rollout is None:
        return None
    return save_decision(conn, abort(rollout, now=at, actor=actor, reason=reason), at=at, actor=actor)
