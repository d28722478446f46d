"""What is to be told to whom: from the alarms as they stand and what each channel was told last.

It looks at states, not at events: whatever happened between two looks is one message, a look that is cut off is done
again, and a look without news says nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from homeostat.monitoring.alarms import Alarm, list_alarms, rank
from homeostat.monitoring.notify.channels import Channel, list_channels
from homeostat.monitoring.notify.wants import Wants
from homeostat.monitoring.store import alarms, notices
from homeostat.store.dialect import upsert


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel was told last of an alarm."""

    channel: str
    alarm: str
    severity: str
    reopened: int
    acknowledged_at: int | None
    closed_at: int | None
    at: int
    message: str


class News(NamedTuple):
    """An alarm, and what has changed about it since the channel was told."""

    alarm: Alarm
    changes: tuple[str, ...]


class ForChannel(NamedTuple):
    """What one channel is to be told now, and what it does not want to hear and is noted as if it had."""

    channel: Channel
    news: list[News]
    unwanted: list[News]


def due_news(conn: Connection, now: int) -> list[ForChannel]:
    """What each channel is to be told now; channels without news are left out."""
    found = list_channels(conn)
    if not found:
        return []
    open_ones = list_alarms(conn, is_open=True)
    told = {(one.channel, one.alarm): one for one in _told(conn, [alarm.id for alarm in open_ones])}
    looked_at = _with_closed(conn, open_ones, {one.alarm for one in told.values()})
    due = [_for_channel(channel, looked_at, told, now) for channel in found]
    return [one for one in due if one.news or one.unwanted]


def note_told(conn: Connection, channel: Channel, news: Iterable[News], *, message: str, now: int) -> None:
    """Remember what a channel is being told, in the transaction that puts the message into the outbox."""
    rows = [
        {
            "channel": channel.id,
            "alarm": alarm.id,
            "severity": alarm.severity,
            "reopened": alarm.reopened,
            "acknowledged_at": alarm.acknowledged_at,
            "closed_at": alarm.closed_at,
            "at": now,
            "message": message,
        }
        for alarm, _changes in news
    ]
    update = ("severity", "reopened", "acknowledged_at", "closed_at", "at", "message")
    upsert(conn, notices, rows, key=("channel", "alarm"), update=update)


def told_of(conn: Connection, alarm_id: str) -> list[Told]:
    """What every channel was told last of one alarm."""
    query = notices.select().where(notices.c.alarm == alarm_id).order_by(notices.c.at)
    return [Told(**row) for row in conn.execute(query).mappings()]


def changes_of(alarm: Alarm, told: Told | None, wants: Wants, now: int) -> tuple[str, ...]:
    """What a channel is to be told of an alarm now; nothing while it has to wait.

    Of an alarm that it was never told of it hears only while that is open. `after` and acknowledgements hold back
    what calls people, never the all-clear.
    """
    if told is None:
        return ("opened",) if alarm.is_open and not _is_held(alarm, wants, now) else ()
    is_quiet = alarm.is_muted(now) or wants.rests(alarm.severity, now)
    if not alarm.is_open:
        return ("closed",) if told.closed_at is None and not is_quiet else ()
    changes: list[str] = []
    is_raised = rank(alarm.severity) > rank(told.severity)
    if (is_raised or alarm.reopened > told.reopened) and not _is_held(alarm, wants, now):
        changes += ["reopened"] * (alarm.reopened > told.reopened) + ["raised"] * is_raised
    if _is_newly_acknowledged(alarm, told) and not is_quiet:
        changes.append("acknowledged")
    return tuple(changes)


def _is_held(alarm: Alarm, wants: Wants, now: int) -> bool:
    return (
        alarm.acknowledged_at is not None
        or alarm.is_muted(now)
        or now < alarm.since + wants.after
        or wants.rests(alarm.severity, now)
    )


def _is_newly_acknowledged(alarm: Alarm, told: Told) -> bool:
    # Closed since and open again: nobody was told that it came back, so there is nothing to take back.
    if told.closed_at is not None and alarm.reopened > told.reopened:
        return False
    return alarm.acknowledged_at is not None and alarm.acknowledged_at != told.acknowledged_at


def _for_channel(
    channel: Channel, looked_at: Sequence[Alarm], told: Mapping[tuple[str, str], Told], now: int
) -> ForChannel:
    due = ForChannel(channel, [], [])
    for alarm in looked_at:
        if channel.wants.concerns(alarm):
            changes = changes_of(alarm, told.get((channel.id, alarm.id)), channel.wants, now)
            wanted = tuple(change for change in changes if change in channel.wants.changes)
            if changes:
                (due.news if wanted else due.unwanted).append(News(alarm, wanted))
    return due


def _told(conn: Connection, open_ones: Sequence[str]) -> list[Told]:
    """Of alarms that are open, or of whose end somebody was not told."""
    conditions = [notices.c.closed_at.is_(None)]
    conditions += [notices.c.alarm.in_(open_ones[start : start + 500]) for start in range(0, len(open_ones), 500)]
    return [Told(**row) for one in conditions for row in conn.execute(notices.select().where(one)).mappings()]


def _with_closed(conn: Connection, open_ones: Sequence[Alarm], told: Iterable[str]) -> list[Alarm]:
    """The open ones, and the closed ones that somebody was told of: the worst first."""
    found = list(open_ones)
    left = sorted(set(told) - {alarm.id for alarm in found})
    for start in range(0, len(left), 500):
        some = alarms.select().where(alarms.c.id.in_(left[start : start + 500]))
        found += [Alarm(**row) for row in conn.execute(some).mappings()]
    return sorted(found, key=lambda one: (-rank(one.severity), one.since, one.id))
