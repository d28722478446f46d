"""SIGKILL while labels come in every form: what was acknowledged is there, once, and joined; and so are predictions."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from shop import START, Server, Shop, command, running, write_project
from test_system_kill import AWAY, worker_pid

pytestmark = pytest.mark.slow

KILLS = 3


def persist(act: Callable[[], Any]) -> Any:
    """Until the server has acknowledged it."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return act()
        except AWAY as error:
            if isinstance(error, AssertionError) and not str(error).startswith("503"):
                raise
            assert time.monotonic() < deadline, "the server did not come back"
            time.sleep(0.05)


class Sender:
    """Sends the truth about orders, each a little later than the last, in turn as each form there is."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sent = 0
        self.by_key = 0
        self.by_id = 0

    def send(self, orders: pl.DataFrame) -> None:
        single, batch, lines, csv = (orders[place::4] for place in range(4))
        for row in single.iter_rows(named=True):
            self._post({"model": "late-order"} | self._keyed(row))
        self._post({"model": "late-order", "labels": [self._keyed(row) for row in batch.iter_rows(named=True)]})
        self.by_key += len(single) + len(batch)
        known = lines.select(
            request_id=pl.format("order-{}", "order_id"), value=pl.col("minutes_late") > 10, at=pl.col("delivered")
        )
        self._file(known.with_columns(pl.col("at").dt.to_string("iso:strict")).write_ndjson(), "application/x-ndjson")
        self._file(
            csv.select(
                "city", "distance", time="ordered", value=pl.col("minutes_late") > 10, at="delivered"
            ).write_csv(),
            "text/csv",
        )
        self.by_id += len(lines)
        self.by_key += len(csv)

    def _keyed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "keys": {"city": row["city"], "distance": row["distance"]},
            "time": (row["ordered"] + timedelta(minutes=1)).isoformat(),
            "value": row["minutes_late"] > 10,
            "at": row["delivered"].isoformat(),
        }

    def _post(self, body: dict[str, Any]) -> None:
        persist(lambda: self.server.post("/labels", body))
        self.sent += 1

    def _file(self, content: str, kind: str) -> None:
        def send() -> None:
            url = f"{self.server.url}/labels?model=late-order"
            answer = self.server.http.post(url, content=content.encode(), headers={"content-type": kind})
            Server._answer(answer)

        persist(send)
        self.sent += 1


def test_labels_in_every_form_survive_a_killed_server_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command(home, "apply", str(write_project(tmp_path / "project")))
    shop = Shop(tmp_path / "project")
    orders = shop.between(START, START + timedelta(hours=16))
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        server.predict(orders[: len(orders) // 2])  # the other half is asked for after its labels have come
        sender = Sender(server)
        is_over = threading.Event()

        def kill_now_and_then() -> None:
            for number in range(1, KILLS + 1):
                while sender.sent < number * 12 and not is_over.is_set():
                    time.sleep(0.001)
                server.kill()
                server.start()

        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        try:
            for start in range(0, len(orders), 16):
                sender.send(orders[start : start + 16])
        finally:
            is_over.set()
            killer.join()
        persist(lambda: server.predict(orders[len(orders) // 2 :]))
        server.move_clock(START + timedelta(hours=17))
        counts = server.get("/api/models/late-order/counts")
        shown = server.get(f"/api/predictions/order-{orders['order_id'][0]}")

    def count(sql: str) -> int:
        with sqlite3.connect(home / "catalogue.db") as connection:
            return int(connection.execute(sql).fetchone()[0])

    assert count("select count(*) from monitoring_key_labels") == sender.by_key
    assert count("select count(*) from monitoring_labels where key_label = 0") == sender.by_id
    assert count("select count(*) from monitoring_labels") == len(orders)
    assert counts == {"predictions": len(orders), "labels": len(orders), "joined": len(orders), "waiting": 0}
    truth = float(orders["minutes_late"][0] > 10)
    assert [one["value"] for one in shown["labels"]] == [truth]


def test_what_a_killed_worker_answered_is_shown(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command(home, "apply", str(write_project(tmp_path / "project")))
    shop = Shop(tmp_path / "project")
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        answered = server.predict(shop.between(START, START + timedelta(hours=1)).head(1))
        os.kill(worker_pid(server), signal.SIGKILL)
        request = next(one["data"][0] for one in answered["outputs"] if one["name"] == "request_id")
        score = next(one["data"][0] for one in answered["outputs"] if one["name"] == "score")
        for _ in ("from the file that nobody writes any more", "from its segment"):
            (answer,) = httpx.get(f"{server.url}/api/predictions/{request}").json()["answers"]
            assert (answer["score"], answer["arm"], answer["version"]) == (score, "stable", 1)
            server.move_clock(START + timedelta(hours=1))
