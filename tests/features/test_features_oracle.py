"""Offline, online and a brute-force oracle agree on random tables: the promise of the room."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.features.compiled import FeatureSet, ViewPlan, Window
from homeostat.features.offline import plain, training_frame
from homeostat.features.online import OnlineStore
from homeostat.features.plan import compile_features
from homeostat.features.store import features_rows, push_rows
from homeostat.features.types import Source, View, count, maximum, mean, minimum, total
from homeostat.ground.clock import MINUTE, from_iso
from homeostat.store.database import Database, open_database
from homeostat.store.migrate import upgrade

START = from_iso("2024-03-01T00:00:00Z")
TIME = pl.Datetime("us", "UTC")
SCHEMA = {"id": pl.Int32(), "group": pl.String(), "ts": TIME, "done": TIME, "x": pl.Float64(), "tag": pl.String()}

events = Source("events.parquet", time="ts", key="id")
FEATURES = [
    View("last", events, select=["x", "tag"]).on(id="asked_id"),
    View("fresh", events, key="group", ttl="1h", select={"value": "x"}),
    View("finished", events.known_at("done").where(tag="p"), key="group", select=["x"]),
    View("pair", events, key=["group", "id"], ttl="20min", select=["x"]).on(id="asked_id"),
    View(
        "windows",
        events.known_at("done"),
        key="group",
        hop="10min",
        aggregates=[
            mean("x", "30min", "2h"),
            total("x", "2h"),
            minimum("x", "30min"),
            maximum("x", "2h"),
            count("10min", "2h"),
        ],
    ),
    View("odd", events.where(tag=["p", "q"]), key="id", hop="7min", aggregates=[mean("x", "21min"), count("7min")]).on(
        id="asked_id"
    ),
]

moments = st.one_of(
    st.integers(0, 300).map(lambda minute: START + minute * MINUTE // 2),
    st.sampled_from([START, START + 30 * MINUTE, START + 90 * MINUTE]),  # corrections, ties, hop boundaries
)
numbers = st.one_of(
    st.none(), st.integers(-50, 50).map(float), st.floats(-1e6, 1e6), st.sampled_from([0.1, 0.2, -0.3, math.nan])
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 4),
            "group": st.sampled_from(["a", "b", None]),
            "ts": moments,
            "done": st.one_of(st.none(), moments),
            "x": numbers,
            "tag": st.sampled_from(["p", "q", "r"]),
        }
    ),
    min_size=1,
    max_size=40,
)
asked = st.lists(
    st.tuples(st.sampled_from(["a", "b", "nobody", None]), st.sampled_from([0, 1, 4, 99, None]), moments),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path_factory.mktemp('oracle') / 'catalogue.db'}")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@given(table=rows, questions=asked, order=st.randoms(use_true_random=False), parts=st.integers(1, 4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_offline_online_and_brute_force_give_the_same_features(
    catalogue: Database, folder: Path, table: list[dict[str, Any]], questions: list[Any], order: Any, parts: int
) -> None:
    pl.DataFrame(table, schema=SCHEMA).write_parquet(folder / "events.parquet")
    pl.DataFrame({"asked_id": [1], "group": ["a"], "ts": [START]}).write_csv(folder / "asked.csv")
    examples = Source("asked.csv", key="asked_id")
    feature_set = compile_features(FEATURES, examples=examples, root=folder)

    inputs = {"asked_id": [who for _, who, _ in questions], "group": [group for group, _, _ in questions]}
    times = [moment for _, _, moment in questions]
    frame = pl.DataFrame(inputs, schema={"asked_id": pl.Int64, "group": pl.String})
    offline = training_frame(feature_set, frame, times=pl.Series(times, dtype=pl.Int64), root=folder)

    with catalogue.write() as conn:
        conn.execute(features_rows.delete())
    store = OnlineStore(catalogue, feature_set)
    online: dict[str, list[Any]] = {}
    arrivals = _out_of_order(table, order)
    for part in range(parts):  # reading in between must not change what comes after
        with catalogue.write() as conn:
            push_rows(
                conn,
                feature_set.source_specs()[0],
                arrivals[part::parts] if parts == 1 else _slice(arrivals, part, parts),
            )
        store.refresh()
        online = store.read(inputs, times)

    expected = oracle(feature_set, table, inputs, times)
    for name in feature_set.names:
        same_bits(name, plain(offline[name]), online[name])
        for computed, wanted in zip(online[name], expected[name], strict=True):
            close(name, computed, wanted)


def _slice(rows: list[Any], part: int, parts: int) -> list[Any]:
    size = -(-len(rows) // parts)
    return rows[part * size : (part + 1) * size]


def _out_of_order(table: list[dict[str, Any]], order: Any) -> list[dict[str, Any]]:
    """Shuffled, but corrections of one row keep their order; some rows are sent twice."""
    places: dict[Any, list[float]] = {}
    for row in table:
        places.setdefault((row["id"], row["ts"]), []).append(order.random())
    left = {identity: sorted(found, reverse=True) for identity, found in places.items()}
    ranked = sorted(((left[row["id"], row["ts"]].pop(), row) for row in table), key=lambda pair: pair[0])
    return [again for _, row in ranked for again in [row] * order.choice([1, 1, 2])]


def same_bits(name: str, one: Any, other: Any) -> None:
    assert list(one) == list(other), name


def close(name: str, computed: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple):  # a sum and the scale of what was added: cancellation loses digits
        value, scale = wanted
        assert computed is not None, name
        assert math.isclose(computed, value, rel_tol=1e-9, abs_tol=1e-9 * scale), name
    else:
        assert computed == wanted, name


def oracle(
    feature_set: FeatureSet, table: list[dict[str, Any]], inputs: dict[str, list[Any]], times: list[int]
) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {name: [] for name in feature_set.names}
    for plan in feature_set.views:
        for number, moment in enumerate(times):
            key = [inputs[name][number] for name in plan.request]
            found = _counted(plan, table, key, moment)
            for column in plan.columns:
                newest = found[-1] if found and (plan.ttl is None or moment - found[-1][0] <= plan.ttl) else None
                answers[column.feature].append(_present(newest[2][column.column]) if newest else None)
            for window in plan.windows:
                answers[window.feature].append(_aggregate(window, plan.hop, found, moment))
    return answers


def _counted(plan: ViewPlan, table: list[dict[str, Any]], key: list[Any], moment: int) -> list[Any]:
    last = {(row["id"], row["ts"]): row for row in table}
    time = plan.source.time or ""
    rows = [
        (row[time], identity, row)
        for identity, row in last.items()
        if row[time] is not None
        and row[time] <= moment
        and None not in key
        and [row[name] for name in plan.key] == key
        and all(row[column] in wanted for column, wanted in plan.source.filters)
    ]
    return sorted(rows, key=lambda row: row[:2])


def _present(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _aggregate(window: Window, hop: int, found: list[Any], moment: int) -> Any:
    inside = [row for at, _, row in found if at > moment // hop * hop - window.length]
    if window.function == "count":
        return len(inside)
    values = [row[window.column] for row in inside if _present(row[window.column]) is not None]
    if not values:
        return None
    scale = sum(map(abs, values))
    match window.function:
        case "mean":
            return math.fsum(values) / len(values), scale
        case "total":
            return math.fsum(values), scale
        case "minimum":
            return min(values)
        case _:
            return max(values)


@given(
    table=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000), st.floats(-1e3, 1e3)), max_size=300),
    questions=st.lists(st.tuples(st.integers(0, 4), st.integers(-10, 3100)), min_size=1, max_size=50),
    hop=st.sampled_from([1, 7, 100, 5000]),
)
@settings(max_examples=60, deadline=None)
def test_the_array_kernel_agrees_with_brute_force_for_long_and_short_tiles(
    table: list[Any], questions: list[Any], hop: int
) -> None:
    from homeostat.features.windows import aggregate

    table = sorted(table, key=lambda row: row[:2])
    codes, at, x = (
        np.array([row[i] for row in table], dtype=kind) for i, kind in enumerate((np.int64, np.int64, float))
    )
    window = Window("sum", "total", "x", hop * 3)
    answer = aggregate(
        codes,
        at,
        {"x": x},
        np.array([code for code, _ in questions]),
        np.array([moment for _, moment in questions]),
        hop=hop,
        windows=(window, Window("rows", "count", None, hop * 3)),
    )
    for number, (code, moment) in enumerate(questions):
        inside = [v for c, a, v in table if c == code and moment // hop * hop - hop * 3 < a <= moment]
        assert answer["rows"][number] == len(inside)
        if inside:
            assert answer["sum"][number] == pytest.approx(math.fsum(inside), rel=1e-9, abs=1e-9 * sum(map(abs, inside)))
        else:
            assert math.isnan(answer["sum"][number])
