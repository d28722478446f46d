"""A training function that raises, hangs or dies, and requests that are wrong: the champion keeps serving."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from shop import START, Server, Shop, command, running, write_project

pytestmark = pytest.mark.slow

BODY = """
    import os, time
    if run.params.get("mode") == "raise":
        raise ValueError("the sea is stormy")
    if run.params.get("mode") == "hang":
        time.sleep(3600)
    if run.params.get("mode") == "die":
        os.kill(os.getpid(), 9)
    if run.params.get("mode") == "memory":
        hog = np.ones(10**12)
    if run.params.get("mode") == "nothing":
        return None
"""


@pytest.fixture(scope="module")
def shop_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("faults")
    home = folder / "home"
    declared = write_project(folder / "project", body=BODY.strip())
    declared.write_text(declared.read_text().replace('train_window="20d"', 'train_window="20d", train_timeout="15s"'))
    command(home, "apply", str(declared))
    with running(home) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        yield server, Shop(folder / "project")


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("raise", "the sea is stormy"),
        ("die", "SIGKILL"),
        ("hang", "longer than 15s"),
        ("memory", "emory"),
        ("nothing", "returned None"),
    ],
)
def test_a_training_that_goes_wrong_ends_its_cycle_as_failed_and_the_champion_serves_on(
    shop_server: tuple[Server, Shop], mode: str, says: str
) -> None:
    server, shop = shop_server
    queued = server.post("/api/models/late-order/cycles", {"reason": mode, "params": {"mode": mode}})
    server.move_clock(START)
    cycle = server.get(f"/api/cycles/{queued['id']}")
    assert (cycle["state"], cycle["outcome"]) == ("failed", "failed")
    assert says in cycle["error"]
    run = server.get(f"/api/runs/{cycle['run']}")
    assert run["run"]["status"] == "failed"
    if mode == "raise":
        assert "shop.py" in run["run"]["error"]
        assert "ValueError: the sea is stormy" in run["run"]["error"]
    assert server.get("/api/models/late-order")["champion"] == 1
    assert server.predict(shop.orders.head(3), prefix=mode)["outputs"]


def test_a_killed_training_child_leaves_no_orphan_and_the_next_cycle_runs(shop_server: tuple[Server, Shop]) -> None:
    server, _shop = shop_server
    assert server.process is not None
    queued = server.post("/api/models/late-order/cycles", {"reason": "again"})
    server.move_clock(START)
    cycle = server.get(f"/api/cycles/{queued['id']}")
    assert cycle["outcome"] in ("rejected", "") or cycle["state"] == "waiting"
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert not [child for child in children if "homeostat.loop.child" in child.cmdline()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"distance": None}, "distance"),
        ({"distance": {"datatype": "BYTES", "data": ["far"]}}, "distance"),
        ({"distance": {"datatype": "FP64", "data": [1.0, 2.0]}}, "distance"),
        ({"altitude": {"datatype": "FP64", "data": [1.0]}}, "altitude"),
        ({"ordered": {"datatype": "BYTES", "data": ["yesterday"]}}, "ordered"),
    ],
)
def test_a_wrong_request_is_answered_with_4xx_naming_the_field_and_logged_as_rejected(
    shop_server: tuple[Server, Shop], change: dict[str, Any], field: str
) -> None:
    server, _shop = shop_server
    columns: dict[str, Any] = {
        "city": {"datatype": "BYTES", "data": ["north"]},
        "ordered": {"datatype": "BYTES", "data": [START.isoformat()]},
        "distance": {"datatype": "FP64", "data": [3.0]},
    }
    columns |= change
    inputs = [
        {"name": name, "shape": [len(part["data"]) if name != "distance" else 1]} | part
        for name, part in columns.items()
        if part is not None
    ]
    answer = httpx.post(f"{server.serving}/v2/models/late-order/infer", json={"inputs": inputs})
    assert 400 <= answer.status_code < 500, answer.text
    assert field in answer.json()["error"]
    assert rejected(server, field) > 0


def rejected(server: Server, field: str) -> int:
    """Frames of the prediction log that were refused for this field."""
    from homeostat.serving.log import FOLDER, read_all, wal_files

    batches = [batch for path in wal_files(server.home / FOLDER) for batch in read_all(path)]
    return sum(batch.status == "rejected" and field in batch.detail for batch in batches)


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    [
        ("/api/labels", {"model": "late-order", "labels": [{"request_id": "a", "value": "x"}]}, 400, "value"),
        ("/api/labels", {"model": "late-order", "labels": [{"value": 1}]}, 400, "request_id"),
        ("/api/labels", {"model": "nobody", "labels": []}, 404, "nobody"),
        ("/api/sources/nowhere/rows", {"rows": []}, 404, "nowhere"),
        ("/api/sources/traffic/rows", {"rows": [{"city": "north", "jam": 1.0}]}, 400, "ts"),
        ("/api/sources/traffic/rows", {"rows": [{"ts": "x", "city": "north"}]}, 400, "ts"),
        ("/api/models/late-order/rollback", {}, 409, "nothing to go back to"),
        ("/api/models/nobody/cycles", {}, 404, "nobody"),
        ("/api/unknown", {}, 404, ""),
    ],
)
def test_the_control_plane_answers_mistakes_with_a_status_and_the_field(
    shop_server: tuple[Server, Shop], path: str, body: dict[str, Any], status: int, names: str
) -> None:
    server, _shop = shop_server
    answer = server.http.post(server.url + path, json=body)
    assert answer.status_code == status, answer.text
    assert names in answer.text
    assert "Traceback" not in answer.text


def test_foreign_hosts_and_origins_are_refused(shop_server: tuple[Server, Shop]) -> None:
    server, _shop = shop_server
    assert server.http.get(f"{server.url}/api/models", headers={"Host": "evil.example"}).status_code == 403
    origin = {"Origin": "https://evil.example"}
    assert server.http.get(f"{server.url}/api/models", headers=origin).status_code == 403


def test_one_address_is_enough_to_begin(shop_server: tuple[Server, Shop]) -> None:
    server, _shop = shop_server
    row = {"city": "north", "ordered": START.isoformat(), "distance": 4.0}
    answer = server.http.post(f"{server.url}/invocations", json={"dataframe_records": [row]})
    assert answer.status_code == 200, answer.text
    (score,) = answer.json()["predictions"]
    assert 0.0 < score < 1.0
    assert server.http.get(f"{server.url}/v2/models/late-order").json()["name"] == "late-order"


def test_a_version_can_be_served_alone(shop_server: tuple[Server, Shop], tmp_path: Path) -> None:
    server, _shop = shop_server
    process = subprocess.Popen(
        [
            *(os.sys.executable, "-m", "homeostat.cli.entry", "serve", "models:/late-order@champion"),
            *("--home", str(server.home), "--port", "0", "--json"),
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"HOMEOSTAT_CLOCK": START.isoformat()},
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        url = httpx.Response(200, content=text).json()["url"]
        row = {"city": "north", "ordered": START.isoformat(), "distance": 4.0, "request_time": START.isoformat()}
        answer = httpx.post(f"{url}/invocations", json={"dataframe_records": [row]})
        assert answer.status_code == 200, answer.text
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        process.stdout.close() if process.stdout else None
    assert process.returncode == 0
    time.sleep(0)
