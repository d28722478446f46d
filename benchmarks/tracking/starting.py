"""From nothing to the first answer, and what the servers weigh before anybody has asked them anything."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lines import Line, Pair, below, cost_line, times_better
from benchmarks.processes import Server, running
from benchmarks.tracking.servers import start_ours, start_peer

RESTARTS = 3
SETTLE_SECONDS, SETTLE_TRIES = 4, 8
"""MLflow's helper processes start after its first answer: memory is taken when it has stopped to grow."""
Memory = tuple[float, float, int]


def run() -> Iterator[Line]:
    """Over an empty folder, then over one that is there."""
    with TemporaryDirectory(prefix="bench-tracking-", ignore_cleanup_errors=True) as name:
        places = [Path(name) / who for who in ("ours", "peer")]
        for place in places:
            place.mkdir()
        starts: list[Callable[[], Server]] = [lambda: start_ours(places[0]), lambda: start_peer(places[1])]
        first = Pair(*(_ready(start) for start in starts))
        yield cost_line("start to ready, empty folder", [first], "s", below(1, "s"))
        again = [Pair(*(_ready(start) for start in starts)) for _ in range(RESTARTS)]
        yield cost_line("start to ready", again, "s", below(1, "s"))
        ours, peer = (_idle(start) for start in starts)
        yield from memory_lines("idle", ours, peer)
        four = _idle(lambda: start_peer(places[1], workers=4))
        yield from memory_lines("idle, peer with its default of 4 workers", ours, four)


def memory_lines(when: str, ours: Memory, peer: Memory) -> Iterator[Line]:
    """Proportional and resident size of the two process trees."""
    counts = {"our_processes": ours[2], "peer_processes": peer[2]}
    for number, kind in enumerate(("PSS", "RSS")):
        pair = Pair(ours[number], peer[number])
        yield cost_line(f"server memory {kind}, {when}", [pair], "MiB", times_better(10)) | counts


def _ready(start: Callable[[], Server]) -> float:
    with running(start()) as server:
        return server.ready_seconds


def _idle(start: Callable[[], Server]) -> Memory:
    with running(start()) as server:
        before = server.memory()
        for _ in range(SETTLE_TRIES):
            time.sleep(SETTLE_SECONDS)
            now = server.memory()
            if now[0] < before[0] * 1.01:
                break
            before = now
        return now
