"""Events: every state change, with actor and reason, appended in the transaction that made it.

They feed the timeline, the audit, `homeostat why`, and through the outbox the webhooks. `at` is event time (the
clock that decides); `recorded` is the machine's time.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import SystemClock
from homeostat.ground.ids import new_id
from homeostat.store.database import Sequence, metadata

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("ix_events_subject_seq", "subject", "seq"),
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One state change. `subject` is the model, run or endpoint it is about; `kind` reads `version.registered`."""

    seq: int
    id: str
    at: int
    recorded: int
    kind: str
    subject: str
    actor: str
    reason: str
    data: dict[str, Any]


def append_event(
    connection: Connection,
    kind: str,
    *,
    subject: str,
    at: int,
    actor: str,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> str:
    """Append an event within the caller's transaction and return its id."""
    event_id = new_id()
    row = {
        "id": event_id,
        "at": at,
        "recorded": SystemClock().now(),
        "kind": kind,
        "subject": subject,
        "actor": actor,
        "reason": reason,
        "data": data or {},
    }
    connection.execute(events.insert().values(**row))
    return event_id


def list_events(
    connection: Connection,
    *,
    subject: str | None = None,
    kinds: tuple[str, ...] = (),
    after: int = 0,
    limit: int = 1000,
) -> list[Event]:
    """Events in the order they happened, after sequence number `after`."""
    query = events.select().where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    if subject is not None:
        query = query.where(events.c.subject == subject)
    if kinds:
        query = query.where(events.c.kind.in_(kinds))
    return [Event(**row) for row in connection.execute(query).mappings()]
