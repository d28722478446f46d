"""What the event log keeps to: in order, in the transaction of the change, nothing missed by whoever tails it."""

import time
from collections.abc import Callable, Iterator
from threading import Event as Flag

from homeostat.store.database import Database
from homeostat.store.events import Event, append_event, list_events
from homeostat.testing.threads import PATIENCE, all_at_once, in_thread

Check = Callable[[Database], None]


def check_events() -> Iterator[tuple[str, Check]]:
    """Checks that take an open, migrated catalogue without events."""
    yield "an event comes back as it was appended", _comes_back
    yield "events are listed in the order they were appended", _in_order
    yield "an event is not there before its transaction ends", _appears_with_transaction
    yield "an event of a rolled back transaction never was", _gone_with_transaction
    yield ("events can be narrowed by subject and kind and read on from a number", _narrowed)
    yield ("whoever tails the log misses no event of concurrent writers", _tail_misses_nothing)


def _append(database: Database, subject: str, *, kind: str = "thing.happened", pause: float = 0.0) -> str:
    with database.write() as conn:
        event_id = append_event(conn, kind, subject=subject, at=1, actor="check")
        time.sleep(pause)  # a number given out early and committed late is what a tail could miss
    return event_id


def _all(database: Database, *, after: int = 0) -> list[Event]:
    with database.read() as conn:
        return list_events(conn, after=after)


def _comes_back(database: Database) -> None:
    data = {"loss": 0.25, "parts": ["a", "b"], "nothing": None}
    with database.write() as conn:
        event_id = append_event(
            conn, "version.registered", subject="late-arrival", at=1363075200000000, actor="ci", reason="why", data=data
        )
    [event] = _all(database)
    assert (event.id, event.kind, event.subject) == (event_id, "version.registered", "late-arrival")
    assert (event.at, event.actor, event.reason, event.data) == (1363075200000000, "ci", "why", data)
    assert event.recorded > event.at


def _in_order(database: Database) -> None:
    ids = [_append(database, "a") for _ in range(20)]
    found = _all(database)
    assert [event.id for event in found] == ids
    numbers = [event.seq for event in found]
    assert numbers == sorted(set(numbers))


def _appears_with_transaction(database: Database) -> None:
    with database.write() as conn:
        append_event(conn, "thing.happened", subject="a", at=1, actor="check")
        with in_thread(lambda: _all(database)) as seen:
            assert seen.result(PATIENCE) == []
    assert len(_all(database)) == 1


class _OnPurposeError(Exception):
    pass


def _gone_with_transaction(database: Database) -> None:
    try:
        with database.write() as conn:
            append_event(conn, "thing.happened", subject="a", at=1, actor="check")
            raise _OnPurposeError
    except _OnPurposeError:
        pass
    assert _all(database) == []


def _narrowed(database: Database) -> None:
    for subject in ("a", "b", "a"):
        _append(database, subject)
    _append(database, "a", kind="other.thing")
    with database.read() as conn:
        everything = list_events(conn)
        assert [event.subject for event in list_events(conn, subject="a")] == ["a", "a", "a"]
        assert len(list_events(conn, subject="a", kinds=("thing.happened",))) == 2
        assert len(list_events(conn, kinds=("thing.happened", "other.thing"))) == 4
        assert list_events(conn, after=everything[1].seq) == everything[2:]
        assert list_events(conn, limit=1) == everything[:1]
        assert list_events(conn, subject="nobody") == []


def _tail_misses_nothing(database: Database) -> None:
    done = Flag()

    def tail() -> list[str]:
        seen: list[Event] = []
        while True:
            last_look = done.is_set()
            seen += _all(database, after=seen[-1].seq if seen else 0)
            if last_look:
                return [event.id for event in seen]

    def write(number: int) -> list[str]:
        return [_append(database, f"writer-{number}", pause=0.002 * number) for _ in range(15)]

    with in_thread(tail) as tailing:
        try:
            written = all_at_once(write, threads=4)
        finally:
            done.set()
        seen = tailing.result(PATIENCE)
    assert sorted(seen) == sorted(event_id for ids in written for event_id in ids)
