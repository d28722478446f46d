"""Somebody else's serving: knows nothing of Homeostat but its address. `python outside_script.py URL FOLDER DAY DAYS`.

Scores flights of some days with a model of its own, posts what it answered, and the labels of flights that have landed.
From the day `BROKEN` on its distances are in kilometres.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import polars as pl

START = datetime(2013, 2, 1, tzinfo=UTC)
BROKEN = START + timedelta(days=9)
NUMBERS = ["temp_f", "wind_speed_mph", "visibility_mi", "distance_mi"]
COLUMNS = [*NUMBERS, "origin", "carrier"]


def flights(folder: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Arrived flights with the weather where they left, a few hundred a day."""
    weather = pl.read_parquet(f"{folder}/weather.parquet").select("airport", "ts", *NUMBERS[:3])
    found = pl.read_parquet(f"{folder}/flights.parquet").filter(
        (pl.col("sched_dep_ts") >= start) & (pl.col("sched_dep_ts") < end) & (pl.col("flight_id") % 3 == 0)
    )
    hour = pl.col("sched_dep_ts").dt.truncate("1h")
    return found.with_columns(ts=hour).join(weather, left_on=["origin", "ts"], right_on=["airport", "ts"], how="left")


def score(rows: pl.DataFrame) -> np.ndarray:
    """The chance of being late, by a rule of thumb: delays add up over the day."""
    hour = (rows["sched_dep_ts"].dt.hour().to_numpy() - 9) % 24  # the day begins at nine, UTC
    return 1 / (1 + np.exp(2.4 - 0.12 * hour))


def rows_of(frame: pl.DataFrame) -> list[dict[str, object]]:
    scored = frame.with_columns(score=pl.Series(score(frame)), time=pl.col("sched_dep_ts").dt.to_string("iso:strict"))
    return scored.select("time", "score", *COLUMNS, request_id=pl.format("flight-{}", "flight_id")).to_dicts()


def main() -> None:
    url, folder, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    start = START + timedelta(days=first)
    end = start + timedelta(days=count)
    frame = flights(folder, start, end)
    rows = rows_of(frame)
    for row, at in zip(rows, frame["sched_dep_ts"], strict=True):
        if at >= BROKEN:
            row["distance_mi"] = row["distance_mi"] * 1.609
    landed = flights(folder, max(START, start - timedelta(days=2)), end).filter(pl.col("arr_ts") < end)
    labels = [
        {"request_id": f"flight-{number}", "value": delay > 15, "at": at.isoformat()}
        for number, delay, at in landed.select("flight_id", "arr_delay_min", "arr_ts").iter_rows()
    ]
    with httpx.Client(base_url=url, timeout=60) as http:
        taken = http.post("/predictions", json={"model": "late-elsewhere", "rows": rows}).raise_for_status().json()
        known = http.post("/labels", json={"model": "late-elsewhere", "labels": labels}).raise_for_status().json()
    print(json.dumps({"predictions": taken, "labels": known, "sent": len(rows)}))  # noqa: T201  its answer


if __name__ == "__main__":
    main()
