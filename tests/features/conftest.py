"""A small airline in files: flights with outcomes that are known late, hourly weather, a static table of planes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

TIME = pl.Datetime("us", "UTC")
START = datetime(2024, 3, 1, tzinfo=UTC)
COUNT = 400


def flight(number: int) -> dict[str, object]:
    """Every tenth flight is cancelled: it has no outcome."""
    scheduled = START + timedelta(minutes=15 * number)
    cancelled = number % 10 == 9
    delay = (number * 7) % 40 - 10
    return {
        "flight_id": number,
        "sched_dep_ts": scheduled,
        "sched_arr_ts": scheduled + timedelta(hours=2),
        "carrier": "AB"[number % 2] + "A",
        "tailnum": None if number % 17 == 0 else f"N{number % 5}",
        "origin": ["JFK", "LGA", "EWR"][number % 3],
        "dest": ["LGA", "EWR", "JFK"][number % 3],
        "distance_mi": 100 + number % 7,
        "gate": number % 4,
        "dep_ts": None if cancelled else scheduled + timedelta(minutes=5),
        "arr_ts": None if cancelled else scheduled + timedelta(hours=2, minutes=delay),
        "arr_delay_min": None if cancelled else delay,
        "air_time_min": None if cancelled else 100,
        "status": "cancelled" if cancelled else "arrived",
    }


@pytest.fixture(scope="session")
def airline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with flights/*.parquet, weather.csv and planes.parquet."""
    root = tmp_path_factory.mktemp("airline")
    flights = pl.DataFrame([flight(number) for number in range(COUNT)], infer_schema_length=None)
    (root / "flights").mkdir()
    flights[: COUNT // 2].write_parquet(root / "flights" / "2024-03-a.parquet")
    flights[COUNT // 2 :].write_parquet(root / "flights" / "2024-03-b.parquet")
    hours = [START + timedelta(hours=hour) for hour in range(-2, 100)]
    pl.DataFrame(
        {
            "ts": [hour for hour in hours for _ in range(3)],
            "airport": ["JFK", "LGA", "EWR"] * len(hours),
            "temp_f": [40.0 + number % 30 for number in range(3 * len(hours))],
            "sky": [["clear", "rain"][number % 2] for number in range(3 * len(hours))],
        }
    ).write_csv(root / "weather.csv")
    pl.DataFrame({"tailnum": [f"N{i}" for i in range(4)], "seats": [100, 120, None, 180]}).write_parquet(
        root / "planes.parquet"
    )
    return root
