"""A year's winter of real flights, scored by a script that knows our address only: watched, alarmed, told, taken on."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import outside_script
import pytest
from prometheus_client.parser import text_string_to_metric_families
from receiver import Receiver, receive

from homeostat.cli.demo.server_process import ServerProcess
from homeostat.cli.demo.tables import prepare_tables

pytestmark = pytest.mark.slow
SCRIPT = Path(outside_script.__file__)
DAYS = 22
WATCHED = ["distance_mi", "origin", "carrier"]
"""Weather is left to its seasons."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tables(tmp_path_factory.mktemp("flights") / "project")


class Outside:
    """The running server, as its users see it."""

    def __init__(self, url: str, tables: Path, receiver: Receiver) -> None:
        self.http = httpx.Client(base_url=url, timeout=120)
        self.url = url
        self.tables = tables
        self.receiver = receiver

    def answer(self, first: int, days: int) -> dict[str, Any]:
        """The other serving works for some days."""
        command = [sys.executable, str(SCRIPT), self.url, str(self.tables), str(first), str(days)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def move(self, day: int) -> None:
        now = outside_script.START + timedelta(days=day)
        self.http.put("/api/clock", json={"now": now.isoformat()}).raise_for_status()

    def told(self) -> list[str]:
        return [json.loads(body)["title"] for _, body in self.receiver.requests]

    def wait_told(self, count: int) -> list[str]:
        deadline = time.monotonic() + 20
        while len(self.told()) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.told()


@pytest.fixture
def outside(tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    with receive() as receiver:
        monkeypatch.setenv("HOMEOSTAT_WEBHOOK_ALLOW", receiver.address)
        clock = outside_script.START.isoformat()
        with ServerProcess(tmp_path / "home", clock=clock, host=None, port=None, serving_port=None) as server:
            server.wait_ready()
            found = Outside(server.url, tables, receiver)
            yield found
            found.http.close()
        for pipe in (server._process.stdin, server._process.stdout):
            assert pipe is not None
            pipe.close()


def test_a_unit_that_changes_elsewhere_is_found_told_once_and_acknowledged(outside: Outside) -> None:
    january = outside_script.flights(
        str(outside.tables), outside_script.START - timedelta(days=31), outside_script.START
    )
    reference = [row | {"late": None} for row in outside_script.rows_of(january)]
    for row, delay in zip(reference, january["arr_delay_min"], strict=True):
        row["late"] = None if delay is None else delay > 15
    monitor = {
        "name": "late-elsewhere",
        "task": "binary",
        "reference": reference,
        "features": WATCHED,
        "columns": {"label": "late"},
        "watch": [
            {"kind": "data_drift"},
            {"kind": "accuracy", "metric": "log_loss", "worse_by": 0.5},
            {"kind": "errors"},
        ],
    }
    made = outside.http.post("/api/monitors", json=monitor).raise_for_status().json()
    assert made["features"] == WATCHED and made["reference"]["metrics"]["roc_auc"] > 0.5
    channel = {"name": "ops", "url": f"json://{outside.receiver.address}/hook"}
    outside.http.post("/api/channels", json=channel).raise_for_status()

    sent = 0
    for day in range(DAYS):
        done = outside.answer(day, 1)
        assert (
            done["predictions"]["ignored"] == outside_script.NUMBERS[:3]
            and done["predictions"]["accepted"] == done["sent"]
        )
        sent += done["sent"]
        outside.move(day + 1)
    again = outside.answer(3, 1)
    assert again["predictions"]["accepted"] == 0
    counts = outside.http.get("/api/models/late-elsewhere/counts").json()
    assert counts["predictions"] == sent and 0.9 < counts["joined"] / sent < 1 and counts["waiting"] == 0

    found = outside.http.get("/api/alarms").json()
    assert len(found) == 1, [(one["kind"], one["subject"], one["opened_at"], one["latest"]) for one in found]
    (alarm,) = found
    assert (alarm["kind"], alarm["subject"], alarm["state"]) == ("data_drift", "distance_mi", "open")
    opened = datetime.fromisoformat(alarm["opened_at"]) - outside_script.BROKEN
    assert timedelta(0) < opened <= timedelta(days=16)
    assert alarm["count"] > 1 and alarm["latest"] != alarm["evidence"]
    assert outside.wait_told(1) == ["[warn] late-elsewhere: data_drift distance_mi opened"]
    said = {"comment": "kilometres since the 10th", "actor": "ana"}
    outside.http.post(f"/api/alarms/{alarm['id']}/ack", json=said).raise_for_status()
    assert outside.wait_told(2)[1:] == ["[warn] late-elsewhere: data_drift distance_mi acknowledged by ana"]
    why = outside.http.get("/api/models/late-elsewhere/why").json()["events"]
    of_distance = [event for event in why if event["data"].get("alarm") == alarm["id"]]
    assert [(event["kind"], event["actor"]) for event in of_distance] == [
        ("alarm.opened", "monitor"),
        ("alarm.acknowledged", "ana"),
    ], [(event["kind"], event["reason"], event["at"]) for event in why]

    checks = {
        (one["kind"], one["subject"]): one for one in outside.http.get("/api/monitors/late-elsewhere").json()["checks"]
    }
    assert (
        checks["accuracy", "log_loss"]["status"] == "ok" and checks["accuracy", "log_loss"]["evidence"]["labels"] > 500
    )
    assert checks["data_drift", "distance_mi"]["status"] == "alarm"
    families = {family.name: family for family in text_string_to_metric_families(outside.http.get("/metrics").text)}
    (coverage,) = families["homeostat_label_coverage"].samples
    assert 0.9 < coverage.value <= 1
    acknowledged = [one for one in families["homeostat_alarms"].samples if one.labels["state"] == "acknowledged"]
    assert [one.value for one in acknowledged] == [1.0]
    lateness = {one.labels["quantile"]: one.value for one in families["homeostat_label_lateness_seconds"].samples}
    assert 3600 < lateness["0.5"] < 6 * 3600 < lateness["0.99"]
