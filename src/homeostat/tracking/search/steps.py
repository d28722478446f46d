"""The value of a metric at one step, for all runs of some projects: the one question that opens points."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.tracking import store
from homeostat.tracking.points import unpack


def runs_at_step(conn: Connection, key: str, step: int, *, projects: Sequence[int]) -> dict[int, float]:
    """Run number to the newest value that was logged at exactly this step."""
    table, summary = store.points, store.series
    query = (
        sa.select(table.c.run, table.c.data)
        .select_from(summary.join(table, sa.and_(table.c.run == summary.c.run, table.c.key == summary.c.key)))
        .where(summary.c.project.in_(projects), summary.c.key == key)
        .where(table.c.first_step <= step, table.c.last_step >= step)
        .order_by(table.c.seq)
    )
    found: dict[int, tuple[int, float]] = {}
    for run, data in conn.execute(query):
        points = unpack(data)
        places = np.flatnonzero(points.steps == step)
        if len(places):
            newest = (int(points.at[places[-1]]), float(points.values[places[-1]]))
            found[run] = max(found.get(run, newest), newest, key=lambda item: item[0])
    return {run: value for run, (_, value) in found.items()}
