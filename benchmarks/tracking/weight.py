"""What the servers weigh after use: at the end, so that every case chosen before has left its marks."""

from collections.abc import Iterator

from benchmarks.lines import Line
from benchmarks.tracking.points import log_batches
from benchmarks.tracking.searching import PATH, request
from benchmarks.tracking.stage import Stage
from benchmarks.tracking.starting import memory_lines


def run(stage: Stage) -> Iterator[Line]:
    """Some use of each, for when no other case was chosen; then the sizes."""
    for wire in stage.wires:
        log_batches(wire, 5)
        for _ in range(20):
            wire.send("POST", PATH, request({}, "0"))
    yield from memory_lines("after use", stage.ours.memory(), stage.peer.memory())
