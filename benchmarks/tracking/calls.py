"""`mlflow.log_metric` of the unchanged MLflow client, each call acknowledged, against both servers."""

from collections.abc import Iterator

from benchmarks.lines import Line, measure_pairs, rate_line, times_better
from benchmarks.tracking.client import MlflowClient, mlflow_client
from benchmarks.tracking.limit import answering_at_once
from benchmarks.tracking.stage import Stage

CALLS = 100


def run(stage: Stage) -> Iterator[Line]:
    """Calls a second, and how many the client itself can make: no server gets more out of it."""
    messages = stage.ours.folder / "limit.txt"
    with (
        stage.mlflow_clients() as (ours, peer),
        answering_at_once() as url,
        mlflow_client(url, messages=messages) as limit,
    ):
        pairs = measure_pairs(lambda: _rate(ours), lambda: _rate(peer), count=5)
        yield rate_line("log_metric by the MLflow client", pairs, "calls/s", times_better(5))
        limits = measure_pairs(lambda: _rate(limit), lambda: _rate(peer), count=3)
        yield rate_line("log_metric, the limit of the MLflow client itself", limits, "calls/s")


def _rate(client: MlflowClient) -> float:
    return CALLS / client.call("log_metric", count=CALLS)
