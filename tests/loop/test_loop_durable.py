"""Durable cycles: a lease, a fence, and each step's result in one commit with its domain rows."""

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from homeostat.loop.durable import Attempt, Cycle, End, LeaseLost, Wait, Worker, get_cycle, list_cycles, submit
from homeostat.loop.store import cycles
from homeostat.store.database import Database
from homeostat.store.events import append_event, list_events

STEPS = ("one", "two", "three")


def write_event(attempt: Attempt, name: str) -> None:
    with attempt.commit() as conn:
        append_event(conn, name, subject=attempt.cycle.model, at=0, actor="test")
        attempt.record(conn, name, {"did": name})


def make_worker(database: Database, handlers: dict[str, Any] | None = None, *, lease: float = 30.0) -> Worker:
    def handler(name: str) -> Any:
        return lambda attempt: write_event(attempt, name)

    plain: dict[str, Any] = {name: handler(name) for name in STEPS}
    plain["end"] = lambda _attempt: End(outcome="promoted", reason="fine", version=3)
    failures: list[BaseException] = []
    worker = Worker(
        database,
        plain | (handlers or {}),
        on_failure=lambda _attempt, _conn, error: failures.append(error),
        now=lambda: 7,
        lease=lease,
    )
    worker.failures = failures  # type: ignore[attr-defined]
    return worker


def queue(database: Database, model: str = "m") -> Cycle:
    with database.write() as conn:
        cycle, is_new = submit(conn, model, cause="test", actor="test", as_of=1, definition=(*STEPS, "end"))
    assert is_new
    return cycle


def read(database: Database, cycle_id: str) -> Cycle:
    with database.read() as conn:
        cycle = get_cycle(conn, cycle_id)
    assert cycle is not None
    return cycle


def events(database: Database) -> list[str]:
    with database.read() as conn:
        return [event.kind for event in list_events(conn)]


def test_a_cycle_walks_its_steps_in_order_and_ends_with_its_outcome(database: Database) -> None:
    cycle = queue(database)
    assert make_worker(database).run_pending() == 1
    done = read(database, cycle.id)
    assert (done.state, done.outcome, done.version, done.ended_at) == ("done", "promoted", 3, 7)
    assert events(database) == list(STEPS)


def test_a_model_has_at_most_one_open_cycle(database: Database) -> None:
    first = queue(database)
    with database.write() as conn:
        second, is_new = submit(conn, "m", cause="again", actor="test", as_of=2, definition=STEPS)
    assert (second.id, is_new) == (first.id, False)
    queue(database, "another model")
    with database.read() as conn:
        assert len(list_cycles(conn)) == 2


def test_a_step_that_is_committed_is_not_done_again_after_a_take_over(database: Database) -> None:
    cycle = queue(database)

    def vanish(_attempt: Attempt) -> None:
        raise LeaseLost  # as if this worker had died here: nothing is written any more

    make_worker(database, {"two": vanish}, lease=-1.0).run_pending()
    assert events(database) == ["one"]
    make_worker(database).run_pending()
    assert events(database) == list(STEPS)
    assert read(database, cycle.id).fence == 2


def test_a_worker_frozen_past_its_lease_writes_nothing_when_it_wakes(database: Database) -> None:
    cycle = queue(database)
    frozen: list[Attempt] = []

    def freeze(attempt: Attempt) -> None:
        frozen.append(attempt)
        raise LeaseLost

    make_worker(database, {"two": freeze}, lease=-1.0).run_pending()
    make_worker(database).run_pending()
    with pytest.raises(LeaseLost):
        write_event(frozen[0], "two")
    assert events(database) == list(STEPS)
    assert read(database, cycle.id).outcome == "promoted"


def test_a_live_lease_is_respected_and_a_dead_owner_on_this_machine_is_not_waited_for(database: Database) -> None:
    cycle = queue(database)
    other = make_worker(database)
    with database.write() as conn:
        held = {"state": "running", "lease_until": time.time() + 1000, "owner": other.me}
        conn.execute(cycles.update().values(**held))
    assert make_worker(database).run_pending() == 0
    host, _pid, started, noise = other.me.rsplit(":", 3)
    with database.write() as conn:
        conn.execute(cycles.update().values(owner=f"{host}:4194300:{started}:{noise}"))
    assert make_worker(database).run_pending() == 1
    assert read(database, cycle.id).state == "done"


def test_a_waiting_cycle_is_asked_again_at_each_look(database: Database) -> None:
    cycle = queue(database)
    answers = iter([Wait("rollout"), Wait("rollout"), None])
    worker = make_worker(database, {"two": lambda attempt: next(answers) or write_event(attempt, "two")})
    for expected in ("waiting", "waiting", "done"):
        worker.run_pending()
        assert read(database, cycle.id).state == expected
    assert events(database) == list(STEPS)


def test_a_step_that_raises_fails_the_cycle_with_its_reason_and_frees_the_model(database: Database) -> None:
    cycle = queue(database)

    def explode(_attempt: Attempt) -> None:
        raise ValueError("no such column")

    worker = make_worker(database, {"two": explode})
    worker.run_pending()
    failed = read(database, cycle.id)
    assert (failed.state, failed.outcome, failed.error) == ("failed", "failed", "no such column")
    assert len(worker.failures) == 1  # type: ignore[attr-defined]
    assert queue(database).id != cycle.id


def test_a_cycle_that_kills_every_worker_fails_instead_of_coming_back_for_ever(database: Database) -> None:
    cycle = queue(database)

    def vanish(_attempt: Attempt) -> None:
        raise LeaseLost

    for _ in range(25):
        make_worker(database, {"one": vanish}, lease=-1.0).run_pending()
    assert read(database, cycle.id).error == "too many attempts"


def test_two_workers_at_once_do_every_step_once(database: Database) -> None:
    ids = [queue(database, f"m{number}").id for number in range(6)]
    workers = [make_worker(database) for _ in range(3)]
    threads = [threading.Thread(target=worker.run_pending) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(read(database, cycle_id).state == "done" for cycle_id in ids)
    assert sorted(events(database)) == sorted(STEPS * 6)


def test_a_cycle_keeps_the_steps_it_was_created_with(database: Database) -> None:
    with database.write() as conn:
        cycle, _ = submit(conn, "m", cause="test", actor="test", as_of=1, definition=("one", "end"))
    make_worker(database).run_pending()
    assert events(database) == ["one"]
    with database.read() as conn:
        assert conn.execute(sa.select(cycles.c.definition)).scalar_one() == ["one", "end"]
    assert read(database, cycle.id).state == "done"
