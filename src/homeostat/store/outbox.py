"""Outbox: messages for the outside, written with the change they tell of, delivered at least once.

A message carries its id, so a receiver that got it twice can tell. Delivery backs off and gives up after a day.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.ids import new_id
from homeostat.store.database import Database, metadata
from homeostat.store.dialect import database_seconds

GIVE_UP_AFTER = 12
"""Attempts; the waits double from 15 s, so the last is about 17 h after the first."""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due", sa.Float, nullable=False, default=0.0),
    sa.Column("state", sa.String(12), nullable=False, default="waiting"),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Index("ix_outbox_state_due", "state", "due"),
)


class Message(msgspec.Struct, frozen=True):
    """Something to tell the outside."""

    id: str
    topic: str
    payload: dict[str, Any]


class Delivery(msgspec.Struct, frozen=True):
    """Where a message stands: 'waiting', 'sent' or 'dead', and what came of the last attempt."""

    state: str
    attempts: int
    error: str


def enqueue(connection: Connection, topic: str, payload: dict[str, Any]) -> str:
    """Put a message into the outbox within the caller's transaction."""
    message_id = new_id()
    connection.execute(outbox.insert().values(id=message_id, topic=topic, payload=payload))
    return message_id


def deliver_due(
    database: Database,
    send: Callable[[Message], None],
    *,
    limit: int = 20,
    topic: str | None = None,
    lease: float = 0.0,
) -> int:
    """Hand every due message to `send`; one that raises is tried again later. Returns how many went out.

    With a `lease` (seconds that a sending takes at most) of several servers one sends a message, and the others only
    after that time.
    """
    with database.read() as connection:
        query = outbox.select().where(_due(connection)).order_by(outbox.c.id).limit(limit)
        if topic is not None:
            query = query.where(outbox.c.topic == topic)
        rows = connection.execute(query).mappings().all()
    return sum(_deliver(database, send, dict(row)) for row in rows if not lease or _claim(database, row["id"], lease))


def due_topics(connection: Connection) -> list[str]:
    """The topics that have something to send now."""
    query = sa.select(outbox.c.topic).where(_due(connection)).distinct().order_by(outbox.c.topic)
    return list(connection.execute(query).scalars())


def message_states(connection: Connection, ids: Iterable[str]) -> dict[str, Delivery]:
    """Where these messages stand, for those that are there."""
    wanted = sorted(set(ids))
    found: dict[str, Delivery] = {}
    for start in range(0, len(wanted), 500):
        query = outbox.select().where(outbox.c.id.in_(wanted[start : start + 500]))
        for row in connection.execute(query):
            found[row.id] = Delivery(row.state, row.attempts, row.error)
    return found


def count_messages(connection: Connection, prefix: str) -> dict[str, int]:
    """How many messages of topics that begin so stand where."""
    same = outbox.c.topic.startswith(prefix, autoescape=True)
    query = sa.select(outbox.c.state, sa.func.count()).where(same).group_by(outbox.c.state)
    return {str(state): int(count) for state, count in connection.execute(query)}


def drop_waiting(connection: Connection, topic: str) -> int:
    """Forget what is not sent yet of a topic that nobody hears any more."""
    waiting = sa.and_(outbox.c.topic == topic, outbox.c.state == "waiting")
    return connection.execute(outbox.delete().where(waiting)).rowcount


def _due(connection: Connection) -> sa.ColumnElement[bool]:
    return sa.and_(outbox.c.state == "waiting", outbox.c.due <= database_seconds(connection))


def _claim(database: Database, message_id: str, lease: float) -> bool:
    """Whether this process is the one that sends it now."""
    with database.write() as connection:
        mine = sa.and_(outbox.c.id == message_id, _due(connection))
        later = database_seconds(connection) + lease
        return connection.execute(outbox.update().where(mine).values(due=later)).rowcount == 1


def _deliver(database: Database, send: Callable[[Message], None], row: dict[str, Any]) -> int:
    attempts = row["attempts"] + 1
    try:
        send(Message(row["id"], row["topic"], row["payload"]))
    except Exception as error:  # noqa: BLE001  whatever the receiver did, the message stays and is tried again
        values = {"error": f"{type(error).__name__}: {error}"[:500]}
        sent = 0
    else:
        values = {"error": ""}
        sent = 1
    state = "sent" if sent else ("dead" if attempts >= GIVE_UP_AFTER else "waiting")
    with database.write() as connection:
        due = database_seconds(connection) + 15.0 * 2.0 ** (attempts - 1)
        connection.execute(
            outbox.update().where(outbox.c.id == row["id"]).values(attempts=attempts, state=state, due=due, **values)
        )
    return sent
