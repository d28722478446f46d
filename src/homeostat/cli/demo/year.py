"""The year as a stream: what becomes known, what is asked and what turns out to be true, hour by hour."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from homeostat.ground.clock import HOUR

SLICE = 3 * HOUR
"""Event time that one round of requests covers; every row still carries its own time."""


LANDED = ("flight_id", "carrier", "tailnum", "origin", "sched_dep_ts", "arr_ts", "arr_delay_min")
"""What is told of a flight that has landed: its key, its times, and what the views read."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of event time, `start` inclusive, `end` exclusive."""

    start: int
    end: int
    weather: list[dict[str, Any]]
    landed: list[dict[str, Any]]
    """Rows of flights that landed, as the source has them."""
    departing: dict[str, list[Any]]
    """Request columns of flights that are due to depart, with request_id and request_time."""
    labels: list[dict[str, Any]]
    """What was true for flights that landed and had been asked about."""


class Year:
    """The tables between two moments, cut into slices."""

    def __init__(self, folder: Path, inputs: list[str], *, start: int, end: int) -> None:
        import polars as pl

        self.start = start
        self.end = end
        flights = pl.read_parquet(folder / "flights.parquet")
        times = {name: pl.col(name).dt.epoch("us") for name in ("sched_dep_ts", "sched_arr_ts", "dep_ts", "arr_ts")}
        flights = flights.with_columns(**times)
        weather = pl.read_parquet(folder / "weather.parquet").with_columns(pl.col("ts").dt.epoch("us"))
        self._weather = _cut(weather, "ts", start, end)
        self._landed = _cut(flights.select(LANDED), "arr_ts", start, end)
        asked = flights.select(
            pl.format("flight-{}", "flight_id").alias("request_id"),
            pl.col("sched_dep_ts").alias("request_time"),
            *inputs,
        )
        self._departing = _cut(asked, "request_time", start, end)
        labels = flights.filter(pl.col("sched_dep_ts") >= start).select(
            pl.format("flight-{}", "flight_id").alias("request_id"),
            (pl.col("arr_delay_min") > 15).alias("value"),
            pl.col("arr_ts").alias("at"),
        )
        self._labels = _cut(labels.filter(pl.col("value").is_not_null()), "at", start, end)

    @property
    def predictions(self) -> int:
        return sum(len(frame) for frame in self._departing.values())

    @property
    def labels(self) -> int:
        return sum(len(frame) for frame in self._labels.values())

    def slices(self) -> Iterator[Slice]:
        for index in range((self.end - self.start + SLICE - 1) // SLICE):
            start = self.start + index * SLICE
            departing = self._departing.get(index)
            yield Slice(
                start=start,
                end=min(start + SLICE, self.end),
                weather=_rows(self._weather.get(index)),
                landed=_rows(self._landed.get(index)),
                departing={} if departing is None else departing.to_dict(as_series=False),
                labels=_rows(self._labels.get(index)),
            )


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [] if frame is None else frame.to_dicts()


def _cut(frame: Any, column: str, start: int, end: int) -> dict[int, Any]:
    """The rows of each slice by its number."""
    import polars as pl

    inside = frame.filter(pl.col(column) >= start, pl.col(column) < end).sort(column)
    number = ((pl.col(column) - start) // SLICE).alias("_slice")
    parts = inside.with_columns(number).partition_by("_slice", as_dict=True, include_key=False)
    return {int(key[0]): part for key, part in parts.items()}
