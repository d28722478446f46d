"""What a rollout of a model would meet: the rates of its recorded traffic, for a simulation before it starts."""

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Conflict
from homeostat.loop import releases
from homeostat.loop.ingest import slow_limits
from homeostat.loop.rollouts import task_of
from homeostat.monitoring import store
from homeostat.monitoring.accuracy import joined
from homeostat.monitoring.health import traffic
from homeostat.rollout.losses import row_losses
from homeostat.rollout.simulated_world import World

LOOKED_BACK = 7 * DAY
"""How far back rates are learned from."""


def recorded_world(conn: Connection, model: str, *, now: int) -> World:
    """The rates of the version in service over its last week, per minute and hour in which there was traffic.

    Raises:
        Conflict: when nothing is in service, or nothing was asked.
    """
    version = releases.champion_number(conn, model)
    if version is None:
        raise Conflict(f"{model!r:.200} has no champion", field="model", next_step="give the rates yourself")
    start = now - LOOKED_BACK
    found = [one for one in traffic(conn, model, start=start, version=version) if one.arm == "stable"]
    asked = sum(one.requests - one.rejected for one in found)
    if not asked:
        raise Conflict(
            f"{model}@{version} answered nothing in the last week", field="model", next_step="give the rates yourself"
        )
    hours = _hours(conn, model, version, start)
    answered = asked - sum(one.errors for one in found)
    labels, wrong = _labels(conn, model, version, start=start, now=now)
    known = World()
    return World(
        requests_per_minute=round(asked / (60 * hours), 3),
        error_rate=round(sum(one.errors for one in found) / asked, 6),
        slow_share=round(sum(one.slow for one in found) / max(answered, 1), 6)
        if slow_limits(conn).get(model) is not None
        else known.slow_share,
        invalid_rate=round(sum(one.invalid for one in found) / max(answered, 1), 6),
        labels_per_hour=round(labels / hours, 3),
        wrong_rate=round(wrong, 5) if labels else known.wrong_rate,
    )


def _hours(conn: Connection, model: str, version: int, start: int) -> int:
    """Event hours with traffic."""
    table = store.traffic
    query = sa.select(sa.func.count(sa.distinct(table.c.window_start))).where(
        table.c.model == model, table.c.version == version, table.c.window_start >= start - start % HOUR
    )
    return max(int(conn.execute(query).scalar_one()), 1)


def _labels(conn: Connection, model: str, version: int, *, start: int, now: int) -> tuple[int, float]:
    """How many of its answers have a label, and the share of wrong ones (of regressions there is none)."""
    rows = joined(conn, model, version=version, start=start, end=now, now=now)
    task = task_of(conn, model, version)
    if not len(rows.y):
        return 0, 0.0
    if task == "regression":
        return len(rows.y), World().wrong_rate
    return len(rows.y), min(float(np.mean(row_losses("wrong", rows.y, rows.score, task=task))), 0.99)
