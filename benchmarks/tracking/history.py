"""One series of 100,000 points read for a chart of 1,000, and whole."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import numpy as np

from benchmarks.lines import Line, below, cost_line, measure_pairs
from benchmarks.tracking.ingesting import ingest
from benchmarks.tracking.servers import peer_database
from benchmarks.tracking.stage import Stage
from benchmarks.tracking.wire import MLFLOW, Wire
from homeostat.tracking.ops import Series

POINTS = 100_000
CHART = 1_000
_FIRST = 1_700_000_000_000
_ROW = "(key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', ?, ?, ?, 0, ?)"


def run(stage: Stage) -> Iterator[Line]:
    """Milliseconds until the whole answer is here."""
    steps = np.arange(POINTS)
    values = np.random.default_rng(7).standard_normal(POINTS).cumsum()
    ours, peer = (wire.new_run() for wire in stage.wires)
    at = (_FIRST + steps) * 1000
    ingest(stage.ours.url, [[Series(ours, "loss", steps.tobytes(), at.tobytes(), values.tobytes())]])
    _load_peer(stage, peer, steps.tolist(), values.tolist())

    chart = f"/api/runs/{ours}/metrics/loss?points={CHART}"
    bulk = urlencode({"run_ids": peer, "metric_key": "loss", "max_results": CHART})
    bulk = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{bulk}"
    pairs = measure_pairs(
        lambda: stage.our_wire.timed("GET", chart) * 1000,
        lambda: stage.peer_wire.timed("GET", bulk) * 1000,
        count=5,
    )
    yield cost_line("history of 100k points, downsampled to 1,000", pairs, "ms", below(20, "ms"))
    whole = measure_pairs(
        lambda: _read_whole(stage.our_wire, ours), lambda: _read_whole(stage.peer_wire, peer), count=2
    )
    yield cost_line("history of 100k points, whole by MLflow's get-history", whole, "ms")


def _read_whole(wire: Wire, run_id: str) -> float:
    """Milliseconds for all pages of 25,000."""
    started, token, seen = time.perf_counter(), "", 0
    while True:
        query = {"run_id": run_id, "metric_key": "loss", "max_results": 25_000}
        page = wire.get(f"{MLFLOW}/metrics/get-history?{urlencode(query | ({'page_token': token} if token else {}))}")
        seen += len(page["metrics"])
        token = page.get("next_page_token", "")
        if not token:
            break
    if seen != POINTS:
        raise RuntimeError(f"{seen} points came back of {POINTS}")
    return (time.perf_counter() - started) * 1000


def _load_peer(stage: Stage, run_id: str, steps: list[int], values: list[float]) -> None:
    """As the rows that MLflow's store keeps: by its API they would take half a minute."""
    database = peer_database(stage.peer.folder)
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        rows = ((value, _FIRST + step, step, run_id) for step, value in zip(steps, values, strict=True))
        connection.executemany(f"INSERT INTO metrics {_ROW}", rows)
        last = (values[-1], _FIRST + steps[-1], steps[-1], run_id)
        connection.execute(f"INSERT INTO latest_metrics {_ROW}", last)
