"""Bare HTTP with JSON over one kept connection: the same bytes to both servers, and no client library to time."""

import http.client
import json
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

MLFLOW = "/api/2.0/mlflow"
_KEPT_SECONDS = 3.0
"""Servers drop connections that idle; MLflow's after five seconds."""


class Wire:
    """A connection to one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=300)
        self._used = time.monotonic()

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request; an answer other than 2xx is an error that shows it."""
        if time.monotonic() - self._used > _KEPT_SECONDS:
            self._connection.close()  # the next request opens it again
        self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self._connection.getresponse()
        content = answer.read()
        self._used = time.monotonic()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} -> {answer.status} {content[:500]!r}")
        return content

    def get(self, path: str) -> Any:
        """A GET, decoded."""
        return json.loads(self.send("GET", path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """A POST of JSON, decoded."""
        return json.loads(self.send("POST", path, json.dumps(body).encode()))

    def timed(self, method: str, path: str, body: bytes | None = None) -> float:
        """Seconds until the whole answer is here."""
        started = time.perf_counter()
        self.send(method, path, body)
        return time.perf_counter() - started

    def new_run(self, experiment: str = "0") -> str:
        """A fresh run, by MLflow's API."""
        body = {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
        return str(self.post(f"{MLFLOW}/runs/create", body)["run"]["info"]["run_id"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
