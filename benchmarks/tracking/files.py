"""A thousand small files as a run's artifacts: our client, and the unchanged MLflow client on both servers."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lines import Line, Pair, cost_line, times_better
from benchmarks.tracking.stage import Stage, arrived

FILES = 1_000
BYTES = 1_000
ROUNDS = 3


def run(stage: Stage) -> Iterator[Line]:
    """Seconds for a folder."""
    with stage.mlflow_clients() as (on_ours, on_peer):
        ways: list[Callable[[str], float]] = [
            lambda folder: log_natively(stage, folder),
            lambda folder: on_ours.call("log_artifacts", folder=folder),
            lambda folder: on_peer.call("log_artifacts", folder=folder),
        ]
        rounds = [[_with_fresh_files(way) for way in ways] for _ in range(ROUNDS)]
    native = [Pair(ours, peer) for ours, _, peer in rounds]
    same = [Pair(ours, peer) for _, ours, peer in rounds]
    yield cost_line("1,000 artifacts of 1 kB, ours by the native client", native, "s", times_better(10))
    yield cost_line("1,000 artifacts of 1 kB, both by the MLflow client", same, "s")


def log_natively(stage: Stage, folder: str) -> float:
    """The whole client, until the server has every file."""
    started = time.perf_counter()
    with stage.native_run("files") as run:
        run.artifacts(folder)
        arrived(run)
        return time.perf_counter() - started


def _with_fresh_files(way: Callable[[str], float]) -> float:
    """Every round writes other bytes: a file that the server has already would not be sent."""
    with TemporaryDirectory() as folder:
        for number in range(FILES):
            (Path(folder) / f"{number:04}.bin").write_bytes(random.randbytes(BYTES))
        return way(folder)
