"""A hundred thousand runs of 20 metrics in our server: to load, search, count and compare."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.lines import Line, below, own_line
from benchmarks.processes import running
from benchmarks.tracking.our_rows import write_rows
from benchmarks.tracking.population import load_ours, make_population
from benchmarks.tracking.searching import FILTERED, NEWEST, PAGE, PATH, must_find, request
from benchmarks.tracking.servers import start_ours
from benchmarks.tracking.wire import Wire

RUNS = 100_000
SENT = 5_000
"""Runs that come in over HTTP, to time it; the rest are written as rows, or loading alone would take minutes."""
COMPARED = 100
ROUNDS = 11


def run() -> Iterator[Line]:
    """Over HTTP, searching by both APIs."""
    with (
        TemporaryDirectory(prefix="bench-tracking-", ignore_cleanup_errors=True) as folder,
        running(start_ours(Path(folder))) as server,
        Wire(server.url) as wire,
    ):
        people = make_population(RUNS)
        started = time.perf_counter()
        project = load_ours(wire, people.first(SENT), "many")
        rate = SENT / (time.perf_counter() - started)
        yield own_line("loading runs of 20 metrics and 10 params", [rate], "runs/s")
        write_rows(Path(folder) / "home" / "catalogue.db", people, first=SENT, project=int(project))
        yield from _questions(wire, project, people.found(), people.ids[:COMPARED])
        for kind, size in zip(("PSS", "RSS"), server.memory(), strict=False):
            yield own_line(f"server memory {kind}, with 100k runs", [size], "MiB")


def _questions(wire: Wire, project: str, found: list[str], compared: list[str]) -> Iterator[Line]:
    filtered, newest = request(FILTERED, project), request(NEWEST, project)
    must_find(wire, filtered, found[:PAGE])
    counted = {"filter": FILTERED["filter"], "projects": ["many"]}
    if wire.post("/api/runs/count", counted)["count"] != len(found):
        raise RuntimeError("the server counted other runs than it holds")
    native = counted | {"order_by": FILTERED["order_by"], "limit": PAGE}
    limit = below(50, "ms")
    yield own_line("search 100k runs, filter, metric order, page of 100", _times(wire, PATH, filtered), "ms", limit)
    yield own_line("search 100k runs, plain page, page of 100", _times(wire, PATH, newest), "ms", limit)
    yield own_line(
        "search 100k runs, filter, metric order, native", _times(wire, "/api/runs/search", native), "ms", limit
    )
    yield own_line("count of 100k runs with the filter", _times(wire, "/api/runs/count", counted), "ms")
    yield own_line("compare 100 of 100k runs", _times(wire, "/api/runs/compare", {"runs": compared}), "ms")


def _times(wire: Wire, path: str, body: bytes | dict[str, Any]) -> list[float]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    wire.timed("POST", path, sent)
    return [wire.timed("POST", path, sent) * 1000 for _ in range(ROUNDS)]
