"""What a model sees: vectors read online, encoded, checked against the training join, and trimmed memory."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from homeostat.features.compiled import FeatureSet, SourceSpec
from homeostat.features.encoding import MOST_CATEGORIES, encode_frame, encode_values, fit_columns
from homeostat.features.materialize import materialize
from homeostat.features.offline import load_source, plain, training_frame
from homeostat.features.online import OnlineReader, OnlineStore
from homeostat.features.parity import check_parity
from homeostat.features.plan import compile_features
from homeostat.features.state import ViewState
from homeostat.features.store import push_rows
from homeostat.features.types import Source, View, column, count, mean, on_demand
from homeostat.ground.clock import DAY, HOUR, from_iso, to_datetime
from homeostat.ground.errors import Conflict, Invalid, UserCodeFailed
from homeostat.ground.records import FeatureColumn
from homeostat.store.database import Database

flights = Source("flights/*.parquet", time="sched_dep_ts", key="flight_id")
weather = Source("weather.csv", time="ts", key="airport")
NOW = from_iso("2024-03-03T12:00:00Z")


@on_demand(inputs=["sched_dep_ts", "weather_now.sky"])
def calendar(ts: Any, sky: str | None) -> dict[str, Any]:
    return {"hour": ts.hour, "wet": sky == "rain", "part": None if ts.hour < 3 else "day"}


FEATURES = [
    View("weather_now", weather, ttl="3h", select=["temp_f", "sky"]).on(airport="origin"),
    View(
        "history",
        flights.known_at("arr_ts"),
        key="carrier",
        hop="1h",
        aggregates=[mean("arr_delay_min", "6h"), count("1d")],
    ),
    calendar,
    column("gate", kind="category"),
    "distance_mi",
]


@pytest.fixture
def feature_set(airline: Path) -> FeatureSet:
    return compile_features(FEATURES, examples=flights, root=airline)


@pytest.fixture
def rows(airline: Path) -> pl.DataFrame:
    return load_source(flights, airline, NOW, since=NOW - 2 * DAY)


@pytest.fixture
def store(sqlite_database: Database, feature_set: FeatureSet, airline: Path) -> OnlineStore:
    with sqlite_database.write() as conn:
        materialize(conn, feature_set, airline, NOW)
    opened = OnlineStore(sqlite_database, feature_set)
    opened.refresh(now=NOW)
    return opened


def asked(feature_set: FeatureSet, rows: pl.DataFrame) -> tuple[dict[str, list[Any]], list[int]]:
    inputs = {wanted.name: list(plain(rows[wanted.name])) for wanted in feature_set.inputs}
    return inputs, list(plain(rows["sched_dep_ts"]))


def test_served_vectors_equal_the_training_matrix(
    store: OnlineStore, feature_set: FeatureSet, rows: pl.DataFrame, airline: Path
) -> None:
    frame = training_frame(feature_set, rows, times="sched_dep_ts", root=airline)
    columns = fit_columns(feature_set, frame)
    inputs, times = asked(feature_set, rows)
    vectors = OnlineReader(store, columns).vectors(inputs, times)
    assert vectors.dtype == np.float64
    assert vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, encode_frame(columns, frame))
    one_by_one = [
        OnlineReader(store, columns).vectors({name: [values[i]] for name, values in inputs.items()}, [times[i]])[0]
        for i in range(20)
    ]
    np.testing.assert_array_equal(np.array(one_by_one), vectors[:20])


def test_requests_may_bring_iso_times_arrays_and_nothing_at_all(store: OnlineStore, feature_set: FeatureSet) -> None:
    columns = tuple(FeatureColumn(name=n, kind=k) for n, k in zip(feature_set.names, feature_set.kinds, strict=True))
    reader = OnlineReader(store, columns)
    row: dict[str, Any] = {"origin": ["JFK"], "carrier": ["AA"], "sched_dep_ts": [NOW], "gate": [1], "distance_mi": [7]}
    first = reader.vectors(row, [NOW])
    spelt = {"sched_dep_ts": ["2024-03-03T12:00:00Z"], "distance_mi": np.array([7.0]), "gate": np.array([1])}
    np.testing.assert_array_equal(reader.vectors(row | spelt, [NOW]), first)
    nothing = reader.vectors(row | {"origin": [None], "distance_mi": [float("nan")]}, [NOW])
    assert np.isnan(nothing[0, feature_set.names.index("distance_mi")])
    assert np.isnan(nothing[0, feature_set.names.index("weather_now.temp_f")])
    assert reader.vectors({name: [] for name in row}, []).shape == (0, len(columns))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"orign": ["JFK"]}, "orign"),
        ({"origin": [3]}, "origin"),
        ({"origin": "J"}, "origin"),
        ({"origin": ["JFK", "LGA"]}, "origin"),
        ({"distance_mi": ["7"]}, "distance_mi"),
        ({"distance_mi": [True]}, "distance_mi"),
        ({"sched_dep_ts": ["noon"]}, "sched_dep_ts"),
    ],
)
def test_a_wrong_request_is_refused_by_its_field(
    change: dict[str, Any], field: str, store: OnlineStore, feature_set: FeatureSet
) -> None:
    columns = tuple(FeatureColumn(name=n, kind=k) for n, k in zip(feature_set.names, feature_set.kinds, strict=True))
    row: dict[str, Any] = {"origin": ["JFK"], "carrier": ["AA"], "sched_dep_ts": [NOW], "gate": [1], "distance_mi": [7]}
    with pytest.raises(Invalid) as caught:
        OnlineReader(store, columns).vectors(row | change, [NOW])
    assert caught.value.field == field
    assert caught.value.next_step
    with pytest.raises(Invalid, match="carrier is missing"):
        OnlineReader(store, columns).vectors({name: row[name] for name in row if name != "carrier"}, [NOW])
    with pytest.raises(Conflict):
        OnlineReader(store, columns[1:])


def test_a_failing_function_names_itself_and_its_inputs(store: OnlineStore) -> None:
    inputs = {"origin": ["JFK"], "carrier": ["AA"], "sched_dep_ts": [None], "gate": [1], "distance_mi": [7]}
    with pytest.raises(UserCodeFailed, match=r"calendar raised AttributeError.*sched_dep_ts=None"):
        store.read(inputs, [NOW])


def test_integers_stay_nullable_and_duplicate_examples_stay(airline: Path) -> None:
    planes = View("plane", Source("planes.parquet", key="tailnum"), select=["seats"])
    compiled = compile_features([planes, "distance_mi"], examples=flights, root=airline)
    examples = pl.DataFrame({"tailnum": ["N1", "N2", None, "N1", "?"], "distance_mi": [5, 4, 3, 5, None], "t": [0] * 5})
    frame = training_frame(compiled, examples, times="t", root=airline)
    assert frame["plane.seats"].dtype == pl.Int64
    assert frame["plane.seats"].to_list() == [120, None, None, 120, None]
    assert frame["distance_mi"].to_list() == [5, 4, 3, 5, None]


def test_parity_holds_for_what_was_served_and_finds_what_was_not(
    store: OnlineStore, feature_set: FeatureSet, rows: pl.DataFrame, airline: Path
) -> None:
    columns = fit_columns(feature_set, training_frame(feature_set, rows, times="sched_dep_ts", root=airline))
    inputs, times = asked(feature_set, rows)
    vectors = OnlineReader(store, columns).vectors(inputs, times)
    ids = [f"r{number}" for number in range(len(times))]
    logged = pl.DataFrame(inputs)  # times as microseconds, as the prediction log holds them
    clean = check_parity(
        feature_set, columns, inputs=logged, times=times, vectors=vectors, root=airline, request_ids=ids
    )
    assert (clean.checked, clean.mismatched, clean.examples) == (len(times), 0, ())

    tampered = vectors.copy()
    tampered[3, 0] += 1.0
    tampered[5, 2] = np.nan
    tampered[7, 0] *= 1 + 1e-12  # rounding is forgiven
    report = check_parity(
        feature_set, columns, inputs=logged, times=times, vectors=tampered, root=airline, request_ids=ids
    )
    assert report.mismatched == 2
    assert [(one.request_id, one.feature) for one in report.examples] == [
        ("r3", "weather_now.temp_f"),
        ("r5", "history.arr_delay_min_mean_6h"),
    ]
    assert report.examples[0].served == tampered[3, 0]
    assert report.examples[0].recomputed == vectors[3, 0]
    assert report.examples[1].served is None
    assert report.features["history.arr_delay_min_mean_6h"].served_missing == 1
    with pytest.raises(Invalid, match="vectors"):
        check_parity(
            feature_set, columns, inputs=logged, times=times, vectors=vectors[1:], root=airline, request_ids=ids
        )


def test_categories_are_frozen_sorted_and_the_rarest_left_out(feature_set: FeatureSet) -> None:
    names = [f"c{number:03d}" for number in range(300)]
    frame = pl.DataFrame({name: [1.0] * 600 for name in feature_set.names}).with_columns(
        pl.Series("gate", names + names[:MOST_CATEGORIES] + [None] * (300 - MOST_CATEGORIES))
    )
    gate = next(column for column in fit_columns(feature_set, frame) if column.name == "gate")
    assert gate.categories == tuple(names[:MOST_CATEGORIES])
    codes = encode_values([gate], {"gate": ["c000", "c253", "c254", "new", None]})
    np.testing.assert_array_equal(codes.ravel(), [0.0, 253.0, np.nan, np.nan, np.nan])


def test_a_number_as_category_is_the_same_from_frames_and_from_requests() -> None:
    gate = FeatureColumn(name="gate", kind="category", categories=("1", "2.5", "true"))
    frame = pl.DataFrame({"gate": pl.Series([1, 2, None], dtype=pl.Int16)})
    np.testing.assert_array_equal(encode_frame([gate], frame), [[0.0], [np.nan], [np.nan]])
    np.testing.assert_array_equal(encode_values([gate], {"gate": [1.0, 2, None]}), [[0.0], [np.nan], [np.nan]])
    np.testing.assert_array_equal(encode_values([gate], {"gate": [2.5, True]}), [[1.0], [2.0]])


def test_trimming_lets_go_of_rows_and_changes_no_answer(feature_set: FeatureSet, airline: Path) -> None:
    for plan in feature_set.views:
        whole, trimmed = ViewState(plan), ViewState(plan)
        table = load_source(plan.source, airline, None)
        for values in table.iter_rows(named=True):
            row = {name: _plain(value) for name, value in values.items()}
            whole.apply(row)
            trimmed.apply(row)
        trimmed.trim(NOW)
        assert 0 < len(trimmed) < len(whole)
        keys = [key for key in table[plan.key[0]].unique() for _ in range(100)]
        times = [NOW + number * HOUR // 2 for number in range(100)] * (len(keys) // 100)
        assert trimmed.read(keys, times) == whole.read(keys, times)
        assert any(found != whole.read([None], [NOW])[0] for found in whole.read(keys, times))


def _plain(value: Any) -> Any:
    from datetime import datetime

    from homeostat.ground.clock import from_datetime

    return from_datetime(value) if isinstance(value, datetime) else value


def test_a_pushed_row_from_the_past_does_not_hide_a_newer_one(
    store: OnlineStore, feature_set: FeatureSet, sqlite_database: Database
) -> None:
    spec = next(spec for spec in feature_set.source_specs() if spec.name == "weather")
    asked = {"origin": ["JFK"], "carrier": [None], "sched_dep_ts": [NOW], "gate": [None], "distance_mi": [None]}
    before = store.read(asked, [NOW])
    _push(sqlite_database, spec, NOW - HOUR // 2, -100)
    _push(sqlite_database, spec, NOW + HOUR // 2, 100)
    store.refresh()
    assert store.read(asked, [NOW]) == before  # the row of the full hour is newer than the one, older than the other
    assert store.read(asked, [NOW + HOUR // 2])["weather_now.temp_f"] == [100]
    assert store.read(asked, [NOW - HOUR // 2])["weather_now.temp_f"] == [-100]


def _push(database: Database, spec: SourceSpec, at: int, temperature: float) -> None:
    with database.write() as conn:
        push_rows(conn, spec, [{"airport": "JFK", "ts": to_datetime(at), "temp_f": temperature}])


def test_a_request_from_the_far_future_costs_nobody_their_history(store: OnlineStore, feature_set: FeatureSet) -> None:
    columns = tuple(FeatureColumn(name=n, kind=k) for n, k in zip(feature_set.names, feature_set.kinds, strict=True))
    reader = OnlineReader(store, columns)
    row = {"origin": ["JFK"], "carrier": ["AA"], "sched_dep_ts": [NOW], "gate": [1], "distance_mi": [7]}
    before = reader.vectors(row, [NOW])
    reader.vectors(row, [from_iso("2099-01-01T00:00:00Z")])
    np.testing.assert_array_equal(reader.vectors(row, [NOW]), before)
