"""What logging costs the training loop: microseconds of the caller for one call, while a sender ships what it logs."""

import time
from collections.abc import Iterator

from benchmarks.lines import Line, Pair, below, cost_line
from benchmarks.tracking.stage import Stage, arrived

OUR_CALLS, SYNC_CALLS, ASYNC_CALLS = 20_000, 30, 300
ROUNDS = 3


def run(stage: Stage) -> Iterator[Line]:
    """One, three and twenty metrics a call, beside MLflow's waiting call and its background one."""
    with stage.mlflow_clients() as (_, peer):
        for width in (1, 3, 20):
            rounds = [
                (
                    our_call(stage, width),
                    peer.call("log_metrics", count=SYNC_CALLS, width=width) / SYNC_CALLS * 1e6,
                    peer.call("log_metrics_async", count=ASYNC_CALLS, width=width) / ASYNC_CALLS * 1e6,
                )
                for _ in range(ROUNDS)
            ]
            for number, how in ((1, "waits"), (2, "in the background")):
                pairs = [Pair(one[0], one[number]) for one in rounds]
                yield cost_line(f"run.log of {width}, peer {how}", pairs, "us", below(20, "us"))


def our_call(stage: Stage, width: int) -> float:
    """Microseconds a call; making the values is not counted."""
    rows = [{f"m{number}": step / (number + 1) for number in range(width)} for step in range(1000)]
    with stage.native_run("loop") as run:
        started = time.perf_counter()
        for _ in range(OUR_CALLS // len(rows)):
            for row in rows:
                run.log(None, **row)
        microseconds = (time.perf_counter() - started) / OUR_CALLS * 1e6
        arrived(run)
        return microseconds
