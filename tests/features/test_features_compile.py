"""Compiling a declaration: what comes out, and that every mistake is named with its mend."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from homeostat.features.compiled import source_from_dict, source_to_dict
from homeostat.features.plan import compile_features
from homeostat.features.types import Feature, Source, View, column, count, mean, on_demand, total
from homeostat.ground.clock import HOUR
from homeostat.ground.errors import Conflict, HomeostatError, Invalid, Refused, UserCodeFailed

flights = Source("flights/*.parquet", time="sched_dep_ts", key="flight_id")
weather = Source("weather.csv", time="ts", key="airport")
planes = Source("planes.parquet", key="tailnum")
now = View("weather_now", weather, ttl="3h", select=["temp_f", "sky"])
history = View(
    "carrier_history",
    flights.known_at("arr_ts"),
    key="carrier",
    hop="1h",
    aggregates=[mean("arr_delay_min", "1d", "2d"), count("2d")],
)


@on_demand(inputs=["sched_dep_ts"])
def calendar(ts: datetime) -> dict[str, Any]:
    return {"hour": ts.hour, "part": "morning" if ts.hour < 12 else "evening"}


def test_the_declaration_of_the_design_compiles_to_ordered_features_and_request_columns(airline: Path) -> None:
    features = [now.on(airport="origin"), history, View("plane", planes, select=["seats"]), calendar, "distance_mi"]
    compiled = compile_features(features, examples=flights.where(status="arrived"), root=airline)
    assert dict(zip(compiled.names, compiled.kinds, strict=True)) == {
        "weather_now.temp_f": "number",
        "weather_now.sky": "category",
        "carrier_history.arr_delay_min_mean_1d": "number",
        "carrier_history.arr_delay_min_mean_2d": "number",
        "carrier_history.count_2d": "number",
        "plane.seats": "number",
        "calendar.hour": "number",
        "calendar.part": "category",
        "distance_mi": "number",
    }
    assert [(wanted.name, wanted.dtype) for wanted in compiled.inputs] == [
        ("origin", "string"),
        ("carrier", "string"),
        ("tailnum", "string"),
        ("sched_dep_ts", "time"),
        ("distance_mi", "number"),
    ]
    specs = {spec.name: spec for spec in compiled.source_specs()}
    assert specs["flights"].times == ("sched_dep_ts", "arr_ts")
    assert specs["weather"].key == ("airport",)
    assert specs["planes"].times == ()


def test_the_hash_changes_with_every_definition_and_with_nothing_else(airline: Path) -> None:
    def hash_of(*features: Feature) -> str:
        return compile_features(features, examples=flights, root=airline).hash

    first = hash_of(now.on(airport="origin"), calendar)
    assert first == hash_of(now.on(airport="origin"), calendar)
    assert first != hash_of(calendar, now.on(airport="origin"))
    assert first != hash_of(now.on(airport="dest"), calendar)
    assert first != hash_of(
        View("weather_now", weather, ttl="2h", select=["temp_f", "sky"]).on(airport="origin"), calendar
    )
    assert _doubling(2, hash_of) == _doubling(2, hash_of)
    assert _doubling(2, hash_of) != _doubling(3, hash_of)


def _doubling(factor: int, hash_of: Callable[..., str]) -> str:
    @on_demand(inputs=["distance_mi"])
    def scaled(miles: float) -> dict[str, float]:
        return {"miles": miles * factor}  # a constant from outside counts

    return hash_of(scaled)


def test_a_derived_view_narrows_and_shortens_its_base(airline: Path) -> None:
    short = View("short", now, ttl="1h", select={"temperature": "temp_f"})
    by_name = View("by_name", "weather_now", select=["sky"])
    features = [now.on(airport="origin"), short.on(airport="origin"), by_name.on(airport="dest")]
    compiled = compile_features(features, examples=flights, root=airline)
    assert compiled.names == ("weather_now.temp_f", "weather_now.sky", "short.temperature", "by_name.sky")
    assert [view.ttl for view in compiled.views] == [3 * HOUR, HOUR, 3 * HOUR]


def test_a_view_of_windows_can_be_narrowed_too(airline: Path) -> None:
    compiled = compile_features([View("busy", history, select=["count_2d"])], examples=flights, root=airline)
    assert compiled.names == ("busy.count_2d",)


def test_functions_may_take_features_and_each_other(airline: Path) -> None:
    last = View("last", flights.known_at("arr_ts"), key="tailnum", select=["arr_ts", "arr_delay_min"])

    @on_demand(inputs=["second.twice", "sched_dep_ts", "last.arr_ts"])
    def third(twice: float | None, ts: datetime, landed: datetime | None) -> dict[str, float | None]:
        return {"rest": None if landed is None else (ts - landed).total_seconds() + (twice or 0)}

    @on_demand(inputs=["last.arr_delay_min"])
    def second(delay: float | None) -> dict[str, float | None]:
        return {"twice": None if delay is None else 2 * delay}

    compiled = compile_features([third, second, last], examples=flights, root=airline)
    assert [plan.name for plan in compiled.functions] == ["second", "third"]
    assert compiled.names == ("third.rest", "second.twice", "last.arr_delay_min")  # the time only feeds a function


def test_a_number_can_be_declared_a_category(airline: Path) -> None:
    assert compile_features([column("gate", kind="category")], examples=flights, root=airline).kinds == ("category",)


@on_demand(inputs=["b.x"])
def a(x: float) -> dict[str, float]:
    return {"x": x}


@on_demand(inputs=["a.x"])
def b(x: float) -> dict[str, float]:
    return {"x": x}


@on_demand(inputs=["carier"])
def misspelt(x: str) -> dict[str, str]:
    return {"x": x}


@on_demand(inputs=["calendar.minute"])
def wrong_output(x: float) -> dict[str, float]:
    return {"x": x}


@on_demand(inputs=["distance_mi"])
def raising(x: float) -> dict[str, float]:
    return {"x": x / 0}


@on_demand(inputs=["distance_mi"])
def a_time(x: float) -> dict[str, Any]:
    return {"x": datetime.fromtimestamp(x, UTC)}


circle = View("a", View("b", "a", select=["x"]), select=["x"])

MISTAKES: dict[str, tuple[list[Any], type[HomeostatError], list[str]]] = {
    "view column": ([View("w", weather, select=["temp_c"]).on(airport="origin")], Invalid, ["temp_c", "temp_f"]),
    "aggregate column": (
        [View("w", weather, hop="1h", aggregates=[mean("temp", "1d")]).on(airport="origin")],
        Invalid,
        ["temp", "did you mean 'temp_f'"],
    ),
    "aggregate of a text": (
        [View("w", weather, hop="1h", aggregates=[total("sky", "1d")]).on(airport="origin")],
        Invalid,
        ["sky", "string"],
    ),
    "view key": ([View("w", flights, key="carier", select=["dest"])], Invalid, ["carier", "'carrier'"]),
    "binding": ([now.on(airport="orign")], Invalid, ["orign", "'origin'"]),
    "binding key": ([now.on(airpot="origin")], Invalid, ["airpot", "'airport'"]),
    "no binding": ([now], Invalid, ["airport", ".on(airport=...)"]),
    "binding type": ([now.on(airport="distance_mi")], Invalid, ["distance_mi", "number", "string"]),
    "raw column": (["distance"], Invalid, ["distance", "'distance_mi'"]),
    "function input": ([misspelt], Invalid, ["carier", "misspelt", "'carrier'"]),
    "function output": ([calendar, wrong_output], Invalid, ["calendar.minute", "wrong_output", "calendar."]),
    "source time": (
        [View("w", Source("weather.csv", time="tz", key="airport"), select=["sky"]).on(airport="origin")],
        Invalid,
        ["tz", "known: ts"],
    ),
    "time that is none": (
        [View("w", Source("weather.csv", time="sky", key="airport"), select=["temp_f"]).on(airport="origin")],
        Invalid,
        ["sky"],
    ),
    "known_at": ([View("h", flights.known_at("arr_tz"), select=["dest"])], Invalid, ["arr_tz", "'arr_ts'"]),
    "where": ([View("h", flights.where(state="arrived"), select=["dest"])], Invalid, ["state", "'status'"]),
    "later": (
        [
            View(
                "h",
                Source("flights/*.parquet", time="sched_dep_ts", key="flight_id", later={"arr_ts": "delay"}),
                select=["dest"],
            )
        ],
        Invalid,
        ["delay"],
    ),
    "source key": ([View("h", Source("planes.parquet", key="tail"), select=["seats"])], Invalid, ["tail", "'tailnum'"]),
    "no file": ([View("h", Source("plans.parquet", key="tailnum"), select=["seats"])], Invalid, ["plans.parquet"]),
    "two views of a name": ([now.on(airport="origin"), now.on(airport="dest")], Invalid, ["weather_now", "derive"]),
    "two raw of a name": (["distance_mi", "distance_mi"], Invalid, ["distance_mi"]),
    "ttl": ([View("w", weather, ttl="3 hours", select=["sky"]).on(airport="origin")], Invalid, ["3 hours", "view w"]),
    "ttl of 0": ([View("w", weather, ttl="0s", select=["sky"]).on(airport="origin")], Invalid, ["0s"]),
    "ttl of a static table": ([View("p", planes, ttl="1d", select=["seats"])], Invalid, ["ttl", "time"]),
    "hop": ([View("h", flights, hop="hourly", aggregates=[count("1d")])], Invalid, ["hourly", "hop"]),
    "no hop": ([View("h", flights, aggregates=[count("1d")])], Invalid, ["hop"]),
    "window": ([View("h", flights, hop="1h", aggregates=[count("a week")])], Invalid, ["a week", "window"]),
    "no window": ([View("h", flights, hop="1h", aggregates=[count()])], Invalid, ["count", "window"]),
    "window off the hop": ([View("h", flights, hop="2h", aggregates=[count("5h")])], Invalid, ["5h", "2h", "6h"]),
    "window twice": ([View("h", flights, hop="1h", aggregates=[count("5h", "5h")])], Invalid, ["count_5h", "twice"]),
    "windows without time": ([View("p", planes, hop="1h", aggregates=[count("5h")])], Invalid, ["time"]),
    "windows and select": (
        [View("h", flights, hop="1h", aggregates=[count("5h")], select=["dest"])],
        Invalid,
        ["select"],
    ),
    "nothing selected": ([View("p", planes)], Invalid, ["select"]),
    "a time as feature": (["sched_arr_ts"], Invalid, ["sched_arr_ts", "hs.on_demand"]),
    "a time of a view": ([View("h", flights, select=["sched_arr_ts"])], Invalid, ["h.sched_arr_ts", "hs.on_demand"]),
    "a time of a function": ([a_time], Refused, ["a_time", "x"]),
    "views in a circle": ([circle], Refused, ["a -> b -> a"]),
    "views in a circle by name": (
        [View("a", "b", select=["x"]), View("b", "a", select=["x"])],
        Refused,
        ["a -> b -> a"],
    ),
    "functions in a circle": ([a, b], Refused, ["a -> b -> a"]),
    "base view": ([View("w", "weather_nw", select=["sky"])], Invalid, ["weather_nw"]),
    "base column": ([View("w", now, select=["skies"]).on(airport="origin")], Invalid, ["skies", "known: temp_f, sky"]),
    "derived key": ([View("w", now, key="ts", select=["sky"]).on(airport="origin")], Invalid, ["key"]),
    "failing function": ([raising], UserCodeFailed, ["raising", "ZeroDivisionError", "distance_mi="]),
    "sources of one name": (
        [
            View("w", weather, select=["sky"]).on(airport="origin"),
            View("p", Source("planes.parquet", key="tailnum", name="weather"), select=["seats"]),
        ],
        Conflict,
        ["weather"],
    ),
    "kind": ([column("gate", kind="class")], Invalid, ["class"]),
    "kind of a text": ([column("origin", kind="number")], Invalid, ["origin"]),
    "not a feature": ([3], Invalid, ["3"]),
    "nothing": ([], Invalid, ["empty"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_name_and_a_mend(mistake: str, airline: Path) -> None:
    features, error, words = MISTAKES[mistake]
    with pytest.raises(error) as caught:
        compile_features(features, examples=flights, root=airline)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.next_step
    assert caught.value.field


def test_source_names_come_from_their_path() -> None:
    def name(path: str) -> str:
        return Source(path, key="id").name

    assert name("flights/*.parquet") == "flights"
    assert name("data/flights/year=*/part-*.parquet") == "flights"
    assert name("data/weather.parquet") == "weather"
    assert name("in/flights-*.csv") == "flights"
    with pytest.raises(Invalid, match="name="):
        name("*.parquet")


def test_a_source_travels_as_plain_data() -> None:
    source = (
        Source("f.parquet", time="ts", key=["a", "b"], later={"arr_ts": ["delay"]}).known_at("arr_ts").where(x=[1, 2])
    )
    assert source_from_dict(source_to_dict(source)) == source


def test_the_declaration_loads_no_heavy_library() -> None:
    code = (
        "import sys, homeostat.features.types; print([m for m in ('numpy','polars','sqlalchemy') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_serving_features_loads_no_frame_library() -> None:
    code = "import sys, homeostat.features.online; print('polars' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
