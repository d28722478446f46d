"""The feed on both databases: rows once, corrections, refusals, and that readers miss nothing."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from homeostat.features.compiled import SourceSpec, merge_specs
from homeostat.features.materialize import materialize
from homeostat.features.offline import load_source, plain, training_frame
from homeostat.features.online import OnlineStore
from homeostat.features.plan import compile_features
from homeostat.features.store import PushResult, features_rows, push_rows, read_rows
from homeostat.features.types import Source, View, count, mean
from homeostat.ground.clock import DAY, HOUR, from_iso
from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.records import InputColumn
from homeostat.store.database import Database, open_database

COLUMNS = {"id": "number", "who": "string", "ts": "time", "done": "time", "x": "number", "ok": "boolean"}
SPEC = SourceSpec(
    name="events",
    key=("id", "who"),
    times=("ts", "done"),
    columns=tuple(InputColumn(name=name, dtype=dtype) for name, dtype in COLUMNS.items()),
)
ROW = {"id": 1, "who": "a", "ts": "2024-03-01T00:00:00Z", "x": 1.5, "ok": True}


def push(database: Database, *rows: dict[str, Any], spec: SourceSpec = SPEC) -> PushResult:
    with database.write() as conn:
        return push_rows(conn, spec, list(rows))


def stored(database: Database) -> int:
    with database.read() as conn:
        return int(conn.execute(sa.select(sa.func.count()).select_from(features_rows)).scalar_one())


def test_a_row_sent_again_is_recognised_however_it_is_spelt(database: Database) -> None:
    assert push(database, ROW, ROW) == PushResult(accepted=1, duplicates=1)
    again = ROW | {"id": 1.0, "ts": from_iso("2024-03-01T01:00:00+01:00"), "done": None}
    assert push(database, again) == PushResult(accepted=0, duplicates=1)
    assert stored(database) == 1


def test_a_row_that_learns_its_outcome_stays_one_row(database: Database) -> None:
    push(database, ROW)
    landed = {"id": 1, "who": "a", "ts": ROW["ts"], "done": "2024-03-01T02:00:00Z"}
    assert push(database, landed).accepted == 1
    assert push(database, ROW | landed) == PushResult(accepted=0, duplicates=1)  # what was not sent stayed
    assert stored(database) == 1


def test_keys_never_collide(database: Database) -> None:
    keys: list[tuple[Any, str]] = [(1, "a"), (11, ""), (1, "1"), (1, "aa"), (1, "a" * 3000), (1, "a" * 3001)]
    assert push(database, *(ROW | {"id": one, "who": two} for one, two in keys)).accepted == len(keys)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"ids": 1}, "ids"),
        ({"id": None}, "id"),
        ({"who": 5}, "who"),
        ({"ts": None}, "ts"),
        ({"ts": "yesterday"}, "ts"),
        ({"ts": 1.5}, "ts"),
        ({"ts": 10**30}, "ts"),
        ({"done": True}, "done"),
        ({"x": "1.5"}, "x"),
        ({"x": True}, "x"),
        ({"ok": 1}, "ok"),
    ],
)
def test_a_wrong_row_is_refused_by_its_field_and_nothing_is_kept(
    row: dict[str, Any], field: str, sqlite_database: Database
) -> None:
    with pytest.raises(Invalid) as caught:
        push(sqlite_database, ROW, ROW | {"id": 2} | row)
    assert caught.value.field == field
    assert "row 1" in caught.value.message
    assert caught.value.next_step
    assert stored(sqlite_database) == 0


def test_specs_of_one_name_are_joined_and_must_agree() -> None:
    other = SourceSpec(name="events", key=("id", "who"), times=("ts", "seen"), columns=SPEC.columns)
    assert merge_specs([SPEC, other])[0].times == ("ts", "done", "seen")
    with pytest.raises(Conflict, match="events"):
        merge_specs([SPEC, SourceSpec(name="events", key=("id",), times=("ts",))])


def test_a_reader_that_follows_sees_corrections_of_the_newest_row(database: Database) -> None:
    def seen(after: int) -> tuple[int, int]:
        with database.read() as conn:
            newest = conn.execute(sa.select(sa.func.max(features_rows.c.seq))).scalar_one()
            return newest, sum(len(chunk) for chunk in read_rows(conn, ["events"], after=after, until=newest))

    push(database, ROW)
    last, _ = seen(0)
    push(database, ROW | {"x": 2.5})
    assert seen(last) == (last + 1, 1)


def test_writers_at_once_leave_no_gap_that_a_reader_skips(database: Database) -> None:
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(15):
                push(database, ROW | {"who": f"w{writer}", "id": number})
        except BaseException as error:  # noqa: BLE001  the thread must hand it over
            errors.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    followed, last = 0, 0
    while any(writer.is_alive() for writer in writers) or followed < 45:
        with database.read() as conn:
            newest = conn.execute(sa.select(sa.func.max(features_rows.c.seq))).scalar() or 0
            followed += sum(len(chunk) for chunk in read_rows(conn, ["events"], after=last, until=newest))
        last = newest
        if errors:
            break
    for writer in writers:
        writer.join()
    assert not errors
    assert followed == 45


flights = Source("flights/*.parquet", time="sched_dep_ts", key="flight_id", later={"arr_ts": ["arr_delay_min"]})
FEATURES = [
    View("weather_now", Source("weather.csv", time="ts", key="airport"), ttl="3h", select=["temp_f", "sky"]).on(
        airport="origin"
    ),
    View(
        "carrier_history",
        flights.known_at("arr_ts"),
        key="carrier",
        hop="1h",
        aggregates=[mean("arr_delay_min", "6h", "1d"), count("1d")],
    ),
    View("plane", Source("planes.parquet", key="tailnum"), select=["seats"]),
    View("previous", flights, key="tailnum", select=["dest"]),
    "distance_mi",
]
NOW = from_iso("2024-03-04T06:00:00Z")


def test_materialized_features_are_those_of_the_training_join_up_to_two_days_back(
    database: Database, airline: Path
) -> None:
    feature_set = compile_features(FEATURES, examples=flights, root=airline)
    with database.write() as conn:
        assert materialize(conn, feature_set, airline, NOW) > 0
    with database.write() as conn:
        assert materialize(conn, [feature_set, feature_set], airline, NOW) == 0
    store = OnlineStore(database, feature_set)
    assert store.refresh(now=NOW) > 0
    assert store.refresh(now=NOW) == 0
    rows = load_source(flights, airline, NOW, since=NOW - 2 * DAY)
    inputs = {column.name: list(plain(rows[column.name])) for column in feature_set.inputs}
    times = list(plain(rows["sched_dep_ts"]))
    offline = training_frame(feature_set, rows, times="sched_dep_ts", root=airline)
    online = store.read(inputs, times)
    assert {name: list(plain(offline[name])) for name in offline.columns} == online
    assert offline["carrier_history.arr_delay_min_mean_6h"].null_count() < len(rows)
    with pytest.raises(Invalid, match="before"):
        store.read({name: values[:1] for name, values in inputs.items()}, [NOW - 3 * DAY])


def test_materializing_writes_nothing_that_is_not_known_yet(sqlite_database: Database, airline: Path) -> None:
    feature_set = compile_features(FEATURES, examples=flights, root=airline)
    with sqlite_database.write() as conn:
        materialize(conn, feature_set, airline, NOW)
    from homeostat.features.store import decode_payload

    with sqlite_database.read() as conn:
        rows = [decode_payload(payload) for payload in conn.execute(sa.select(features_rows.c.payload)).scalars()]
    flying = [row for row in rows if "flight_id" in row and "arr_ts" not in row]
    assert flying
    assert all("arr_delay_min" not in row for row in flying)
    assert max(row[name] for row in rows for name in ("sched_dep_ts", "arr_ts", "ts") if row.get(name)) <= NOW
    with sqlite_database.write() as conn:  # two hours later the same flights have landed, and are still one row each
        materialize(conn, feature_set, airline, NOW + 2 * HOUR)
    with sqlite_database.read() as conn:
        rows = [decode_payload(payload) for payload in conn.execute(sa.select(features_rows.c.payload)).scalars()]
    ids = [row["flight_id"] for row in rows if "flight_id" in row]
    assert len(ids) == len(set(ids))


def test_rows_pushed_by_another_process_are_seen_after_refresh(database: Database, airline: Path) -> None:
    feature_set = compile_features(FEATURES, examples=flights, root=airline)
    store = OnlineStore(database, feature_set)
    store.refresh()
    asked = {"origin": ["JFK"], "carrier": ["AA"], "tailnum": [None], "distance_mi": [1]}
    assert store.read(asked, [NOW])["weather_now.temp_f"] == [None]
    code = (
        "import sys, msgspec\n"
        "from homeostat.features.compiled import SourceSpec\n"
        "from homeostat.features.store import push_rows\n"
        "from homeostat.store.database import open_database\n"
        "spec = msgspec.json.decode(sys.argv[2], type=SourceSpec)\n"
        "with open_database(sys.argv[1]).write() as conn:\n"
        "    push_rows(conn, spec, [{'airport': 'JFK', 'ts': '2024-03-04T05:00:00Z', 'temp_f': 77}])\n"
        "assert 'polars' not in sys.modules\n"
    )
    import msgspec

    spec = next(spec for spec in feature_set.source_specs() if spec.name == "weather")
    url = database.engine.url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", code, url, msgspec.json.encode(spec).decode()], check=True)
    assert store.read(asked, [NOW])["weather_now.temp_f"] == [None]
    assert store.refresh() == 1
    assert store.read(asked, [NOW])["weather_now.temp_f"] == [77]
    assert store.read(asked, [NOW + 3 * HOUR])["weather_now.temp_f"] == [None]


def test_a_second_connection_is_followed_too(sqlite_database: Database, airline: Path) -> None:
    feature_set = compile_features(FEATURES, examples=flights, root=airline)
    store = OnlineStore(sqlite_database, feature_set)
    second = open_database(sqlite_database.engine.url.render_as_string())
    spec = next(spec for spec in feature_set.source_specs() if spec.name == "planes")
    push(second, {"tailnum": "N9", "seats": 7}, spec=spec)
    store.refresh()
    push(second, {"tailnum": "N9", "seats": 8}, spec=spec)
    store.refresh()
    asked = {"origin": [None], "carrier": [None], "tailnum": ["N9"], "distance_mi": [None]}
    assert store.read(asked, [0])["plane.seats"] == [8]
    second.close()
