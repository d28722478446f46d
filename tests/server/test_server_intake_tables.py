"""Tables that are read on a schedule: each row once, late ones too, and nothing outside of the folders named for it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from running_server import Running

from homeostat.ground.clock import DAY, HOUR, MINUTE, DrivenClock, to_datetime, to_iso
from homeostat.ground.errors import Invalid, MissingExtra, Refused
from homeostat.ground.settings import Settings
from homeostat.loop.table_source import TableReader, TableState, get_table
from homeostat.loop.table_sql import before
from homeostat.loop.table_urls import check_table_url, is_sql, shown_url
from homeostat.monitoring.alarms import list_alarms
from homeostat.monitoring.store import outcomes
from homeostat.server.intake_bodies import MonitorBody, TableBody
from homeostat.server.service import Service

START = 1_700_000_000_000_000 // DAY * DAY


class Feed:
    """A home whose clock is driven, a model that is watched, and tables beside it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "data"
        self.folder.mkdir()
        given = {"clock": to_iso(START), "monitor_folders": str(self.folder)} | settings
        self.settings = Settings(home=str(folder / "home"), **given)
        self.service = Service(self.settings)
        self.service.intake.watch(MonitorBody(name="late", task="binary", features=("x",)))
        self.reader = TableReader(self.service.database, self.settings, self.service.clock)

    def add(self, url: str, **more: Any) -> dict[str, Any]:
        body = {"name": "feed", "url": url, "time_column": "ts", "every": "10min"} | more
        return self.service.tables.add("late", TableBody(**body), actor="me")

    def move(self, to: int) -> None:
        assert isinstance(self.service.clock, DrivenClock)
        self.service.clock.advance_to(to)

    def state(self) -> TableState:
        with self.service.database.read() as conn:
            return get_table(conn, "feed")

    def ids(self) -> list[str]:
        with self.service.database.read() as conn:
            return sorted(conn.execute(sa.select(outcomes.c.request_id)).scalars())


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    found = Feed(tmp_path)
    yield found
    found.service.close()


def database_of(feed: Feed, *, times: str = "text") -> Path:
    path = feed.folder / "predictions.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"create table answers (id integer primary key, ts {times}, x real, score real, request_id text)")
        conn.commit()
    return path


def insert(path: Path, *rows: tuple[str, int, float]) -> None:
    """Rows by request id, event time and value."""
    with closing(sqlite3.connect(path)) as conn:
        statement = "insert into answers (ts, x, score, request_id) values (?, ?, 0.5, ?)"
        stamps = [(to_datetime(at).isoformat(sep=" ").removesuffix("+00:00"), x, name) for name, at, x in rows]
        conn.executemany(statement, stamps)
        conn.commit()


def test_each_row_is_taken_in_once_and_late_ones_within_the_overlap(feed: Feed) -> None:
    path = database_of(feed)
    insert(path, *((f"a{n}", START - HOUR + n * MINUTE, n) for n in range(20)))
    feed.add(f"sqlite:///{path}", table="answers", overlap="30min")
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates, look.refused, look.error) == (20, 0, 0, "")
    assert feed.reader.look() == []  # not due yet
    insert(path, ("late", START - HOUR + 5 * MINUTE, 1), ("new", START - 10 * MINUTE, 2))
    feed.move(START + 10 * MINUTE)
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates) == (2, 20)
    feed.move(START + 20 * MINUTE)
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates) == (0, 1)  # the overlap has moved on
    assert len(feed.ids()) == 22 and feed.state().rows == 22


@pytest.mark.parametrize("times", ["text", "datetime"])
def test_a_query_and_a_table_with_types_are_read_the_same(feed: Feed, times: str) -> None:
    path = database_of(feed, times=times)
    insert(path, ("a", START - HOUR, 1), ("b", START - MINUTE, 2))
    if times == "text":
        feed.add(f"sqlite:///{path}", query="select request_id, ts, x, score from answers where x > 1;")
    else:
        feed.add(f"sqlite:///{path}", table="answers")
    (look,) = feed.reader.look()
    assert look.error == "" and feed.ids() == (["b"] if times == "text" else ["a", "b"])


def test_a_growing_number_is_a_cursor_and_ids_that_commit_out_of_order_are_found(feed: Feed) -> None:
    path = database_of(feed)
    with closing(sqlite3.connect(path)) as conn:
        for number in (1, 2, 3, 5):
            conn.execute("insert into answers values (?, ?, 1, 0.5, ?)", (number, to_iso(START - HOUR), f"r{number}"))
        conn.commit()
    feed.add(f"sqlite:///{path}", table="answers", cursor_column="id", overlap=3)
    feed.reader.look()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("insert into answers values (4, ?, 1, 0.5, 'r4')", (to_iso(START - 9 * DAY),))
        conn.commit()
    feed.move(START + HOUR)
    (look,) = feed.reader.look()
    assert (look.accepted, feed.ids()) == (1, [f"r{number}" for number in range(1, 6)])
    assert feed.state().cursor == 5


def test_postgresql_is_read_without_being_written(feed: Feed, postgresql_url: str) -> None:
    engine = sa.create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(sa.text("drop table if exists feed_answers"))
        conn.execute(sa.text("create table feed_answers (request_id text, ts timestamptz, x numeric, score float)"))
        statement = sa.text("insert into feed_answers values (:id, :at, 1.5, 0.25)")
        conn.execute(statement, [{"id": f"p{n}", "at": to_datetime(START - n * HOUR)} for n in range(3)])
    feed.add(postgresql_url, table="feed_answers", overlap="1h")
    (look,) = feed.reader.look()
    assert (look.accepted, look.error) == (3, "")
    with engine.connect() as conn:
        conn.execute(statement, {"id": "p3", "at": to_datetime(START)})
    feed.move(START + HOUR)
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates) == (1, 2)
    feed.service.tables.remove("feed", actor="me")
    writes = "delete from feed_answers returning request_id, ts, x, score"
    feed.add(postgresql_url, query=f"with gone as ({writes}) select * from gone")  # noqa: S608  it is refused
    (look,) = feed.reader.look()
    assert "error" in look.error.lower()
    with engine.connect() as conn:
        assert conn.execute(sa.text("select count(*) from feed_answers")).scalar_one() == 4
        conn.execute(sa.text("drop table feed_answers"))
    engine.dispose()


def write(feed: Feed, name: str, *rows: str, at: int = START - HOUR) -> None:
    path = feed.folder / name
    path.parent.mkdir(exist_ok=True)
    stamps = [to_datetime(at)] * len(rows)
    pl.DataFrame({"request_id": list(rows), "ts": stamps, "x": [1.0] * len(rows), "score": 0.5}).write_parquet(path)


def test_files_are_read_once_and_a_changed_one_again(feed: Feed) -> None:
    write(feed, "day=1/a.parquet", "a", "b")
    feed.add(f"{feed.folder}/day=*/*.parquet")
    (look,) = feed.reader.look()
    assert (look.accepted, look.error) == (2, "")
    write(feed, "day=2/b.parquet", "c")
    write(feed, "day=1/a.parquet", "a", "b", "late")
    (feed.folder / "day=2" / "notes.txt").write_text("no table")
    feed.move(START + HOUR)
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates) == (2, 2)
    feed.move(START + 2 * HOUR)
    (look,) = feed.reader.look()
    assert (look.accepted, look.duplicates) == (0, 0) and feed.ids() == ["a", "b", "c", "late"]


def test_a_broken_file_fails_the_look_and_is_told_and_mended(feed: Feed) -> None:
    (feed.folder / "a.parquet").write_bytes(b"PAR1 nonsense PAR1")
    feed.add(str(feed.folder))
    for number in range(1, 4):
        (look,) = feed.reader.look()
        assert "cannot be read as parquet" in look.error and feed.state().failures == number
        feed.move(feed.service.clock.now() + HOUR)
    with feed.service.database.read() as conn:
        (alarm,) = list_alarms(conn, "late", is_open=True)
    assert (alarm.kind, alarm.subject, alarm.evidence["failures"]) == ("feed", "feed", 3)
    write(feed, "a.parquet", "a")
    feed.move(feed.service.clock.now() + 2 * HOUR)
    (look,) = feed.reader.look()
    assert look.accepted == 1 and feed.state().failures == 0
    with feed.service.database.read() as conn:
        assert list_alarms(conn, "late", is_open=True) == []


def test_rows_that_are_wrong_are_left_out_and_told(feed: Feed) -> None:
    path = database_of(feed)
    insert(path, ("a", START - HOUR, 1), ("b", START - HOUR, 2), ("", START - HOUR, 3))
    feed.add(f"sqlite:///{path}", table="answers")
    (look,) = feed.reader.look()
    assert (look.accepted, look.refused, len(look.errors)) == (2, 1, 1) and "request_id" in look.errors[0]
    assert "is no id" in feed.state().error


def test_a_table_that_fails_waits_longer_each_time_and_nothing_of_its_url_is_told(feed: Feed) -> None:
    url = "postgresql+psycopg://me:s3cret@127.0.0.1:9/db?application_name=hush"
    made = feed.add(url, table="answers")
    assert made["target"] == "postgresql+psycopg://127.0.0.1:9/db"
    (look,) = feed.reader.look()
    assert look.error and "s3cret" not in look.error and "hush" not in look.error
    feed.move(START + 15 * MINUTE)
    assert feed.reader.look() == []
    feed.move(START + 20 * MINUTE)
    assert len(feed.reader.look()) == 1
    shown = repr([feed.service.tables.list(), feed.state(), feed.service.events(0, 100)])
    assert "s3cret" not in shown and "hush" not in shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"table": "", "query": ""}, "table"),
        ({"query": "select 1; drop table answers"}, "query"),
        ({"every": "1s"}, "every"),
        ({"every": "often"}, "every"),
        ({"overlap": "-1h"}, "overlap"),
        ({"time_unit": "h"}, "time_unit"),
        ({"columns": {"colour": "c"}}, "columns"),
        ({"name": "a b"}, "name"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_name(feed: Feed, body: dict[str, Any], field: str) -> None:
    path = database_of(feed)
    with pytest.raises(Invalid) as caught:
        feed.add(f"sqlite:///{path}", **({} if "query" in body else {"table": "answers"}) | body)
    assert caught.value.field == field


def test_a_column_that_is_not_there_is_told_by_the_look(feed: Feed) -> None:
    feed.add(f"sqlite:///{database_of(feed)}", table="answers", time_column="when")
    (look,) = feed.reader.look()
    assert "no column 'when'" in look.error


def test_files_outside_of_the_named_folders_are_refused_and_links_lead_nowhere(feed: Feed, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    feed_folder = feed.folder
    for url in (
        str(outside),
        f"file://{outside}/*.parquet",
        f"{feed_folder}/../outside/*.parquet",
        f"sqlite:///{outside}/x.db",
        f"sqlite:///{feed_folder}/../outside/x.db",
        "/*/secrets.parquet",
        "data.parquet",
        "sqlite:///relative.db",
    ):
        with pytest.raises(Refused, match="HOMEOSTAT_MONITOR_FOLDERS"):
            check_table_url(url, feed.settings)
    with pytest.raises(Refused):
        check_table_url(str(feed_folder), Settings())
    (outside / "a.parquet").write_bytes(b"x")
    (feed_folder / "link.parquet").symlink_to(outside / "a.parquet")
    feed.add(f"{feed_folder}/*.parquet")
    (look,) = feed.reader.look()
    assert (look.accepted, look.error) == (0, "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com/a.parquet",
        "https://x/y",
        "ftp://x/y",
        "simplecache::s3://bucket/x",
        "memory://x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:/etc/passwd?uri=true",
        "s3://bucket\\x",
        "postgresql://host/db\nx",
    ],
)
def test_what_is_no_table_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        check_table_url(url, Settings(monitor_folders="/"))


def test_a_database_without_a_driver_says_so() -> None:
    with pytest.raises(MissingExtra, match="oracle"):
        check_table_url("oracle+oracledb://h/x", Settings())


def test_urls_are_told_apart_and_shown_without_secrets() -> None:
    assert is_sql("postgresql://h/x") and not is_sql("s3://b/x.parquet") and not is_sql("/data/x.parquet")
    assert shown_url("mysql+pymysql://u:p%40w@h:1/d?ssl_key=k") == "mysql+pymysql://h:1/d"


@pytest.mark.parametrize(
    ("cursor", "wanted"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T09:00:00Z"),
        ("2024-05-01T10:00:00+00:00", "2024-05-01T09:00:00+00:00"),
        ("2024-05-01 10:00:00", "2024-05-01 09:00:00"),
        ("2024-05-01 00:30:00.123456", "2024-04-30 23:30:00.123456"),
        ("2024-05-01", "2024-04-30"),
        ("abc", "abc"),
        (7.5, 7.5 - 3.6e9),
        ({"at": 3_600_000_001, "has_zone": True}, {"at": 1, "has_zone": True}),
    ],
)
def test_a_look_begins_an_overlap_below_the_cursor_in_its_own_form(cursor: Any, wanted: Any) -> None:
    assert before(cursor, HOUR) == wanted


def test_only_an_admin_names_tables(start: Callable[..., Running], tmp_path: Path) -> None:
    server = start(auth="required", monitor_folders=str(tmp_path))
    admin = server.make_token("boss", permissions=["admin"])
    writer = server.make_token("w", permissions=["read", "write", "deploy"])
    monitor = {"name": "late", "task": "regression", "features": ["x"]}
    assert server.call("POST", "/api/monitors", writer, json=monitor).status_code == 200
    table = {"name": "feed", "url": str(tmp_path), "time_column": "ts"}
    assert server.call("POST", "/api/monitors/late/tables", writer, json=table).status_code == 403
    made = server.call("POST", "/api/monitors/late/tables", admin, json=table)
    assert made.status_code == 201, made.text
    assert server.call("POST", "/api/monitors/other/tables", admin, json=table | {"name": "x"}).status_code == 404
    assert server.call("POST", "/api/monitors/late/tables", admin, json=table).status_code == 409
    assert [one["name"] for one in server.call("GET", "/api/tables", writer).json()] == ["feed"]
    assert server.call("POST", "/api/tables/feed/read", writer).status_code == 403
    read = server.call("POST", "/api/tables/feed/read", admin).json()
    assert read == {"table": "feed", "accepted": 0, "duplicates": 0, "refused": 0}
    assert server.call("DELETE", "/api/tables/feed", writer).status_code == 403
    assert server.call("DELETE", "/api/tables/feed", admin).status_code == 200
    assert server.call("GET", "/api/tables", writer).json() == []
