"""A hundred thousand runs of 20 metrics in our server: to load, search, count and compare."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.tracking.lines import Line, below, own_line
from benchmarks.tracking.population import Population, load_ours, make_population
from benchmarks.tracking.searching import FILTERED, NEWEST, PAGE, PATH, request
from benchmarks.tracking.servers import running, start_ours
from benchmarks.tracking.wire import Wire

RUNS = 100_000
COMPARED = 100
ROUNDS = 11


def run() -> Iterator[Line]:
    """Over HTTP throughout; searching by both APIs."""
    with (
        TemporaryDirectory(prefix="bench-tracking-", ignore_cleanup_errors=True) as folder,
        running(start_ours(Path(folder))) as server,
        Wire(server.url) as wire,
    ):
        people = make_population(RUNS)
        started = time.perf_counter()
        project = load_ours(wire, people, "many")
        seconds = time.perf_counter() - started
        yield own_line("100k runs x 20 metrics, loading", [RUNS / seconds], "runs/s") | {"seconds": round(seconds, 1)}

        counted = {"filter": FILTERED["filter"], "projects": ["many"]}
        if wire.post("/api/runs/count", counted)["count"] != _matching(people):
            raise RuntimeError("the server counted other runs than there are")
        found = counted | {"order_by": FILTERED["order_by"], "limit": PAGE}
        limit = below(50, "ms")
        asked = {
            "filter, metric order, page of 100": (PATH, request(FILTERED, project), limit),
            "plain page of 100": (PATH, request(NEWEST, project), limit),
            "filter, metric order, page of 100, native": ("/api/runs/search", _json(found), limit),
            "count of what the filter lets through": ("/api/runs/count", _json(counted)),
            f"compare {COMPARED} runs": ("/api/runs/compare", _json({"runs": people.ids[:COMPARED]})),
        }
        for name, (path, body, *goals) in asked.items():
            yield own_line(f"100k runs, {name}", _milliseconds(wire, path, body), "ms", *goals)
        for kind, size in zip(("PSS", "RSS"), server.memory(), strict=False):
            yield own_line(f"server memory {kind}, with 100k runs", [size], "MiB")


def _matching(people: Population) -> int:
    pairs = zip(people.letters, people.metrics[:, 0], strict=True)
    return sum(letter == "a" and value > 0.5 for letter, value in pairs)


def _milliseconds(wire: Wire, path: str, body: bytes) -> list[float]:
    wire.timed("POST", path, body)
    return [wire.timed("POST", path, body) * 1000 for _ in range(ROUNDS)]


def _json(body: dict[str, object]) -> bytes:
    return json.dumps(body).encode()
