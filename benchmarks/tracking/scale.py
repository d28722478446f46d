"""A hundred thousand runs of 20 metrics in our server: to load, search, count and compare."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.tracking.lines import Line, below, own_line
from benchmarks.tracking.population import load_ours, make_population
from benchmarks.tracking.searching import FILTERED, PATH, request
from benchmarks.tracking.servers import running, start_ours
from benchmarks.tracking.wire import Wire

RUNS = 100_000
ROUNDS = 15


def run() -> Iterator[Line]:
    """Over HTTP throughout."""
    with (
        TemporaryDirectory(prefix="bench-tracking-") as folder,
        running(start_ours(Path(folder))) as server,
        Wire(server.url) as wire,
    ):
        people = make_population(RUNS)
        started = time.perf_counter()
        project = load_ours(wire, people, "many")
        seconds = time.perf_counter() - started
        yield own_line("100k runs x 20 metrics, loading", [RUNS / seconds], "runs/s") | {"seconds": round(seconds, 1)}
        newest = request({"order_by": ["attributes.start_time DESC"]}, project)
        filtered = request(FILTERED, project)
        for name, ask in {
            "plain page of 100": lambda: wire.timed("POST", PATH, newest),
            "filter and metric order, page of 100": lambda: wire.timed("POST", PATH, filtered),
        }.items():
            yield own_line(f"100k runs, {name}", _milliseconds(ask), "ms", below(50, "ms"))


def _milliseconds(ask: Callable[[], float]) -> list[float]:
    ask()
    return [ask() * 1000 for _ in range(ROUNDS)]
