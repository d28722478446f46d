"""A large model is replaced again and again under load: nobody is refused, nobody waits for it to load."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from serving_helpers import route

import homeostat as hs
from homeostat.serving.types import FULL, Arm, Endpoint
from homeostat.store.database import Database, open_database

pytestmark = pytest.mark.slow
CLIENTS = 8
VERSIONS = 5
"""More than a worker keeps warm, so that every change of the routing has to load a package."""
COLUMNS = 20
BOUND = 0.5
"""Seconds; the benchmark (`make bench SUITE=serving:reload`) holds 50 ms on a machine that does nothing else."""


class Asker(threading.Thread):
    """A client that asks again and again over one connection, and notes how long each answer took."""

    def __init__(self, port: int, body: bytes, *, is_over: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._body = body
        self._is_over = is_over
        self.took: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._is_over():
            begun = time.perf_counter()
            try:
                connection.request("POST", "/v2/models/forest/infer", self._body, {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status}: {text[:200]!r}")
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            self.took.append(time.perf_counter() - begun)
            time.sleep(0.02)
        connection.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions of a forest of more than 50 MB; nobody has compiled them, so each is read whole by scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier

    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40_000, COLUMNS))
    labels = rng.integers(0, 2, size=len(rows))  # nothing to learn, so the trees grow a leaf for nearly every row
    forest = RandomForestClassifier(n_estimators=34, max_features=1, random_state=0).fit(rows, labels)
    registry = hs.connect(str(folder)).registry
    for number in range(VERSIONS):
        made = registry.register(forest, "forest", tags={"copy": str(number)})
    assert sum(file["size"] for file in made["files"].values()) > 50e6
    return folder


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{home / 'catalogue.db'}")
    yield opened
    opened.close()


@pytest.fixture
def port(home: Path, database: Database) -> Iterator[int]:
    """A worker that serves version 1."""
    _route(database, 1)
    command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(home), "--port", "0", "--parent-watch"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    for line in process.stdout:
        told = msgspec.json.decode(line)
        if told.get("ready"):
            break
    reading = threading.Thread(target=process.stdout.read)  # what it says later must not fill the pipe
    reading.start()
    yield told["port"]
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    reading.join()
    process.stdout.close()


def test_a_large_model_is_replaced_under_load_without_a_failure_or_a_stall(port: int, database: Database) -> None:
    body = _body()
    before = _asked(port, body, lambda: time.sleep(2))
    loads: list[float] = []

    def replace() -> None:
        for version in (2, 3, 4, 5, 2, 3):
            begun = time.perf_counter()
            _settle(port, _route(database, version))
            loads.append(time.perf_counter() - begun)
            time.sleep(0.2)

    during = _asked(port, body, replace)
    assert [failure for asker in during for failure in asker.failures] == []
    longest, usual = (max(max(asker.took) for asker in askers) for askers in (during, before))
    # A wait as long as a load would mean that the load is in the way; a busy machine alone makes some waits long.
    assert longest < max(BOUND, 5 * usual), f"{longest:.3f} s; without reloads {usual:.3f} s; the loads took {loads}"


def test_versions_of_before_are_swapped_in_without_loading(port: int, database: Database) -> None:
    _settle(port, _route(database, 2))
    begun = time.perf_counter()
    _settle(port, _route(database, 1))  # it answered a moment ago, and is kept warm
    assert time.perf_counter() - begun < 1.0


def _asked(port: int, body: bytes, meanwhile: Callable[[], None]) -> list[Asker]:
    over = threading.Event()
    askers = [Asker(port, body, is_over=over.is_set) for _ in range(CLIENTS)]
    for asker in askers:
        asker.start()
    try:
        meanwhile()
    finally:
        over.set()
    for asker in askers:
        asker.join(timeout=60)
    assert all(asker.took for asker in askers)
    return askers


def _route(database: Database, version: int) -> int:
    return route(database, Endpoint(name="forest", model="forest", arms=(Arm(version=version, weight=FULL),)))


def _settle(port: int, generation: int) -> None:
    deadline = time.monotonic() + 60
    health: dict[str, Any] = {"generation": -1}
    while health["generation"] < generation:
        assert time.monotonic() < deadline, health
        time.sleep(0.02)
        health = httpx.get(f"http://127.0.0.1:{port}/v2/health/live", timeout=30).json()


def _body() -> bytes:
    row = np.random.default_rng(4).normal(size=COLUMNS).tolist()
    return msgspec.json.encode({"inputs": [{"name": "x", "shape": [1, COLUMNS], "datatype": "FP64", "data": row}]})
