"""`mlflow.log_metric` of the unchanged MLflow client, each call acknowledged, against both servers."""

from collections.abc import Iterator

from benchmarks.tracking.lines import Line, measure_pairs, rate_line, times_better
from benchmarks.tracking.stage import Stage

CALLS = 100


def run(stage: Stage) -> Iterator[Line]:
    """Calls a second."""
    with stage.mlflow_clients() as (ours, peer):
        pairs = measure_pairs(
            lambda: CALLS / ours.call("log_metric", count=CALLS),
            lambda: CALLS / peer.call("log_metric", count=CALLS),
            count=5,
        )
    yield rate_line("log_metric by the MLflow client", pairs, "calls/s", times_better(5))
