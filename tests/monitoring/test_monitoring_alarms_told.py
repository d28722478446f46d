"""Who is told what of an alarm, and when: from how alarms stand and what was told before."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from homeostat.ground.clock import DAY, HOUR, MINUTE
from homeostat.ground.errors import Conflict, Invalid, NotFound, Refused
from homeostat.loop import notifying
from homeostat.loop.notifying import note_news
from homeostat.monitoring.alarms import (
    acknowledge_alarm,
    close_alarm,
    list_alarms,
    mute_alarm,
    open_alarm,
    unmute_alarm,
)
from homeostat.monitoring.notify.channels import create_channel, get_channel, list_channels, remove_channel, url_of
from homeostat.monitoring.notify.decide import due_news, told_of
from homeostat.monitoring.notify.texts import numbers
from homeostat.monitoring.notify.urls import masked
from homeostat.monitoring.notify.wants import Wants, checked
from homeostat.store.database import Database
from homeostat.store.events import list_events
from homeostat.store.outbox import outbox

HOOK = "https://hooks.example.com/services/T0/B0/secret"


def channel(database: Database, name: str = "ops", url: str = "slack://a/b/c", **wants: object) -> str:
    with database.write() as conn:
        return create_channel(conn, name, url, wants=Wants(**wants), at=0, actor="me").id  # type: ignore[arg-type]


def find(database: Database, at: int, *, subject: str = "x", severity: str = "warn", model: str = "late") -> str:
    with database.write() as conn:
        return open_alarm(conn, model, "data_drift", subject, evidence={"js": 0.3}, at=at, severity=severity).id


def heal(database: Database, at: int, subject: str = "x", model: str = "late") -> None:
    with database.write() as conn:
        close_alarm(conn, model, "data_drift", subject, evidence={"js": 0.01}, at=at)


def say(database: Database, verb: Callable[..., object], alarm: str, at: int, **more: object) -> None:
    with database.write() as conn:
        verb(conn, alarm, at=at, actor="ana", **more)


def titles(database: Database, name: str = "ops") -> list[str]:
    with database.read() as conn:
        topic = f"notify:{get_channel(conn, name).id}"
        rows = conn.execute(outbox.select().where(outbox.c.topic == topic).order_by(outbox.c.id)).all()
    return [row.payload["title"] for row in rows]


def test_every_change_is_told_once_however_often_somebody_looks(database: Database) -> None:
    channel(database)
    alarm = find(database, 1)
    for now in (1, 2, 3):
        note_news(database, now)
    say(database, acknowledge_alarm, alarm, 4, comment="on it")
    for now in (4, 5):
        note_news(database, now)
    find(database, 6, severity="page")
    note_news(database, 6)
    heal(database, HOUR)
    note_news(database, HOUR)
    find(database, 2 * HOUR, severity="page")
    for now in (2 * HOUR, 3 * HOUR):
        assert note_news(database, now) == (now == 2 * HOUR)
    assert titles(database) == [
        "[warn] late: data_drift x opened",
        "[warn] late: data_drift x acknowledged by ana",
        "[page] late: data_drift x is more severe now",
        "[ok] late: data_drift x closed",
        "[page] late: data_drift x opened again",
    ]
    with database.read() as conn:
        assert [one.reopened for one in told_of(conn, alarm)] == [1]


def test_what_came_and_went_between_two_looks_is_not_told(database: Database) -> None:
    channel(database)
    find(database, 1)
    heal(database, 2)
    assert note_news(database, 3) == 0
    find(database, 4)  # the same alarm again
    heal(database, 5)
    find(database, 6)
    assert note_news(database, 7) == 1 and titles(database) == ["[warn] late: data_drift x opened"]


def test_each_channel_hears_of_what_it_wants(sqlite_database: Database) -> None:
    channel(sqlite_database, "pager", severity="page")
    channel(sqlite_database, "late", model="late*")
    channel(sqlite_database, "quality", kind="quality")
    channel(sqlite_database, "ends", changes=("closed",))
    find(sqlite_database, 1)
    find(sqlite_database, 1, model="early", severity="page")
    note_news(sqlite_database, 1)
    heal(sqlite_database, 2)
    note_news(sqlite_database, 2)
    assert titles(sqlite_database, "pager") == ["[page] early: data_drift x opened"]
    assert [title.partition(" x ")[2] for title in titles(sqlite_database, "late")] == ["opened", "closed"]
    assert titles(sqlite_database, "quality") == []
    assert titles(sqlite_database, "ends") == ["[ok] late: data_drift x closed"]


def test_the_next_is_called_only_when_nobody_has_acknowledged_in_time(sqlite_database: Database) -> None:
    channel(sqlite_database, "first")
    channel(sqlite_database, "next", after=30 * MINUTE)
    taken, left = find(sqlite_database, HOUR, subject="taken"), find(sqlite_database, HOUR, subject="left")
    note_news(sqlite_database, HOUR)
    say(sqlite_database, acknowledge_alarm, taken, HOUR + MINUTE)
    note_news(sqlite_database, HOUR + 29 * MINUTE)
    assert titles(sqlite_database, "next") == []
    note_news(sqlite_database, HOUR + 30 * MINUTE)
    assert titles(sqlite_database, "next") == ["[warn] late: data_drift left opened"]
    say(sqlite_database, acknowledge_alarm, left, 2 * HOUR)
    heal(sqlite_database, 3 * HOUR, "taken")
    note_news(sqlite_database, 3 * HOUR)
    assert titles(sqlite_database, "next")[1:] == ["[warn] late: data_drift left acknowledged by ana"]


def test_a_muted_alarm_is_told_of_when_the_mute_ends_and_it_is_still_open(database: Database) -> None:
    channel(database)
    lasting, passing = find(database, 1, subject="lasting"), find(database, 1, subject="passing")
    for alarm in (lasting, passing):
        say(database, mute_alarm, alarm, 2, until=DAY)
    heal(database, HOUR, "passing")
    assert note_news(database, HOUR) == 0
    note_news(database, DAY)
    assert titles(database) == ["[warn] late: data_drift lasting opened"]
    say(database, mute_alarm, lasting, DAY, until=3 * DAY)
    heal(database, DAY + 1, "lasting")
    assert note_news(database, DAY + 1) == 0
    say(database, unmute_alarm, lasting, DAY + 2)
    note_news(database, DAY + 2)
    assert titles(database)[1:] == ["[ok] late: data_drift lasting closed"]


def test_an_acknowledged_alarm_that_flaps_calls_nobody(sqlite_database: Database) -> None:
    channel(sqlite_database)
    alarm = find(sqlite_database, 1)
    note_news(sqlite_database, 1)
    say(sqlite_database, acknowledge_alarm, alarm, 2)
    note_news(sqlite_database, 2)
    for day in (1, 2, 3):
        heal(sqlite_database, day * DAY)
        note_news(sqlite_database, day * DAY)
        find(sqlite_database, day * DAY + HOUR)
        note_news(sqlite_database, day * DAY + HOUR)
    said = [title.partition(" x ")[2] for title in titles(sqlite_database)]
    assert said == ["opened", "acknowledged by ana", "closed"]


def test_in_hours_of_rest_only_a_page_gets_through_and_the_rest_comes_after_them(sqlite_database: Database) -> None:
    channel(sqlite_database, quiet="22:00-07:00", zone="Europe/Berlin")
    night = 22 * HOUR  # 23:00 in Berlin, in winter
    find(sqlite_database, night, subject="warn")
    find(sqlite_database, night, subject="page", severity="page")
    note_news(sqlite_database, night)
    assert titles(sqlite_database) == ["[page] late: data_drift page opened"]
    assert note_news(sqlite_database, DAY + 6 * HOUR - 1) == 0
    note_news(sqlite_database, DAY + 6 * HOUR)
    assert titles(sqlite_database)[1:] == ["[warn] late: data_drift warn opened"]


def test_many_at_once_are_one_message_and_each_is_noted(database: Database) -> None:
    channel(database, digest=3)
    for number in range(40):
        find(database, 1, subject=f"column {number}", severity="page" if number == 39 else "warn")
    assert note_news(database, 1) == 1 and note_news(database, 2) == 0
    with database.read() as conn:
        payload = conn.execute(outbox.select()).one().payload
        assert all(len(told_of(conn, alarm.id)) == 1 for alarm in list_alarms(conn))
    assert payload["title"] == "[page] 40 alarms of late: 1 page, 39 warn"
    assert payload["body"].splitlines()[0] == "[page] late: data_drift column 39 opened"
    assert payload["body"].splitlines()[-1] == "and 10 more: homeostat alarms list"
    assert len(payload["alarms"]) == 40
    for number in range(3):
        heal(database, 3, f"column {number}")
    assert note_news(database, 3) == 3


def test_a_crash_before_the_commit_leaves_it_to_the_next_look(sqlite_database: Database) -> None:
    channel(sqlite_database)
    find(sqlite_database, 1)
    with suppress(KeyboardInterrupt), sqlite_database.write() as conn:
        assert [notifying._note(conn, due, 1) for due in due_news(conn, 1)] == [1]
        raise KeyboardInterrupt
    assert titles(sqlite_database) == []
    assert note_news(sqlite_database, 2) == 1 and len(titles(sqlite_database)) == 1


def test_a_removed_channel_takes_what_it_was_still_to_hear_along(database: Database) -> None:
    channel(database)
    find(database, 1)
    note_news(database, 1)
    with database.write() as conn:
        removed = remove_channel(conn, "ops", at=2, actor="me")
        assert list_channels(conn) == [] and conn.execute(outbox.select()).all() == []
        with pytest.raises(NotFound):
            remove_channel(conn, removed.id, at=2, actor="me")
    assert note_news(database, 3) == 0


def test_no_view_no_event_and_no_text_holds_what_is_secret_in_a_url(database: Database) -> None:
    for name, url in (("hook", HOOK), ("slack", "slack://TokenA/TokenB/TokenC/#ops"), ("mail", "mailto://me:pw@h.org")):
        channel(database, name, url)
    find(database, 1)
    note_news(database, 1)
    with database.read() as conn:
        shown = repr([list_channels(conn), list_events(conn), conn.execute(outbox.select()).all()])
        assert url_of(conn, "hook") == HOOK
    for secret in ("secret", "TokenA", "TokenC", "pw@", "T0/B0"):
        assert secret not in shown
    assert masked("https://u:p@h.org:8443/x?token=1") == "https://h.org:8443/***"
    assert masked("mailto://me:pw@h.org") == "mailto://h.org/***" and masked("nonsense") == "nonsense://***"


@pytest.mark.parametrize(
    ("wants", "field"),
    [
        ({"severity": "loud"}, "severity"),
        ({"changes": ("born",)}, "changes"),
        ({"changes": ()}, "changes"),
        ({"model": ""}, "model"),
        ({"after": -1}, "after"),
        ({"quiet": "late"}, "quiet"),
        ({"quiet": "25:00-07:00"}, "quiet"),
        ({"zone": "Middle/Earth"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"digest": 0}, "digest"),
    ],
)
def test_a_wish_that_cannot_be_followed_is_refused_by_name(wants: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked(Wants(**wants))  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    "url", ["", "nonsense", "://x", "dbus://", "syslog://x", " slack://x", "slack://x\n", "s!://x"]
)
def test_a_url_that_tells_nobody_is_refused(sqlite_database: Database, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        channel(sqlite_database, url=url)
    assert caught.value.field == "url"


def test_a_plain_url_into_a_private_network_and_a_taken_name_are_refused(sqlite_database: Database) -> None:
    with pytest.raises(Refused, match="private network"):
        channel(sqlite_database, url="http://10.0.0.1/x")
    channel(sqlite_database)
    with pytest.raises(Conflict):
        channel(sqlite_database)


def test_numbers_of_any_kind_become_a_line() -> None:
    line = numbers({"a": 1.23456789, "b": [1, 2], "c": None, "d": "x" * 500})
    assert line.startswith("a=1.235, b=1..2, c=None, d=xxx") and len(line) < 200
