"""A request says whose row it is by the examples' key, which no feature reads, and the label comes by that key."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from shop import START, Server, Shop, command, running, write_project

pytestmark = pytest.mark.slow


def ask(server: Server, **columns: list[object]) -> httpx.Response:
    return server.http.post(f"{server.serving}/invocations", json={"inputs": columns})


def test_a_label_finds_its_row_by_the_examples_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command(home, "apply", str(write_project(tmp_path / "project")))
    orders = Shop(tmp_path / "project").between(START, START + timedelta(hours=1)).head(2)
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        numbers = orders["order_id"].to_list()
        columns = {
            "city": orders["city"].to_list(),
            "distance": orders["distance"].to_list(),
            "ordered": [moment.isoformat() for moment in orders["ordered"]],
            "request_time": [moment.isoformat() for moment in orders["ordered"]],
        }
        answer = ask(server, order_id=numbers, **columns)
        assert answer.status_code == 200, answer.text
        first, _second = answer.json()["request_ids"]
        assert ask(server, **columns).status_code == 200  # it may be left out
        assert ask(server, order_id=numbers, order_ids=numbers, **columns).json()["field"] == "order_ids"
        wrong = ask(server, order_id=[{}, {}], **columns)
        assert (wrong.status_code, wrong.json()["field"]) == (400, "order_id")
        told = server.http.get(f"{server.serving}/v2/models/late-order").json()
        assert "order_id" in told["parameters"]["optional_inputs"]
        server.move_clock(START + timedelta(hours=2))
        late = {"keys": {"order_id": numbers[0]}, "value": True, "at": (START + timedelta(hours=2)).isoformat()}
        server.post("/labels", {"model": "late-order", "labels": [late]})
        server.move_clock(START + timedelta(hours=3))
        shown = server.get(f"/api/predictions/{first}")
        assert "1.0" in str(shown["labels"]) or "True" in str(shown["labels"])
