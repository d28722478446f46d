"""What every catalogue keeps to: whole transactions, one writer at a time, a snapshot for each reader."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.store.database import Database
from homeostat.store.dialect import add_up, database_seconds, insert_new, upsert
from homeostat.testing.threads import PATIENCE, all_at_once, in_thread

Check = Callable[[Database], None]


def check_database() -> Iterator[tuple[str, Check]]:
    """Checks that take an open catalogue; each makes a table of its own and leaves none behind."""
    yield "an exception rolls the whole transaction back", _exception_rolls_back
    yield "what was committed is there for others", _commit_is_seen
    yield "a writer sees its own changes, others do not", _uncommitted_is_private
    yield "a reader keeps its snapshot while a writer commits", _reader_keeps_snapshot
    yield ("two writers that read and then write do not lose an update", _writers_serialize)
    yield "a writer waits for the one before it", _second_writer_waits
    yield "insert_new says how many rows were new", _insert_new_counts
    yield "insert_new lets one of many writers win", _insert_new_has_one_winner
    yield "upsert sets only the named columns", _upsert_sets_named
    yield "add_up adds onto what is there", _add_up_adds
    yield "add_up from many writers loses nothing", _add_up_is_safe
    yield "JSON and large integers come back as they were", _values_survive
    yield "the database has a clock that goes forward", _clock_moves


_counters = sa.Table(
    "check_counters",
    sa.MetaData(),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("note", sa.JSON, nullable=True),
)
_KEY = ("name", "kind")


@contextmanager
def _scratch(database: Database) -> Iterator[None]:
    with database.write() as conn:
        _counters.create(conn)
    try:
        yield
    finally:
        with database.write() as conn:
            _counters.drop(conn)


def _row(name: str, n: int, note: object = None) -> dict[str, object]:
    return {"name": name, "kind": "check", "n": n, "note": note}


def _value(conn: Connection, name: str) -> int | None:
    found: int | None = conn.execute(sa.select(_counters.c.n).where(_counters.c.name == name)).scalar()
    return found


def _read(database: Database, name: str) -> int | None:
    with database.read() as conn:
        return _value(conn, name)


class _OnPurposeError(Exception):
    pass


def _exception_rolls_back(database: Database) -> None:
    with _scratch(database):
        try:
            with database.write() as conn:
                insert_new(conn, _counters, [_row("a", 1), _row("b", 2)])
                upsert(conn, _counters, [_row("a", 5)], key=_KEY, update=["n"])
                raise _OnPurposeError
        except _OnPurposeError:
            pass
        assert (_read(database, "a"), _read(database, "b")) == (None, None)


def _commit_is_seen(database: Database) -> None:
    with _scratch(database):
        with database.write() as conn:
            insert_new(conn, _counters, [_row("a", 1)])
        with in_thread(lambda: _read(database, "a")) as seen:
            assert seen.result(PATIENCE) == 1


def _uncommitted_is_private(database: Database) -> None:
    with _scratch(database), database.write() as conn:
        insert_new(conn, _counters, [_row("a", 1)])
        assert _value(conn, "a") == 1
        with in_thread(lambda: _read(database, "a")) as seen:
            assert seen.result(PATIENCE) is None


def _reader_keeps_snapshot(database: Database) -> None:
    with _scratch(database):
        with database.write() as conn:
            insert_new(conn, _counters, [_row("a", 1)])
        with database.read() as reader:
            before = _value(reader, "a")
            with in_thread(lambda: _add(database, "a", 1)) as written:
                written.result(PATIENCE)
            assert (before, _value(reader, "a")) == (1, 1)
        assert _read(database, "a") == 2


def _add(database: Database, name: str, n: int) -> None:
    with database.write() as conn:
        add_up(conn, _counters, [_row(name, n)], key=_KEY, add=["n"])


def _writers_serialize(database: Database) -> None:
    rounds, threads = 10, 4

    def count(_number: int) -> None:
        for _ in range(rounds):
            with database.write() as conn:
                now = _value(conn, "a")
                conn.execute(_counters.update().values(n=(now or 0) + 1))

    with _scratch(database):
        with database.write() as conn:
            insert_new(conn, _counters, [_row("a", 0)])
        all_at_once(count, threads=threads)
        assert _read(database, "a") == rounds * threads


def _second_writer_waits(database: Database) -> None:
    entered = Event()

    def second() -> None:
        with database.write():
            entered.set()

    with _scratch(database):
        with database.write() as conn:
            insert_new(conn, _counters, [_row("a", 1)])
            with in_thread(second) as waiting:
                assert not entered.wait(0.2), "a second writer came in while the first was at work"
                conn.commit()
                waiting.result(PATIENCE)
        assert entered.is_set()


def _insert_new_counts(database: Database) -> None:
    with _scratch(database), database.write() as conn:
        assert insert_new(conn, _counters, []) == 0
        assert insert_new(conn, _counters, [_row("a", 1), _row("b", 1)]) == 2
        assert insert_new(conn, _counters, [_row("b", 9), _row("c", 1), _row("c", 9)]) == 1
        assert insert_new(conn, _counters, [_row(f"n{number}", 1) for number in range(2500)]) == 2500
        assert (_value(conn, "b"), _value(conn, "c")) == (1, 1)


def _insert_new_has_one_winner(database: Database) -> None:
    def claim(number: int) -> int:
        with database.write() as conn:
            return insert_new(conn, _counters, [_row("a", number)])

    with _scratch(database):
        assert sorted(all_at_once(claim, threads=4)) == [0, 0, 0, 1]


def _upsert_sets_named(database: Database) -> None:
    with _scratch(database), database.write() as conn:
        upsert(conn, _counters, [], key=_KEY, update=["n"])
        upsert(conn, _counters, [_row("a", 1, "first")], key=_KEY, update=["n"])
        upsert(conn, _counters, [_row("a", 2, "second"), _row("b", 3)], key=_KEY, update=["n"])
        rows = conn.execute(sa.select(_counters.c.name, _counters.c.n, _counters.c.note).order_by("name")).all()
        assert [tuple(row) for row in rows] == [("a", 2, "first"), ("b", 3, None)]


def _add_up_adds(database: Database) -> None:
    with _scratch(database), database.write() as conn:
        add_up(conn, _counters, [], key=_KEY, add=["n"])
        add_up(conn, _counters, [_row("a", 1), _row("b", 10)], key=_KEY, add=["n"])
        add_up(conn, _counters, [_row("a", 2), _row("a", 3)], key=_KEY, add=["n"])
        assert (_value(conn, "a"), _value(conn, "b")) == (6, 10)


def _add_up_is_safe(database: Database) -> None:
    def add_ten(_number: int) -> None:
        for _ in range(10):
            _add(database, "a", 1)

    with _scratch(database):
        all_at_once(add_ten, threads=4)
        assert _read(database, "a") == 40


def _values_survive(database: Database) -> None:
    note = {"text": "é\u2028\"'", "list": [1, 2.5, None, True], "deep": {"a": {}}}
    with _scratch(database), database.write() as conn:
        insert_new(conn, _counters, [_row("a", 2**62, note)])
        row = conn.execute(sa.select(_counters.c.n, _counters.c.note)).one()
        assert tuple(row) == (2**62, note)


def _clock_moves(database: Database) -> None:
    with database.read() as conn:
        first = database_seconds(conn)
    with database.read() as conn:
        second = database_seconds(conn)
    assert 1.7e9 < first <= second
