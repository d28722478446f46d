"""What the newest check of each model said, kept for whoever looks between two checks: pages, Prometheus."""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy.engine import Connection

from homeostat.monitoring.store import findings as table
from homeostat.monitoring.types import Finding
from homeostat.store.dialect import upsert


class NotedFinding(Finding, frozen=True, kw_only=True):
    """A finding with whose it is, and when it was found (event time)."""

    model: str
    version: int
    at: int


def note_findings(
    conn: Connection,
    model: str,
    version: int,
    found: Sequence[Finding],
    *,
    at: int,
    keep: Collection[str] = (),
    kinds: Collection[str] | None = None,
) -> None:
    """Keep what a check said instead of what the one before it said; of all kinds, or `kinds`, but not of `keep`."""
    old = table.delete().where(table.c.model == model, table.c.kind.not_in(list(keep)))
    conn.execute(old if kinds is None else old.where(table.c.kind.in_(list(kinds))))
    rows = {
        (one.kind, one.subject): msgspec.to_builtins(one) | {"model": model, "version": version, "at": at}
        for one in found
    }
    upsert(conn, table, list(rows.values()), key=("model", "kind", "subject"), update=("status", "evidence"))


def noted_findings(conn: Connection, model: str | None = None) -> list[NotedFinding]:
    """The findings of the newest check, of one model or of all."""
    query = table.select().order_by(table.c.model, table.c.kind, table.c.subject)
    query = query if model is None else query.where(table.c.model == model)
    return [NotedFinding(**row) for row in conn.execute(query).mappings()]
