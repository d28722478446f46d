"""A training script's calls of the unchanged MLflow client, run by the peer's Python: a JSON line in, one line out.

python mlflow_script.py TRACKING_URI < commands
{"call": "log_metric", "count": 50}  ->  {"seconds": 0.9}
"""

import json
import os
import sys
import time

import mlflow


def log_metric(count: int) -> float:
    """`mlflow.log_metric`, one value a call, each acknowledged."""
    with mlflow.start_run():
        started = time.perf_counter()
        for step in range(count):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        return time.perf_counter() - started


def log_metrics(count: int, width: int) -> float:
    """`mlflow.log_metrics` of `width` values a call, each call acknowledged."""
    with mlflow.start_run():
        started = time.perf_counter()
        for step in range(count):
            mlflow.log_metrics({f"m{number}": step / (number + 1) for number in range(width)}, step=step)
        return time.perf_counter() - started


def log_metrics_async(count: int, width: int) -> float:
    """The same handed to MLflow's background thread; what is counted is the caller's part."""
    with mlflow.start_run():
        started = time.perf_counter()
        for step in range(count):
            values = {f"m{number}": step / (number + 1) for number in range(width)}
            mlflow.log_metrics(values, step=step, synchronous=False)
        seconds = time.perf_counter() - started
        mlflow.flush_async_logging()
        return seconds


def log_artifacts(folder: str) -> float:
    """`mlflow.log_artifacts` of a whole folder."""
    with mlflow.start_run():
        started = time.perf_counter()
        mlflow.log_artifacts(folder)
        return time.perf_counter() - started


CALLS = {call.__name__: call for call in (log_metric, log_metrics, log_metrics_async, log_artifacts)}


def main() -> None:
    """Answer commands until there are no more."""
    mlflow.set_tracking_uri(sys.argv[1])
    # The client prints a line for each run that ends; answers go where it cannot.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        seconds = CALLS[command.pop("call")](**command)
        answers.write(json.dumps({"seconds": seconds}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
