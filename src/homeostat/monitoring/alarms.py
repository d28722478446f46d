"""Alarms: a watch rule crossed, with its numbers; at most one is open for a model, a rule and its subject.

It opens, is seen again, is acknowledged or muted by people, closes, and within `FLAP_WINDOW` opens again as the same
alarm. Each change is an event with who and why; being seen again is a count and no event. Times are microseconds of
event time.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, to_iso
from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.monitoring.store import alarms as table
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event

ACTOR = "monitor"
SEVERITIES = ("info", "warn", "page")
"""From what is nice to know to what gets somebody out of bed."""
FLAP_WINDOW = 3 * DAY
"""An alarm that comes back sooner after it closed is the same one: rules are checked once a day, and a value that
stands at its limit crosses it every other day."""
FEED = "feed"
"""Kind of alarms that no watch rule opens or closes: what a model is watched by does not come in."""
MOST_TEXT = 2_000


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """`closed_at` is None while it is open; `evidence` is of its first check, `latest` of its newest."""

    id: str
    model: str
    kind: str
    subject: str
    opened_at: int
    closed_at: int | None
    evidence: dict[str, Any]
    latest: dict[str, Any] | None = None
    severity: str = "warn"
    """One of `SEVERITIES`; it rises while the alarm is open, and never falls."""
    count: int = 1
    """Checks that found it."""
    last_seen: int = 0
    """The newest of them."""
    since: int = 0
    """When it opened last; later than `opened_at` for one that was re-opened."""
    reopened: int = 0
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    comment: str = ""
    muted_until: int | None = None
    closed_by: str = ""

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    def is_muted(self, now: int) -> bool:
        """Whether nobody is to be told of it at that moment."""
        return self.muted_until is not None and now < self.muted_until

    def state(self, now: int) -> str:
        """'closed', 'muted', 'acknowledged' or 'open'."""
        if not self.is_open:
            return "closed"
        if self.is_muted(now):
            return "muted"
        return "open" if self.acknowledged_at is None else "acknowledged"


def rank(severity: str) -> int:
    """How bad: 0 for the least.

    >>> rank("page") > rank("warn")
    True

    Raises:
        Invalid: when there is no such severity.
    """
    if severity in SEVERITIES:
        return SEVERITIES.index(severity)
    raise Invalid(f"{severity!r:.40} is no severity", field="severity", next_step=f"use one of {', '.join(SEVERITIES)}")


# What checks do ------------------------------------------------------------------------------------------------------


def open_alarm(
    conn: Connection,
    model: str,
    kind: str,
    subject: str,
    *,
    evidence: Mapping[str, Any],
    at: int,
    severity: str = "warn",
    flap_window: int = FLAP_WINDOW,
) -> Alarm:
    """Open it, with an `alarm.opened` event; one that is open already is seen again: count, time and newest evidence.

    One that closed no longer than `flap_window` ago is re-opened instead (`alarm.reopened`) and stays acknowledged; a
    mute that still lasts goes over to a new one. When it has become more severe it has to be acknowledged anew
    (`alarm.raised`).
    """
    rank(severity)
    last = _newest(conn, model, kind, subject)
    if last is not None and last.is_open:
        return _see_again(conn, last, evidence=evidence, at=at, severity=severity)
    if last is not None and last.closed_at is not None and at - last.closed_at <= flap_window:
        return _reopen(conn, last, evidence=evidence, at=at, severity=severity)
    opened = Alarm(
        id=new_id(),
        model=model,
        kind=kind,
        subject=subject,
        opened_at=at,
        closed_at=None,
        evidence=dict(evidence),
        severity=severity,
        last_seen=at,
        since=at,
        muted_until=last.muted_until if last is not None and last.is_muted(at) else None,
    )
    insert_new(conn, table, [msgspec.structs.asdict(opened)])
    _tell(conn, "alarm.opened", opened, at=at, evidence=evidence)
    return opened


def close_alarm(
    conn: Connection, model: str, kind: str, subject: str, *, evidence: Mapping[str, Any], at: int
) -> Alarm | None:
    """Close it, with an `alarm.closed` event that holds the numbers of now; None when none was open."""
    found = _newest(conn, model, kind, subject)
    if found is None or not found.is_open:
        return None
    closed = _change(conn, found, closed_at=at, closed_by=ACTOR, latest=dict(evidence))
    _tell(conn, "alarm.closed", closed, at=at, evidence=evidence)
    return closed


def _see_again(conn: Connection, alarm: Alarm, *, evidence: Mapping[str, Any], at: int, severity: str) -> Alarm:
    if at > alarm.last_seen:
        alarm = _change(conn, alarm, count=alarm.count + 1, last_seen=at, latest=dict(evidence))
    return _raise(conn, alarm, evidence=evidence, at=at, severity=severity)


def _reopen(conn: Connection, alarm: Alarm, *, evidence: Mapping[str, Any], at: int, severity: str) -> Alarm:
    alarm = _change(
        conn,
        alarm,
        closed_at=None,
        closed_by="",
        count=alarm.count + 1,
        last_seen=at,
        since=at,
        latest=dict(evidence),
        reopened=alarm.reopened + 1,
    )
    _tell(conn, "alarm.reopened", alarm, at=at, evidence=evidence)
    return _raise(conn, alarm, evidence=evidence, at=at, severity=severity)


def _raise(conn: Connection, alarm: Alarm, *, evidence: Mapping[str, Any], at: int, severity: str) -> Alarm:
    if rank(severity) <= rank(alarm.severity):
        return alarm
    raised = _change(conn, alarm, severity=severity, acknowledged_by=None, acknowledged_at=None)
    _tell(conn, "alarm.raised", raised, at=at, evidence=evidence)
    return raised


# What people do ------------------------------------------------------------------------------------------------------


def acknowledge_alarm(conn: Connection, alarm_id: str, *, at: int, actor: str, comment: str = "") -> Alarm:
    """Somebody is on it: nobody else is called. The newest acknowledgement counts.

    Raises:
        NotFound: when there is no such alarm.
        Conflict: when it is closed.
    """
    alarm = _open_one(conn, alarm_id, "acknowledge")
    said = _checked(comment, "comment")
    if (alarm.acknowledged_by, alarm.comment) == (actor, said):
        return alarm
    alarm = _change(conn, alarm, acknowledged_by=actor, acknowledged_at=at, comment=said)
    _tell(conn, "alarm.acknowledged", alarm, at=at, actor=actor, reason=said)
    return alarm


def mute_alarm(conn: Connection, alarm_id: str, *, until: int, at: int, actor: str, reason: str = "") -> Alarm:
    """Tell nobody of it until a moment, also when it closes and opens anew meanwhile.

    Raises:
        NotFound: when there is no such alarm.
        Invalid: when the moment is past.
    """
    alarm = get_alarm(conn, alarm_id)
    if until <= at:
        raise Invalid(
            f"{to_iso(until)} is past: it is {to_iso(at)}", field="until", next_step="give a later time, or a duration"
        )
    said = _checked(reason, "reason")
    if alarm.muted_until == until:
        return alarm
    alarm = _change(conn, alarm, muted_until=until)
    _tell(conn, "alarm.muted", alarm, at=at, actor=actor, reason=said, until=to_iso(until))
    return alarm


def unmute_alarm(conn: Connection, alarm_id: str, *, at: int, actor: str, reason: str = "") -> Alarm:
    """End a mute; whoever was not told is told now, if it is still open."""
    alarm = get_alarm(conn, alarm_id)
    said = _checked(reason, "reason")
    if not alarm.is_muted(at):
        return alarm
    alarm = _change(conn, alarm, muted_until=None)
    _tell(conn, "alarm.unmuted", alarm, at=at, actor=actor, reason=said)
    return alarm


def close_by_hand(conn: Connection, alarm_id: str, *, at: int, actor: str, reason: str = "") -> Alarm:
    """Close it; the next check opens it again when what it says is still so.

    Raises:
        NotFound: when there is no such alarm.
        Conflict: when it is closed already.
    """
    alarm = _open_one(conn, alarm_id, "close")
    said = _checked(reason, "reason")
    alarm = _change(conn, alarm, closed_at=max(at, alarm.since), closed_by=actor)
    _tell(conn, "alarm.closed", alarm, at=at, actor=actor, reason=said)
    return alarm


# Looking -------------------------------------------------------------------------------------------------------------


def get_alarm(conn: Connection, alarm_id: str) -> Alarm:
    """One alarm, by its id or the beginning of it.

    Raises:
        NotFound: when there is none.
        Invalid: when several begin like this.
    """
    rows = conn.execute(table.select().where(table.c.id.startswith(alarm_id, autoescape=True)).limit(2)).mappings()
    found = [Alarm(**row) for row in rows] if alarm_id else []
    exact = [alarm for alarm in found if alarm.id == alarm_id] or found
    if not exact:
        raise NotFound(f"there is no alarm {alarm_id!r:.80}", field="alarm", next_step="see: homeostat alarms list")
    if len(exact) > 1:
        raise Invalid(f"several alarms begin with {alarm_id!r:.40}", field="alarm", next_step="give the whole id")
    return exact[0]


def list_alarms(conn: Connection, model: str | None = None, *, is_open: bool | None = None) -> list[Alarm]:
    """Alarms, oldest first."""
    query = table.select().order_by(table.c.opened_at, table.c.id)
    if model is not None:
        query = query.where(table.c.model == model)
    if is_open is not None:
        query = query.where(table.c.closed_at.is_(None) if is_open else table.c.closed_at.is_not(None))
    return [Alarm(**row) for row in conn.execute(query).mappings()]


def newest_alarms(
    conn: Connection, *, model: str | None = None, is_open: bool | None = None, limit: int = 100
) -> list[Alarm]:
    """The alarms that opened last, newest first."""
    query = table.select().order_by(table.c.since.desc(), table.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(table.c.model == model)
    if is_open is not None:
        query = query.where(table.c.closed_at.is_(None) if is_open else table.c.closed_at.is_not(None))
    return [Alarm(**row) for row in conn.execute(query).mappings()]


def _newest(conn: Connection, model: str, kind: str, subject: str) -> Alarm | None:
    """The open alarm of a rule and subject, or the one that closed last."""
    query = (
        table.select()
        .where(table.c.model == model, table.c.kind == kind, table.c.subject == subject)
        .order_by(sa.case((table.c.closed_at.is_(None), 0), else_=1), table.c.closed_at.desc(), table.c.id.desc())
        .limit(1)
    )
    row = conn.execute(query).mappings().first()
    return None if row is None else Alarm(**row)


def _open_one(conn: Connection, alarm_id: str, verb: str) -> Alarm:
    alarm = get_alarm(conn, alarm_id)
    if not alarm.is_open:
        raise Conflict(
            f"alarm {alarm.id[:12]} of {alarm.model!r} is closed, there is nothing to {verb}",
            field="alarm",
            next_step=f"see: homeostat alarms list --model {alarm.model}",
        )
    return alarm


def _change(conn: Connection, alarm: Alarm, **values: Any) -> Alarm:
    conn.execute(table.update().where(table.c.id == alarm.id).values(**values))
    return msgspec.structs.replace(alarm, **values)


def _checked(text: str, field: str) -> str:
    if len(text) <= MOST_TEXT and "\0" not in text:
        return text
    raise Invalid(f"the {field} cannot be kept", field=field, next_step=f"use up to {MOST_TEXT} characters, no NUL")


def _tell(
    conn: Connection,
    event: str,
    alarm: Alarm,
    *,
    at: int,
    actor: str = ACTOR,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    about = f"{alarm.kind} {alarm.subject}".strip()
    data = {"alarm": alarm.id, "kind": alarm.kind, "subject": alarm.subject, "severity": alarm.severity} | more
    if evidence is not None:
        data["evidence"] = dict(evidence)
    said = f"{about}: {reason}" if reason else about
    append_event(conn, event, subject=alarm.model, at=at, actor=actor, reason=said, data=data)
