"""Serving beside BentoML, MLServer and MLflow, and beside a bare echo: same model, same rows, same core.

`make bench SUITE=serving` runs every case; `SUITE=serving:beside,echo` the named ones. BENCH_SECONDS and BENCH_ROUNDS
make windows shorter and fewer for a first look.
"""

from collections.abc import Callable, Iterator

from benchmarks.lines import Line
from benchmarks.serving import (
    bare,
    beside,
    half_load,
    profile,
    reloading,
    starting,
    whole_loop,
    wires,
)
from benchmarks.serving.load import check_machine
from benchmarks.serving.stage import Stage, open_stage

ON_STAGE: dict[str, Callable[[Stage], Iterator[Line]]] = {
    "start": starting.run,
    "beside": beside.run,
    "batching": beside.run_batching,
    "mlflow": beside.run_mlflow,
    "echo": bare.run,
    "half": half_load.run,
    "loop": whole_loop.run,
    "wires": wires.run,
    "reload": reloading.run,
}
ASKED_FOR = {"profile": profile.run}
"""Cases that run only when they are named."""
CASES = (*ON_STAGE, *ASKED_FOR)


def run(*cases: str) -> Iterator[Line]:
    """The named cases, or all that make lines to hold on to."""
    check_machine()
    known = ON_STAGE | ASKED_FOR
    with open_stage() as stage:
        for case in cases or ON_STAGE:
            yield from known[case](stage)
