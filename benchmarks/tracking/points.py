"""Batched metric points over HTTP: ours by the native client and by MLflow's API, the peer by the only way it has."""

import json
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.lines import Line, above, measure_pairs, rate_line, times_better
from benchmarks.tracking.stage import Stage, arrived
from benchmarks.tracking.wire import MLFLOW, Wire

BATCH = 1_000
"""Points; MLflow takes no more in one request."""
PEER_BATCHES = 10
NATIVE_POINTS = 2_000_000
_FIRST = 1_700_000_000_000


def run(stage: Stage) -> Iterator[Line]:
    """Points a second until the server has acknowledged the last."""

    def peer() -> float:
        return log_batches(stage.peer_wire, PEER_BATCHES)

    goals = (times_better(100), above(1e6, "points/s"))
    native = measure_pairs(lambda: log_natively(stage), peer, count=3)
    yield rate_line("metric points, ours by the native client", native, "points/s", *goals)
    same = measure_pairs(lambda: log_batches(stage.our_wire, PEER_BATCHES), peer, count=3)
    yield rate_line("metric points, both by MLflow's log-batch of 1000", same, "points/s")


def log_batches(wire: Wire, batches: int) -> float:
    """MLflow's `runs/log-batch`, the bodies made beforehand and sent bare: what its server can take, not its client."""
    run_id = wire.new_run()
    bodies = [_body(run_id, batch) for batch in range(batches)]
    started = time.perf_counter()
    for body in bodies:
        wire.send("POST", f"{MLFLOW}/runs/log-batch", body)
    return batches * BATCH / (time.perf_counter() - started)


def _body(run_id: str, batch: int) -> bytes:
    steps = range(batch * BATCH, (batch + 1) * BATCH)
    points = [{"key": "loss", "value": 1 / (step + 1), "step": step, "timestamp": _FIRST + step} for step in steps]
    return json.dumps({"run_id": run_id, "metrics": points}).encode()


def log_natively(stage: Stage) -> float:
    """The whole client, until everything is acknowledged: spool, sender, server."""
    steps = np.arange(NATIVE_POINTS)
    values = np.random.default_rng(1).random(NATIVE_POINTS)
    started = time.perf_counter()
    with stage.native_run("points") as run:
        run.log_series("loss", values, steps=steps)
        arrived(run)
        return NATIVE_POINTS / (time.perf_counter() - started)
