"""The server killed and the disk full while clients log: what was acknowledged is there, once, and it recovers."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from homeostat.ground.settings import load_settings
from homeostat.store.database import open_database
from homeostat.tracking import series

pytestmark = pytest.mark.slow

SECONDS = 6.0
API = "/api/2.0/mlflow"


class Server:
    """`homeostat up` as a process of its own, on one port across restarts."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, largest_file: int | None = None) -> None:
        command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--home", str(self.home), "--json"]
        command += ["--port", str(self.port), "--serving-port", "0"]

        def limit() -> None:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=limit)  # noqa: PLW1509  one thread yet
        assert self.process.stdout is not None
        text = b""
        while not text.rstrip().endswith(b"}"):
            line = self.process.stdout.readline()
            assert line, "the server ended before it was ready"
            text += line
        self.port = httpx.URL(json.loads(text)["url"]).port or 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self._close()

    def _close(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.wait(30)
        self.process.stdout.close()


@contextmanager
def serving(home: Path, *, largest_file: int | None = None) -> Iterator[Server]:
    server = Server(home)
    server.start(largest_file=largest_file)
    try:
        yield server
    finally:
        server.stop()


def make_run(url: str) -> str:
    answer = httpx.post(f"{url}{API}/runs/create", json={"experiment_id": "0", "start_time": 1}, timeout=20)
    run: str = answer.raise_for_status().json()["run"]["info"]["run_id"]
    return run


class Logger(threading.Thread):
    """Logs batches of three points, each of them new; notes which ones the server acknowledged."""

    def __init__(self, server: Server, run: str, key: str, until: float) -> None:
        super().__init__()
        self._server, self._run_id, self._key, self._until = server, run, key, until
        self.acknowledged: list[int] = []
        self.sent = 0

    def run(self) -> None:
        while time.monotonic() < self._until:
            steps = [3 * self.sent, 3 * self.sent + 1, 3 * self.sent + 2]
            self.sent += 1
            metrics = [{"key": self._key, "value": step / 7, "timestamp": step, "step": step} for step in steps]
            try:
                answer = httpx.post(
                    f"{self._server.url}{API}/runs/log-batch",
                    json={"run_id": self._run_id, "metrics": metrics},
                    timeout=10,
                )
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                self.acknowledged += steps


def stored(home: Path, run: str, key: str) -> list[tuple[int, float]]:
    database = open_database(load_settings({}, home=str(home)).database_url)
    with database.read() as conn:
        points = series.read_series(conn, run, key)
    database.close()
    return list(zip(points.steps.tolist(), points.values.tolist(), strict=True))


def test_what_a_killed_server_acknowledged_is_there_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        run = make_run(server.url)
        until = time.monotonic() + SECONDS
        loggers = [Logger(server, run, f"loss{number}", until) for number in range(3)]
        for logger in loggers:
            logger.start()
        for pause in (1.0, 0.7, 0.4):
            time.sleep(pause)
            server.kill()
            server.start()
        for logger in loggers:
            logger.join()
    for number, logger in enumerate(loggers):
        found = stored(tmp_path, run, f"loss{number}")
        steps = [step for step, _ in found]
        assert len(logger.acknowledged) > 30
        assert len(set(steps)) == len(steps)
        assert set(logger.acknowledged) <= set(steps)
        assert all(value == step / 7 for step, value in found)


def test_a_full_disk_is_said_and_nothing_is_corrupt_and_it_recovers(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: SQLite's writes fail half-way, as they do there."""
    acknowledged: list[int] = []
    refused: Any = None
    with serving(tmp_path, largest_file=3 << 20) as server:
        run = make_run(server.url)
        values = np.random.default_rng(0).normal(size=1000)
        for start in range(0, 400_000, 1000):
            metrics = [
                {"key": "noise", "value": float(value), "timestamp": start + place, "step": start + place}
                for place, value in enumerate(values)
            ]
            answer = httpx.post(
                f"{server.url}{API}/runs/log-batch", json={"run_id": run, "metrics": metrics}, timeout=20
            )
            if answer.status_code != 200:
                refused = answer
                break
            acknowledged += range(start, start + 1000)
        assert refused is not None, "the disk was never full"
        assert refused.status_code == 503
        assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "disk" in refused.json()["message"]
        assert "insert" not in refused.text.lower() and os.sep + "tmp" not in refused.text
        assert httpx.get(f"{server.url}/health", timeout=20).status_code == 200
    with serving(tmp_path) as server:
        more = {"run_id": run, "metrics": [{"key": "noise", "value": 1.0, "timestamp": 9, "step": 10**7}]}
        assert httpx.post(f"{server.url}{API}/runs/log-batch", json=more, timeout=20).status_code == 200
    steps = [step for step, _ in stored(tmp_path, run, "noise")]
    assert steps == [*acknowledged, 10**7]
