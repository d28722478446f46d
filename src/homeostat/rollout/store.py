"""Rollouts in the catalogue. All evidence is in the row, so a look after a crash goes on where the last one ended."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.rollout.walk import Decision, Rollout
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
    sa.Column("control", sa.JSON, nullable=False),
    # Set while a promoted rollout is still watched.
    sa.Column("watch_until", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("cycle_id"),
    sa.Index("ix_rollout_rollouts_endpoint_started_at", "endpoint", "started_at"),
)
_running = table.c.state == "running"
sa.Index("uq_rollout_rollouts_running", table.c.endpoint, unique=True, sqlite_where=_running, postgresql_where=_running)

_EVENTS = {
    "advance": "advanced",
    "promote": "promoted",
    "complete": "completed",
    "rollback": "rolled_back",
    "hold": "held",
    "abort": "aborted",
    "pause": "paused",
    "resume": "resumed",
    "approve": "approved",
    "unwatch": "unwatched",
}


def insert_rollout(conn: Connection, rollout: Rollout) -> bool:
    """Keep a new rollout; False when its endpoint has one that runs."""
    return bool(insert_new(conn, table, [_row(rollout)]))


def save_decision(conn: Connection, decision: Decision, *, at: int, actor: str = ACTOR) -> Rollout:
    """Keep what a look or a person concluded, with an event unless it was 'continue'.

    Raises:
        Conflict: when the rollout was looked at or ended meanwhile; look again.
    """
    rollout = decision.rollout
    current = (table.c.id == rollout.id, table.c.looks == rollout.looks - 1)
    if conn.execute(table.update().where(*current).values(**_row(rollout))).rowcount != 1:
        raise Conflict(f"rollout {rollout.id} moved meanwhile", field="rollout", next_step="look at it again")
    if decision.action != "continue":
        kind = f"rollout.{_EVENTS[decision.action]}"
        tell(conn, kind, rollout, at=at, actor=actor, reason=decision.reason, numbers=decision.numbers)
    return rollout


def get_rollout(conn: Connection, rollout_id: str) -> Rollout:
    """One rollout.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(table.select().where(table.c.id == rollout_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(
            f"there is no rollout {rollout_id!r:.80}", field="rollout", next_step="see: homeostat rollout list"
        )
    return _rollout(row)


def running_rollout(conn: Connection, endpoint: str) -> Rollout | None:
    """The rollout that is under way on an endpoint."""
    row = conn.execute(table.select().where(table.c.endpoint == endpoint, _running)).mappings().one_or_none()
    return None if row is None else _rollout(row)


def last_rollout(conn: Connection, endpoint: str) -> Rollout | None:
    """The newest rollout of an endpoint, be it over."""
    found = list_rollouts(conn, endpoint=endpoint, limit=1)
    return running_rollout(conn, endpoint) or (found[0] if found else None)


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


def open_rollouts(conn: Connection) -> list[tuple[str, str]]:
    """(id, state) of the rollouts that want looks: running ones, and promoted ones that are still watched."""
    wanted = sa.or_(_running, table.c.watch_until.is_not(None))
    rows = conn.execute(sa.select(table.c.id, table.c.state).where(wanted).order_by(table.c.started_at, table.c.id))
    return [(row.id, row.state) for row in rows]


def end_watches(conn: Connection, endpoint: str) -> None:
    """Let go of what earlier promotions are watched against: the endpoint has something else to do."""
    watched = (table.c.endpoint == endpoint, table.c.watch_until.is_not(None))
    conn.execute(table.update().where(*watched).values(watch_until=None, looks=table.c.looks + 1))


def tell(
    conn: Connection, kind: str, rollout: Rollout, *, at: int, actor: str, reason: str, numbers: dict[str, Any]
) -> None:
    """Append an event about a rollout."""
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
    return row | {name: msgspec.to_builtins(row[name]) for name in ("plan", "evidence", "control")}


def _rollout(row: Any) -> Rollout:
    # The keys of a row are a subclass of str, which msgspec refuses.
    return msgspec.convert({name: row[name] for name in Rollout.__struct_fields__}, Rollout)
