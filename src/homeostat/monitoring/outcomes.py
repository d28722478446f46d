"""What versions answered to one request, as the label join knows it."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.monitoring.store import outcomes


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A version's score of a request; None when it was no finite number."""

    model: str
    version: int
    arm: str
    at: int
    """Event time."""
    score: float | None


def outcomes_of(conn: Connection, request_id: str) -> list[Outcome]:
    """Every version's score of a request, as far as the log has been taken in."""
    c = outcomes.c
    query = sa.select(c.model, c.version, c.arm, c.at, c.score).where(c.request_id == request_id)
    return [Outcome(**row) for row in conn.execute(query.order_by(c.model, c.version)).mappings()]
