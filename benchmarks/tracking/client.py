"""The unchanged MLflow client as a process of its own, pointed at one server."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environment import mlflow_python

SCRIPT = Path(__file__).with_name("mlflow_script.py")


class MlflowClient:
    """Runs the calls of `mlflow_script.py` and says how long they took."""

    def __init__(self, url: str, *, messages: Path) -> None:
        self._messages = messages.open("ab")
        self._process = subprocess.Popen(
            [str(mlflow_python()), str(SCRIPT), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=os.environ | {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"},
        )
        self._told = messages

    def call(self, name: str, **arguments: Any) -> float:
        """Seconds that one of the script's calls took."""
        assert self._process.stdin is not None and self._process.stdout is not None  # PIPE above
        self._process.stdin.write(json.dumps({"call": name, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            raise RuntimeError(f"{name} failed:\n{self._told.read_text(errors='replace')[-2000:]}")
        return float(json.loads(answer)["seconds"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._messages.close()


@contextmanager
def mlflow_client(url: str, *, messages: Path) -> Iterator[MlflowClient]:
    """A client while the block runs."""
    client = MlflowClient(url, messages=messages)
    try:
        yield client
    finally:
        client.close()
