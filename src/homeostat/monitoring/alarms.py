"""Alarms: a watch rule crossed, with its numbers; at most one is open for a model, a rule and its subject."""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.ids import new_id
from homeostat.monitoring.store import alarms as table
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event

ACTOR = "monitor"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Times are microseconds of event time; `closed_at` is None while it is open."""

    id: str
    model: str
    kind: str
    subject: str
    opened_at: int
    closed_at: int | None
    evidence: dict[str, Any]


def open_alarm(conn: Connection, model: str, kind: str, subject: str, *, evidence: Mapping[str, Any], at: int) -> Alarm:
    """Open it, with an `alarm.opened` event; one that is open already stays as it was."""
    row: dict[str, Any] = {
        "id": new_id(),
        "model": model,
        "kind": kind,
        "subject": subject,
        "opened_at": at,
        "closed_at": None,
        "evidence": dict(evidence),
    }
    if insert_new(conn, table, [row]):
        _tell(conn, "alarm.opened", Alarm(**row), at=at, evidence=evidence)
    current = conn.execute(table.select().where(*_open(model, kind, subject))).mappings().one()
    return Alarm(**current)


def close_alarm(
    conn: Connection, model: str, kind: str, subject: str, *, evidence: Mapping[str, Any], at: int
) -> Alarm | None:
    """Close it, with an `alarm.closed` event that holds the numbers of now; None when none was open."""
    row = conn.execute(table.select().where(*_open(model, kind, subject))).mappings().one_or_none()
    if row is None:
        return None
    conn.execute(table.update().where(table.c.id == row["id"]).values(closed_at=at))
    closed = Alarm(**{**row, "closed_at": at})
    _tell(conn, "alarm.closed", closed, at=at, evidence=evidence)
    return closed


def list_alarms(conn: Connection, model: str | None = None, *, is_open: bool | None = None) -> list[Alarm]:
    """Alarms, oldest first."""
    query = table.select().order_by(table.c.opened_at, table.c.id)
    if model is not None:
        query = query.where(table.c.model == model)
    if is_open is not None:
        query = query.where(table.c.closed_at.is_(None) if is_open else table.c.closed_at.is_not(None))
    return [Alarm(**row) for row in conn.execute(query).mappings()]


def _open(model: str, kind: str, subject: str) -> list[sa.ColumnElement[bool]]:
    return [table.c.model == model, table.c.kind == kind, table.c.subject == subject, table.c.closed_at.is_(None)]


def _tell(conn: Connection, event: str, alarm: Alarm, *, at: int, evidence: Mapping[str, Any]) -> None:
    about = f"{alarm.kind} {alarm.subject}".strip()
    data = {"alarm": alarm.id, "kind": alarm.kind, "subject": alarm.subject, "evidence": dict(evidence)}
    append_event(conn, event, subject=alarm.model, at=at, actor=ACTOR, reason=about, data=data)
