"""The life of an alarm: opened once, seen again, acknowledged, muted, closed, and back within the flap window."""

from typing import Any

import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.monitoring.alarms import (
    FLAP_WINDOW,
    Alarm,
    acknowledge_alarm,
    close_alarm,
    close_by_hand,
    get_alarm,
    list_alarms,
    mute_alarm,
    newest_alarms,
    open_alarm,
    unmute_alarm,
)
from homeostat.store.database import Database
from homeostat.store.events import Event, list_events


def find(database: Database, at: int, *, severity: str = "warn", model: str = "m", **evidence: Any) -> Alarm:
    """A check that finds something."""
    with database.write() as conn:
        return open_alarm(conn, model, "errors", "rate", evidence=evidence, at=at, severity=severity)


def heal(database: Database, at: int, **evidence: Any) -> Alarm | None:
    with database.write() as conn:
        return close_alarm(conn, "m", "errors", "rate", evidence=evidence, at=at)


def told(database: Database) -> list[Event]:
    with database.read() as conn:
        return [event for event in list_events(conn) if event.kind.startswith("alarm.")]


def test_a_second_check_counts_and_keeps_the_first_numbers_beside_the_newest(database: Database) -> None:
    first = find(database, 1, rate=0.5)
    again = find(database, 2, rate=0.9)
    find(database, 2, rate=0.9)  # the same look once more, after a crash
    with database.read() as conn:
        assert list_alarms(conn) == [again]
    assert (again.id, again.count, again.last_seen, again.since) == (first.id, 2, 2, 1)
    assert (again.evidence, again.latest) == ({"rate": 0.5}, {"rate": 0.9})
    assert [event.kind for event in told(database)] == ["alarm.opened"]


def test_one_that_comes_back_soon_is_the_same_alarm_and_a_late_one_is_new(database: Database) -> None:
    first = find(database, 1)
    closed = heal(database, DAY, rate=0.0)
    assert closed is not None and (closed.closed_at, closed.closed_by) == (DAY, "monitor")
    assert heal(database, DAY) is None
    back = find(database, DAY + FLAP_WINDOW, rate=0.7)
    assert (back.id, back.opened_at, back.since, back.reopened) == (first.id, 1, DAY + FLAP_WINDOW, 1)
    assert back.is_open and back.closed_by == ""
    heal(database, 10 * DAY)
    new = find(database, 10 * DAY + FLAP_WINDOW + 1)
    assert new.id != first.id
    kinds = [event.kind.removeprefix("alarm.") for event in told(database)]
    assert kinds == ["opened", "closed", "reopened", "closed", "opened"]


def test_worse_is_raised_and_has_to_be_acknowledged_anew_and_better_is_not_lowered(database: Database) -> None:
    alarm = find(database, 1)
    with database.write() as conn:
        acknowledge_alarm(conn, alarm.id, at=2, actor="ana", comment="on it")
    assert find(database, 3).acknowledged_by == "ana"
    worse = find(database, 4, severity="page", rate=1.0)
    assert (worse.severity, worse.acknowledged_by, worse.state(4)) == ("page", None, "open")
    assert find(database, 5, severity="info").severity == "page"
    assert [event.kind for event in told(database)] == ["alarm.opened", "alarm.acknowledged", "alarm.raised"]


def test_each_change_by_a_person_says_who_and_why(database: Database) -> None:
    alarm = find(database, HOUR)
    with database.write() as conn:
        acknowledge_alarm(conn, alarm.id, at=2 * HOUR, actor="ana", comment="the new feed")
        acknowledge_alarm(conn, alarm.id, at=3 * HOUR, actor="ana", comment="the new feed")  # once is enough
        mute_alarm(conn, alarm.id, until=DAY, at=3 * HOUR, actor="ben", reason="until the fix")
        unmute_alarm(conn, alarm.id, at=4 * HOUR, actor="ben", reason="fixed")
        closed = close_by_hand(conn, alarm.id, at=5 * HOUR, actor="ana", reason="the feed is back")
    assert (closed.acknowledged_at, closed.comment, closed.closed_by) == (2 * HOUR, "the new feed", "ana")
    said = [(event.kind.removeprefix("alarm."), event.actor, event.reason, event.at) for event in told(database)[1:]]
    assert said == [
        ("acknowledged", "ana", "errors rate: the new feed", 2 * HOUR),
        ("muted", "ben", "errors rate: until the fix", 3 * HOUR),
        ("unmuted", "ben", "errors rate: fixed", 4 * HOUR),
        ("closed", "ana", "errors rate: the feed is back", 5 * HOUR),
    ]
    assert {event.subject for event in told(database)} == {"m"}


def test_a_mute_goes_over_to_the_alarm_that_opens_anew_meanwhile(database: Database) -> None:
    alarm = find(database, 1)
    with database.write() as conn:
        mute_alarm(conn, alarm.id, until=30 * DAY, at=2, actor="ana")
    heal(database, DAY)
    new = find(database, 10 * DAY)
    assert new.id != alarm.id and new.state(10 * DAY) == "muted" and new.state(30 * DAY) == "open"


def test_what_cannot_be_is_said_by_name(database: Database) -> None:
    alarm = find(database, DAY)
    with database.write() as conn:
        with pytest.raises(NotFound, match="no alarm 'nothing'"):
            get_alarm(conn, "nothing")
        with pytest.raises(NotFound):
            get_alarm(conn, "%")
        assert get_alarm(conn, alarm.id[:20]) == alarm
        with pytest.raises(Invalid, match="is past"):
            mute_alarm(conn, alarm.id, until=HOUR, at=DAY, actor="ana")
        with pytest.raises(Invalid, match="cannot be kept"):
            acknowledge_alarm(conn, alarm.id, at=DAY, actor="ana", comment="x" * 3000)
        with pytest.raises(Invalid, match="no severity"):
            open_alarm(conn, "m", "errors", "other", evidence={}, at=1, severity="loud")
        close_by_hand(conn, alarm.id, at=2 * DAY, actor="ana")
        for change in (acknowledge_alarm, close_by_hand):
            with pytest.raises(Conflict, match="is closed"):
                change(conn, alarm.id, at=3 * DAY, actor="ana")  # type: ignore[operator]
    assert len(told(database)) == 2


def test_the_newest_come_first_and_a_re_opened_one_is_new_again(sqlite_database: Database) -> None:
    for number in range(5):
        find(sqlite_database, number + 1, model=f"m{number}")
    find(sqlite_database, 10)
    heal(sqlite_database, 11)
    find(sqlite_database, 12)
    with sqlite_database.read() as conn:
        assert [alarm.model for alarm in newest_alarms(conn, limit=3)] == ["m", "m4", "m3"]
        assert newest_alarms(conn, is_open=False) == []
