"""The data plane's whole front in this process, for tests that ask it thousands of things."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import serving_linear

from homeostat.compat.oip_grpc import grpc_connection
from homeostat.compat.translators import translators
from homeostat.ground.clock import SystemClock
from homeostat.ground.ports import Served
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.front import Front
from homeostat.serving.http import Headers, HttpRequest, HttpServer
from homeostat.serving.log import PredictionLog
from homeostat.serving.types import FULL, Arm, Endpoint

COLUMNS = ("a", "b", "c")
MAX_BODY = 1 << 20


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """Three endpoints: 'late' of named columns, with a canary; 'numbers' and 'features' of three numbers each.

    Only the vector of 'numbers' is the request's own, and only 'features' takes no missing values.
    """

    def __init__(self, folder: Path, *, key: str = "") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._plane = DataPlane(PredictionLog(folder), SystemClock(), load)
        arms = (Arm(version=1, weight=FULL - 3_000), Arm(version=2, weight=3_000, arm="canary"))
        late = Endpoint(name="late", model="late", arms=arms)
        numbers = Endpoint(name="numbers", model="numbers", arms=(Arm(version=1, weight=FULL),))
        features = Endpoint(name="features", model="features", arms=(Arm(version=1, weight=FULL),))
        self._plane.swap([late, numbers, features], 1)
        self.front = Front(self._plane, translators(), version="1", key=key, max_body=MAX_BODY)
        self._http = HttpServer(self.front.handle, max_body=MAX_BODY)
        self._http.http2 = lambda: grpc_connection(self.front, max_body=MAX_BODY, group=self._http.connections)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = asyncio.run_coroutine_threadsafe(
            self.loop.create_server(self._http, sock=listener), self.loop
        ).result()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """A request past HTTP's own reading."""
        answered: Future[Answer] = Future()

        def respond(status: int, given: Headers, data: bytes) -> None:
            answered.set_result(Answer(status, dict(given), data))

        where, _, query = path.partition("?")
        request = HttpRequest(method, where, query, dict(headers or {}), body)
        self.loop.call_soon_threadsafe(self.front.handle, request, respond)
        return answered.result(timeout=10)

    def connect(self) -> socket.socket:
        """A connection, for bytes of one's own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def drain(self, seconds: float = 1.0) -> "Future[None]":
        """Take no new connections and let those there are finish."""

        async def end() -> None:
            self._server.close()
            await self._http.drain(seconds)

        return asyncio.run_coroutine_threadsafe(end(), self.loop)

    def close(self) -> None:
        self.drain().result()
        self.front.close()
        self._plane.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Columns:
    """The request's own numbers."""

    def vectors(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> Any:  # noqa: ARG002  a protocol's
        return np.array([inputs[name] for name in COLUMNS], dtype=np.float64).T


class Bounded:
    """Finite for whatever finite numbers come, missing ones counted as 0."""

    def score(self, matrix: Any) -> Any:
        return np.tanh(np.nan_to_num(matrix) / 1e3).sum(axis=1)


def load(model: str, version: int) -> Served:
    """Either model, any version."""
    if model == "late":
        return serving_linear.load(model, version)
    return Served(
        model=model,
        version=version,
        signature=Signature(
            task="regression",
            inputs=tuple(InputColumn(name=name, dtype="number", nullable=model == "numbers") for name in COLUMNS),
            columns=tuple(FeatureColumn(name=name, kind="number") for name in COLUMNS),
            feature_hash="",
        ),
        scorer=Bounded(),
        features=Columns(),
        direct=tuple(range(len(COLUMNS))) if model == "numbers" else None,
    )


def saved(values: Any) -> bytes:
    """An array in NumPy's file format."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def encoded(value: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)
