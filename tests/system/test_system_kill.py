"""SIGKILL at the worst moments: whatever was acknowledged is there afterwards, once, and the cycle goes on."""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import START, Server, Shop, command, running, write_project

from homeostat.ground.settings import load_settings
from homeostat.loop.engine import log_folder
from homeostat.serving.scan import scan_log
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

pytestmark = pytest.mark.slow

AWAY = (httpx.TransportError, AssertionError)
"""What a client sees while the server is dead or just starting."""


def logged_ids(home: Path) -> Counter[str]:
    """How often each request id stands in the prediction log as answered."""
    settings = load_settings({}, home=str(home))
    database = open_database(settings.database_url)
    with database.read() as conn:
        rows = scan_log(conn, BlobStore(settings.blobs_url), log_folder(settings), model="late-order")
        found = Counter(row.request_id for row in rows if row.status == "ok" and row.arm != "shadow")
    database.close()
    return found


def query(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(home / "catalogue.db", timeout=30) as connection:
        return connection.execute(sql).fetchall()


class Traffic:
    """Orders hour by hour: asks, tells, lets the loop look; on a dead server it tries again with fresh ids."""

    def __init__(self, server: Server, shop: Shop, start: datetime) -> None:
        self.server, self.shop, self.now = server, shop, start
        self.acknowledged: list[str] = []
        self.labelled: set[str] = set()
        self._ids: dict[int, str] = {}

    def hour(self) -> None:
        end = self.now + timedelta(hours=1)
        orders = self.shop.between(self.now, end)
        landed = self.shop.delivered(self.now, end)
        known = self.shop.orders.filter(self.shop.orders["delivered"] >= self.now, self.shop.orders["delivered"] < end)
        weather = self.shop.traffic.filter(self.shop.traffic["ts"] >= self.now, self.shop.traffic["ts"] < end)
        self._persist(lambda _try: self.server.push("traffic", weather))
        self._persist(lambda _try: self.server.push("orders", known))

        def ask(attempt: int) -> None:
            prefix = f"try{attempt}"
            self.server.predict(orders, prefix=prefix)
            for number in orders["order_id"]:
                self._ids[number] = f"{prefix}-{number}"
                self.acknowledged.append(f"{prefix}-{number}")

        self._persist(ask)
        rows = [
            {"request_id": self._ids[number], "value": late > 10, "at": at.isoformat()}
            for number, late, at in landed.select("order_id", "minutes_late", "delivered").iter_rows()
            if number in self._ids
        ]
        if rows:
            self._persist(lambda _try: self.server.post("/api/labels", {"model": "late-order", "labels": rows}))
            self.labelled |= {row["request_id"] for row in rows}
        self.now = end

    def look(self) -> None:
        self._persist(lambda _try: self.server.move_clock(self.now))

    def _persist(self, act: Callable[[int], Any]) -> Any:
        deadline, attempt = time.monotonic() + 120, 0
        while True:
            try:
                return act(attempt)
            except AWAY as error:
                if isinstance(error, AssertionError) and not str(error).startswith("503"):
                    raise
                if time.monotonic() > deadline:
                    raise TimeoutError("the server did not come back") from error
                attempt += 1
                time.sleep(0.05)


def has_step(name: str) -> str:
    of_cycle = "loop_steps s join loop_cycles c on c.id = s.cycle where c.cause = 'second'"
    return f"select 1 from {of_cycle} and s.name = '{name}'"  # noqa: S608  our own words


POINTS = {
    "queued": "select 1 from loop_cycles where cause = 'second'",
    "claimed": "select 1 from loop_cycles where cause = 'second' and state = 'running'",
    "collected": has_step("collect"),
    "trained": has_step("train"),
    "evaluated": has_step("evaluate"),
    "gated": has_step("gate"),
    "registered": has_step("register"),
    "in shadow": has_step("rollout"),
    "in canary": "select 1 from rollout_rollouts where candidate = 2 and stage = 1",
    "promoted": "select 1 from registry_ledger where alias = 'champion' and to_version = 2",
}


class Killer(threading.Thread):
    """Kills the server as soon as each point is reached, while holding the write lock so that it cannot pass it."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.killed: list[str] = []

    def run(self) -> None:
        for name, reached in POINTS.items():
            connection = sqlite3.connect(self.server.home / "catalogue.db", timeout=30, isolation_level=None)
            while not connection.execute(reached).fetchall():
                time.sleep(0.001)
            connection.execute("begin immediate")
            self.server.kill()
            connection.execute("rollback")
            connection.close()
            self.killed.append(name)
            self.server.start()


def test_a_server_killed_at_ten_points_of_a_cycle_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    home = tmp_path / "home"
    declared = write_project(tmp_path / "project")
    command(home, "apply", str(declared))
    shop = Shop(tmp_path / "project")
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        traffic = Traffic(server, shop, START)
        for _ in range(24):
            traffic.hour()
        traffic.look()
        killer = Killer(server)
        server.post("/api/models/late-order/cycles", {"reason": "second"})
        killer.start()
        for _ in range(12 * 24):
            traffic.look()
            if "promoted" in killer.killed and query(
                home, "select 1 from loop_cycles where cause='second' and state='done'"
            ):
                break
            for _ in range(3):
                traffic.hour()
        killer.join(timeout=30)
        traffic.look()

    assert killer.killed == list(POINTS)
    assert query(home, "select cause, state, outcome, version from loop_cycles order by id") == [
        ("first", "done", "promoted", 1),
        ("second", "done", "promoted", 2),
    ]
    logged = logged_ids(home)
    assert [logged[request] for request in traffic.acknowledged] == [1] * len(traffic.acknowledged)
    assert max(logged.values()) == 1
    stored = query(home, "select request_id, count(*) from monitoring_labels group by request_id")
    assert {request for request, _ in stored} == traffic.labelled
    assert {number for _, number in stored} == {1}
    joined = query(home, "select count(*) from monitoring_outcomes where arm != 'shadow'")[0][0]
    assert joined == len(logged)
    assert query(home, "select version from registry_versions order by version") == [(1,), (2,)]
    champions = "select from_version, to_version from registry_ledger where alias = 'champion' order by seq"
    assert query(home, champions) == [(None, 1), (1, 2)]
    assert query(home, "select status, count(*) from tracking_runs group by status") == [("finished", 2)]
    once = ("cycle.started", "gate.judged", "version.registered", "cycle.ended", "run.started", "run.ended")
    told = dict(query(home, "select kind, count(*) from events group by kind"))
    assert {kind: told[kind] for kind in once} == dict.fromkeys(once, 2)


def test_a_worker_killed_under_load_is_started_again_and_no_acknowledged_prediction_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    declared = write_project(tmp_path / "project")
    command(home, "apply", str(declared))
    shop = Shop(tmp_path / "project")
    orders = shop.between(START, START + timedelta(hours=1))
    acknowledged: list[str] = []
    stop = threading.Event()
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)

        def load(number: int) -> None:
            count = 0
            while not stop.is_set():
                prefix = f"client{number}-{count}"
                count += 1
                try:
                    server.predict(orders, prefix=prefix)
                except AWAY:
                    time.sleep(0.02)
                else:
                    acknowledged.extend(f"{prefix}-{order}" for order in orders["order_id"])

        threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        killed = set()
        for _ in range(3):
            time.sleep(1.0)
            before = len(acknowledged)
            pid = worker_pid(server)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            deadline = time.monotonic() + 30
            while len(acknowledged) == before and time.monotonic() < deadline:
                time.sleep(0.05)
            assert len(acknowledged) > before, "no worker came back"
        stop.set()
        for thread in threads:
            thread.join()
        server.move_clock(START + timedelta(hours=2))
        counts = server.get("/api/models/late-order/counts")
    assert len(killed) == 3
    logged = logged_ids(home)
    assert [logged[request] for request in acknowledged] == [1] * len(acknowledged)
    assert counts["predictions"] == sum(logged.values())


def worker_pid(server: Server) -> int:
    """The serving worker is the server's child; it says so itself."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if "homeostat.server.worker" in Path(f"/proc/{pid}/cmdline").read_text():
                    return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"no worker under {children}")
