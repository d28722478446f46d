"""A server whose models are registered by hand, with traffic and labels: what a rollout needs."""

import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import odd_models
from shop import Server

import homeostat as hs
from homeostat.sdk.client import Client

NAMES = ["a", "b", "c"]


class Rolling:
    """A running server with a model `m` in service at version 1."""

    def __init__(self, server: Server, *, seed: int = 0) -> None:
        self.server = server
        self.rng = np.random.default_rng(seed)
        self.asked = 0
        self._client: Client | None = None
        self._url = ""

    @property
    def client(self) -> Client:
        """A client of the server where it is now: it has another address once it was started again."""
        if self._client is None or self._url != self.server.url:
            self.close()
            self._client, self._url = hs.connect(url=self.server.url), self.server.url
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def register(self, model: Any) -> int:
        done = self.client.registry.register(
            model,
            "m",
            inputs=NAMES,
            example=np.zeros((2, 3)),
            task="binary",
            classes=["0", "1"],
            allow_pickle="a class of a test",
        )
        return int(done["version"])

    def in_service(self, model: Any) -> int:
        """Register a version and make it the champion."""
        version = self.register(model)
        self.client.registry.promote(f"m@{version}", "champion", reason="first")
        deadline = time.monotonic() + 30
        while httpx.get(f"{self.server.serving}/v2/models/m/ready").status_code != 200:
            assert time.monotonic() < deadline, "m was not served"
            time.sleep(0.05)
        return version

    def ask(self, count: int = 1, *, client: httpx.Client | None = None, at: datetime | None = None) -> "Asked":
        """One request of `count` rows."""
        rows = self.rng.normal(size=(count, 3))
        ids = [f"r{self.asked + place}" for place in range(count)]
        self.asked += count
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [count], "data": rows[:, place].tolist()}
            for place, name in enumerate(NAMES)
        ]
        inputs.append({"name": "request_id", "datatype": "BYTES", "shape": [count], "data": ids})
        if at is not None:
            times = [at.isoformat()] * count
            inputs.append({"name": "request_time", "datatype": "BYTES", "shape": [count], "data": times})
        answer = (client or httpx).post(f"{self.server.serving}/v2/models/m/infer", json={"inputs": inputs}, timeout=30)
        return Asked(ids, rows, answer)

    def label(self, asked: "Asked", *, at: datetime) -> None:
        """What was true: drawn from what `Good` says."""
        chance = odd_models.Good().predict_proba(asked.rows)[:, 1]
        truth = self.rng.uniform(size=len(chance)) < chance
        labels = [
            {"request_id": name, "value": bool(value), "at": at.isoformat()}
            for name, value in zip(asked.ids, truth, strict=True)
        ]
        self.client.label("m", labels)

    def versions_asked(self, count: int) -> Counter[str]:
        """Which versions answer `count` requests, once the workers have the newest routing."""
        wanted = self.server.get("/api/health")["generation"]
        deadline = time.monotonic() + 10
        while httpx.get(f"{self.server.serving}/v2/health/live").json()["generation"] < wanted:
            assert time.monotonic() < deadline, "the routing was not taken up"
            time.sleep(0.02)
        found: Counter[str] = Counter()
        with httpx.Client() as client:
            for _ in range(count):
                asked = self.ask(client=client)
                found[asked.version] += 1
        return found

    def wait(self, check: Any, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until the rollout is as `check` wants it."""
        deadline = time.monotonic() + timeout
        while not check(found := self.client.rollouts.get("m")):
            assert time.monotonic() < deadline, (found["step"], found["state"], found["reason"], found["numbers"])
            time.sleep(0.1)
        return found

    def hour(self, now: datetime, *, rows: int, requests: int = 1) -> datetime:
        """An hour of event time on a driven clock: requests, their labels, and a look at the end of it."""
        for _ in range(requests):
            asked = self.ask(rows // requests, at=now)
            assert asked.answer.status_code == 200, asked.answer.text
            self.label(asked, at=now + timedelta(minutes=30))
        self.server.move_clock(now + timedelta(hours=1))
        return now + timedelta(hours=1)


class Asked:
    """A request and its answer."""

    def __init__(self, ids: list[str], rows: Any, answer: httpx.Response) -> None:
        self.ids, self.rows, self.answer = ids, rows, answer

    @property
    def version(self) -> str:
        """The version that answered, or the status of an error."""
        if self.answer.status_code != 200:
            return str(self.answer.status_code)
        return str(self.answer.json()["model_version"])


class Load:
    """Threads that ask, some `per_second` requests all together, until the block ends."""

    def __init__(self, rolling: Rolling, *, per_second: float = 60.0, threads: int = 2) -> None:
        self._rolling = rolling
        self._pause = threads / per_second
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.statuses: Counter[int] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        rng = np.random.default_rng(number)
        count = 0
        with httpx.Client() as client:
            while not self._over.wait(self._pause):
                row = rng.normal(size=3)
                inputs = [
                    {"name": name, "datatype": "FP64", "shape": [1], "data": [value]}
                    for name, value in zip(NAMES, row.tolist(), strict=True)
                ]
                name = f"load{number}-{count}"
                inputs.append({"name": "request_id", "datatype": "BYTES", "shape": [1], "data": [name]})
                count += 1
                try:
                    answer = client.post(
                        f"{self._rolling.server.serving}/v2/models/m/infer", json={"inputs": inputs}, timeout=10
                    )
                except httpx.HTTPError:  # the server is being killed
                    continue
                self.statuses[answer.status_code] += 1


ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent)}
"""Where the server's processes find the classes of the pickles."""


def told(server: Server, version: int) -> list[tuple[str, str, str]]:
    """(kind, step, actor) of what was told of the rollouts of a version, in order."""
    events = [event for event in server.get("/api/events?limit=10000") if event["kind"].startswith("rollout.")]
    return [
        (event["kind"].removeprefix("rollout."), event["data"]["stage"], event["actor"])
        for event in events
        if event["data"]["candidate"] == version
    ]


def champions(server: Server) -> list[tuple[int | None, int | None, str]]:
    """(from, to, kind) of the champion's moves, oldest first."""
    ledger = server.get("/api/models/m/ledger?alias=champion")
    return [(row["from_version"], row["to_version"], row["kind"]) for row in ledger]
