"""What the serving tests share: endpoints, rows, a worker process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import serving_linear

from homeostat.ground.records import PredictionBatch
from homeostat.serving.endpoints import set_routing
from homeostat.serving.log import FOLDER, read_all, wal_files
from homeostat.serving.types import FULL, Arm, Endpoint
from homeostat.store.database import Database


def endpoint(
    stable: int = 1, *, canary: int = 0, weight: int = 0, shadows: tuple[int, ...] = (), **more: Any
) -> Endpoint:
    """An endpoint 'late' with one stable arm and perhaps a canary."""
    arms = [Arm(version=stable, weight=FULL - weight)]
    if canary:
        arms.append(Arm(version=canary, weight=weight, arm="canary"))
    return Endpoint(name="late", model="late", arms=tuple(arms), shadows=shadows, **more)


def rows(count: int = 1, **columns: list[Any]) -> dict[str, list[Any]]:
    """Good request columns, with some replaced; None leaves a column out."""
    good: dict[str, list[Any]] = {
        "distance": [100.0 * (row + 1) for row in range(count)],
        "carrier": ["AA"] * count,
        "dep": ["2013-03-12T08:00:00Z"] * count,
        "paid": [True] * count,
    }
    return {name: values for name, values in (good | columns).items() if values is not None}


def logged(folder: Path) -> list[PredictionBatch]:
    """Everything in a log folder."""
    return [batch for path in wal_files(folder) for batch in read_all(path)]


class Worker:
    """A worker process and an HTTP client to it."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, serving_linear.__file__, "--home", str(home), "--port", "0", "--parent-watch", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        line = self.process.stdout.readline() if self.process.stdout else b""
        self.port: int = json.loads(line)["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def logged(self) -> list[PredictionBatch]:
        return logged(self.home / FOLDER)

    def infer(
        self, inputs: dict[str, list[Any]], *, path: str = "/v2/models/late/infer", **more: Any
    ) -> httpx.Response:
        return self.client.post(path, content=infer_body(inputs, **more))

    def end(self) -> int:
        """Close standard input, as a dying parent would, and wait."""
        self.client.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return self.process.wait(timeout=10)


DATATYPES = {"distance": "FP64", "paid": "BOOL"}


def infer_body(inputs: dict[str, list[Any]], **more: Any) -> bytes:
    """The columns as an OIP request in JSON."""
    tensors = [
        {"name": name, "shape": [len(values)], "datatype": DATATYPES.get(name, "BYTES"), "data": values}
        for name, values in inputs.items()
    ]
    return msgspec.json.encode({"inputs": tensors} | more)


def route(database: Database, wanted: Endpoint) -> int:
    """Set an endpoint's routing in the catalogue."""
    with database.write() as conn:
        return set_routing(
            conn,
            wanted.name,
            model=wanted.model,
            arms=wanted.arms,
            shadows=wanted.shadows,
            sticky=wanted.sticky or None,
            actor="test",
            reason="a test",
            at=1,
        )
