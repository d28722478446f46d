"""A driven clock whose time survives a restart: a replay goes on where it was cut off."""

import sqlalchemy as sa

from homeostat.ground.clock import DrivenClock
from homeostat.loop.store import clock
from homeostat.store.database import Database
from homeostat.store.dialect import upsert


def load_clock(database: Database, *, start: int) -> DrivenClock:
    """The clock at the latest saved time, or at `start`."""
    with database.read() as conn:
        saved = conn.execute(sa.select(clock.c.now).where(clock.c.id == 1)).scalar()
    return DrivenClock(max(start, saved or start))


def save_clock(database: Database, now: int) -> None:
    """Keep the time, so that a restart goes on from it."""
    with database.write() as conn:
        upsert(conn, clock, [{"id": 1, "now": now}], key=["id"], update=["now"])
