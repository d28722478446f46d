"""Tracking beside the real MLflow server: the same work on both, in turns, on one machine.

`make bench SUITE=tracking` runs every case; `SUITE=tracking:search,files` the named ones.
"""

from collections.abc import Callable, Iterator

from benchmarks.lines import Line
from benchmarks.tracking import (
    calls,
    files,
    history,
    points,
    scale,
    searching,
    starting,
    training_loop,
    weight,
)
from benchmarks.tracking.stage import Stage, open_stage

ALONE: dict[str, Callable[[], Iterator[Line]]] = {"start": starting.run, "scale": scale.run}
"""Cases that start their own servers."""
ON_STAGE: dict[str, Callable[[Stage], Iterator[Line]]] = {
    "points": points.run,
    "calls": calls.run,
    "search": searching.run,
    "history": history.run,
    "files": files.run,
    "loop": training_loop.run,
    "memory": weight.run,  # last: it weighs what the others have left behind
}
CASES = (*ALONE, *ON_STAGE)


def run(*cases: str) -> Iterator[Line]:
    """The named cases, or all."""
    chosen = cases or CASES
    for name, alone in ALONE.items():
        if name in chosen:
            yield from alone()
    staged = [case for name, case in ON_STAGE.items() if name in chosen]
    if staged:
        with open_stage() as stage:
            for case in staged:
                yield from case(stage)
