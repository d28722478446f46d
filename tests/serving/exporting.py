"""What the tests of exported versions share: a model, its export, a serving process."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import homeostat as hs
from homeostat.ground.settings import Settings
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.server.exported import export_for_serving
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

COLUMNS = 4
ROWS = np.random.default_rng(8).normal(size=(90, COLUMNS))
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
BODY = {"inputs": [{"name": "x", "shape": [2, COLUMNS], "datatype": "FP64", "data": ROWS[:2].ravel().tolist()}]}


def make_home(folder: Path, model: Any) -> Path:
    """A home with `late@1`, and `odd@1`, which only a pickle holds."""
    client = hs.connect(str(folder))
    client.registry.register(model, "late")
    client.registry.set_alias("late", "champion", 1)
    client.registry.register(hs.allow_pickle(model, reason="a test"), "odd")
    client.close()
    return folder


def fitted() -> Any:
    """A model."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, LABELS)


def export(home: Path, name: str, folder: Path) -> list[str]:
    """Write version 1 of a model into a folder."""
    settings = Settings(home=str(home))
    database = open_database(settings.database_url)
    try:
        return export_for_serving(settings, database, BlobStore(settings.blobs_url), version(home, name), folder)
    finally:
        database.close()


def version(home: Path, name: str) -> ModelVersion:
    """Version 1 of a model."""
    database = open_database(Settings(home=str(home)).database_url)
    with database.read() as conn:
        found = get_version(conn, name, 1)
    database.close()
    return found


def wanted(model: Any) -> list[float]:
    """What the model says to the rows of BODY."""
    return list(model.predict_proba(ROWS[:2])[:, 1])


class Process:
    """A serving process on a free port, asked until it answers."""

    def __init__(self, command: list[str], port: int, **environment: str) -> None:
        self.port = port
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOMEOSTAT_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, env=inherited | environment
        )

    def post(self, path: str, body: Any) -> httpx.Response:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.TransportError):
                return httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, timeout=30)
            time.sleep(0.02)
        raise AssertionError(f"it did not answer; its exit code is {self._process.poll()}")

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
