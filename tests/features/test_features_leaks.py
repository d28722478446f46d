"""The leak check: outcomes of the example's own row are refused, schedules and history are not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homeostat.features.leaks import check_leaks, label_columns
from homeostat.features.plan import compile_features
from homeostat.features.types import Feature, Source, View, column, count, mean, on_demand
from homeostat.ground.errors import Invalid, Refused

flights = Source("flights/*.parquet", time="sched_dep_ts", key="flight_id")
examples = flights.where(status="arrived")
LABEL = ("arr_delay_min", "arr_ts")


def check(features: Sequence[Feature], root: Path, *, source: Source = examples, label: Sequence[str] = LABEL) -> None:
    check_leaks(compile_features(features, examples=source, root=root), label, source, root)


def function_of(name: str) -> Feature:
    @on_demand(inputs=[name])
    def derived(value: Any) -> dict[str, float]:
        return {"known": float(value is not None)}

    return derived


def test_the_columns_of_a_label_expression_are_named() -> None:
    assert label_columns("arr_delay_min > 15 AND status = 'arrived'") == ("arr_delay_min", "status")
    with pytest.raises(Invalid, match="label"):
        label_columns("arr_delay_min >")


def test_honest_features_pass(airline: Path) -> None:
    history = View("h", flights.known_at("arr_ts"), key="carrier", hop="1h", aggregates=[mean("arr_delay_min", "1d")])
    scheduled = View("s", flights, key="origin", hop="1h", aggregates=[count("2h")])
    last = View("l", flights.known_at("arr_ts"), key="tailnum", select=["arr_delay_min"])
    check([history, scheduled, last, function_of("sched_dep_ts"), "distance_mi"], airline)


def test_a_schedule_in_the_future_passes_when_cancelled_flights_have_it_too(airline: Path) -> None:
    check([function_of("sched_arr_ts")], airline)


@pytest.mark.parametrize(
    ("feature", "name", "reason"),
    [
        ("arr_delay_min", "arr_delay_min", "label"),
        (function_of("arr_ts"), "arr_ts", "label"),
        ("air_time_min", "air_time_min", "empty in 100% of the examples without a label"),
        (function_of("air_time_min"), "air_time_min", "function derived"),
        (function_of("dep_ts"), "dep_ts", "empty in 100%"),
        (column("arr_delay_min", kind="category"), "arr_delay_min", "label"),
        (View("v", flights, key="tailnum", select=["air_time_min"]), "air_time_min", "view v"),
        (
            View("v", flights, key="carrier", hop="1h", aggregates=[mean("arr_delay_min", "1d")]),
            "arr_delay_min",
            "view v",
        ),
        (View("v", flights.known_at("sched_arr_ts"), key="tailnum", select=["air_time_min"]), "air_time_min", "view v"),
    ],
)
def test_an_outcome_is_refused_with_the_reason_and_the_mend(
    feature: Feature, name: str, reason: str, airline: Path
) -> None:
    with pytest.raises(Refused) as caught:
        check([feature], airline)
    assert caught.value.field == name
    assert name in caught.value.message
    assert reason in caught.value.message
    assert "known_at" in caught.value.next_step


def test_the_data_speaks_only_with_enough_examples_without_a_label(airline: Path, tmp_path: Path) -> None:
    flights_there = pl.read_parquet(airline / "flights" / "*.parquet")
    few = flights_there.filter((pl.col("status") == "arrived") | (pl.col("flight_id") < 150))
    assert few.filter(pl.col("status") == "cancelled").height < 20
    few.write_parquet(tmp_path / "flights.parquet")
    source = Source("flights.parquet", time="sched_dep_ts", key="flight_id")
    check(["air_time_min"], tmp_path, source=source)
    with pytest.raises(Refused, match=r"dep_ts .* after the prediction time"):
        check([function_of("dep_ts")], tmp_path, source=source)


def test_what_is_declared_later_is_refused_whatever_the_data_says(airline: Path) -> None:
    declared = Source(
        "flights/*.parquet",
        time="sched_dep_ts",
        key="flight_id",
        later={"dep_ts": ["gate"], "arr_ts": ["air_time_min"]},
    )
    for feature in ("gate", function_of("dep_ts")):
        with pytest.raises(Refused, match="declares it later"):
            check([feature], airline, source=declared)
    with pytest.raises(Refused, match="known at arr_ts"):  # departed is not arrived
        check(
            [View("v", declared.known_at("dep_ts"), key="tailnum", select=["air_time_min"])], airline, source=declared
        )
    check(
        [View("v", declared.known_at("arr_ts"), key="tailnum", select=["air_time_min", "gate"])],
        airline,
        source=declared,
    )


def test_a_timestamp_after_the_prediction_time_is_refused_without_unlabelled_rows(tmp_path: Path) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=hour) for hour in range(30)]
    pl.DataFrame(
        {"id": range(30), "at": moments, "closed": [moment + timedelta(days=2) for moment in moments], "y": [1.0] * 30}
    ).write_parquet(tmp_path / "cases.parquet")
    cases = Source("cases.parquet", time="at", key="id")
    with pytest.raises(Refused, match=r"closed .* after the prediction time at in 100%"):
        check([function_of("closed")], tmp_path, source=cases, label=["y"])


def test_a_label_column_that_does_not_exist_is_named(airline: Path) -> None:
    with pytest.raises(Invalid, match="arr_delay_min"):
        check(["distance_mi"], airline, label=["arr_delay"])
