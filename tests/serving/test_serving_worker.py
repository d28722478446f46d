"""A real worker process over real HTTP: routes, statuses, swaps, drains."""

import json
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import serving_linear
from serving_helpers import Worker, endpoint, infer_body, route, rows

from homeostat.compat.oip_binary import pack_floats, pack_texts
from homeostat.ground.clock import from_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.records import PredictionBatch
from homeostat.server.worker import read_options
from homeostat.serving.log import FOLDER, is_finished, wal_files
from homeostat.store.database import Database, open_database
from homeostat.store.migrate import upgrade

StartWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for the tests that only ask: 'late' with a canary of 0 and a shadow."""
    home = tmp_path_factory.mktemp("home")
    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    upgrade(database)
    route(database, endpoint(1, canary=2, shadows=(3,)))
    started = Worker(home)
    yield started
    started.end()
    database.close()


def wait_for(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.02)


def answered(worker: Worker) -> list[PredictionBatch]:
    """What is logged without the shadows, who come when they come."""
    return [batch for batch in worker.logged() if batch.arm != "shadow"]


def generation(worker: Worker) -> int:
    return int(worker.client.get("/v2/health/ready").json()["generation"])


@pytest.mark.slow
def test_the_server_tells_about_itself_and_its_models(worker: Worker) -> None:
    get = worker.client.get
    assert get("/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]
    live = get("/v2/health/live").json()
    assert (live["live"], live["generation"]) == (True, 1)
    ready = get("/v2/health/ready")
    assert (ready.status_code, ready.json()["ready"], ready.json()["generation"]) == (200, True, 1)
    assert [get(path).status_code for path in ("/ping", "/health", "/version")] == [200] * 3
    model = get("/v2/models/late").json()
    assert (model["name"], model["versions"], model["platform"]) == ("late", ["1", "2", "3"], "homeostat")
    assert model["inputs"][0] == {"name": "distance", "datatype": "FP64", "shape": [-1]}
    assert [one["name"] for one in model["outputs"]] == ["score", "request_id"]
    assert get("/v2/models/late/versions/2").json()["versions"] == ["2"]
    for path in ("/v2/models/late/ready", "/v2/models/late/versions/3/ready"):
        assert get(path).json() == {"name": "late", "ready": True}
    index = worker.client.post("/v2/repository/index").json()
    assert [(one["name"], one["version"], one["state"]) for one in index] == [("late", v, "READY") for v in "123"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v2/models/early", "/v2/models/late/versions/9", "/v2/models/late/versions/x/ready"])
def test_an_unknown_model_or_version_is_404_with_an_error_text(worker: Worker, path: str) -> None:
    for reply in (worker.client.get(path), worker.infer(rows(), path=f"{path.removesuffix('/ready')}/infer")):
        assert reply.status_code == 404
        assert reply.json()["error"]


@pytest.mark.slow
def test_an_unknown_path_is_404_and_a_wrong_method_405(worker: Worker) -> None:
    for path in ("/", "/v2/", "/v2/models", "/v2/models//infer", "/v2/models/late/versions", "/v2/models/late/infer/x"):
        reply = worker.client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    wrong = worker.client.get("/invocations")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "GET" in wrong.json()["error"]


@pytest.mark.slow
def test_open_inference_answers_with_ids_versions_and_arms(worker: Worker) -> None:
    reply = worker.infer(rows(2, request_id=["a", "b"]), id="77")
    body = reply.json()
    assert (reply.status_code, reply.headers["x-model-version"]) == (200, "1")
    assert (body["id"], body["model_name"], body["model_version"]) == ("77", "late", "1")
    assert [output["data"] for output in body["outputs"]] == [[1.0001, 1.0002], ["a", "b"]]


@pytest.mark.slow
def test_open_inference_takes_and_gives_binary_tensors(worker: Worker) -> None:
    parts = {
        "distance": ("FP32", np.array([100, 200], "<f4").tobytes()),
        "carrier": ("BYTES", pack_texts(["AA", "UA"])),
        "dep": ("INT64", np.array([5, 6], "<i8").tobytes()),
        "paid": ("BOOL", b"\x01\x00"),
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(data)}}
        for name, (datatype, data) in parts.items()
    ]
    head = json.dumps({"inputs": inputs, "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}).encode()
    reply = worker.client.post(
        "/v2/models/late/infer",
        content=head + b"".join(data for _, data in parts.values()),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    length = int(reply.headers["inference-header-content-length"])
    assert reply.status_code == 200
    assert reply.content[length:] == pack_floats([1.0001, 1.0002])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/invocations", "/endpoints/late/invocations", "/invocations?model=late"])
def test_mlflow_scoring_answers_every_form(worker: Worker, path: str) -> None:
    columns = rows(2)
    records = [{name: values[row] for name, values in columns.items()} for row in range(2)]
    split = {"columns": list(columns), "data": [list(record.values()) for record in records]}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": records},
        {"instances": records},
        {"inputs": columns},
    ):
        reply = worker.client.post(path, json=body)
        assert reply.json()["predictions"] == [1.0001, 1.0002]
        assert len(reply.json()["request_ids"]) == 2
    text = "distance,carrier,dep,paid\n100,AA,2013-03-12,true\n200,UA,,false\n"
    reply = worker.client.post(path, content=text, headers={"content-type": "text/csv"})
    assert reply.json()["predictions"] == [1.0001, 1.0002]


@pytest.mark.slow
def test_mlflow_errors_have_its_shape(worker: Worker) -> None:
    reply = worker.client.post("/invocations", json={"inputs": rows(1, carrier=None)})
    assert (reply.status_code, reply.json()["error_code"], reply.json()["field"]) == (400, "BAD_REQUEST", "carrier")
    other = worker.client.post("/invocations", content=b"x", headers={"content-type": "application/x-parquet"})
    assert (other.status_code, other.json()["error_code"]) == (415, "BAD_REQUEST")
    gone = worker.client.post("/endpoints/early/invocations", json={"inputs": rows()})
    assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "columns"),
    [
        ("distance", {"distance": None}),
        ("wind", {"wind": ["x"]}),
        ("distance", {"distance": [1e999]}),
        ("carrier", {"carrier": [None]}),
        ("dep", {"dep": ["yesterday"]}),
        ("carrier", {"carrier": ["AA", "UA"]}),
        ("request_time", {"request_time": ["2999-01-01T00:00:00Z"]}),
    ],
)
def test_each_4xx_names_the_field_and_is_logged_as_rejected(
    worker: Worker, field: str, columns: dict[str, list[Any]]
) -> None:
    before = len(answered(worker))
    body = json.dumps({"inputs": rows(1, **columns)})
    reply = worker.client.post("/invocations", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["field"]) == (400, field)
    [batch] = answered(worker)[before:]
    assert (batch.status, batch.protocol) == ("rejected", "mlflow")
    assert field in batch.detail


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v2/models/late/infer", "/invocations"])
def test_a_body_that_nests_too_deep_is_400(worker: Worker, path: str) -> None:
    for levels in (2_000, 1_000_000):
        deep = worker.client.post(path, content=b"[" * levels + b"]" * levels)
        assert deep.status_code == 400, deep.text


@pytest.mark.slow
def test_a_broken_body_is_400_and_a_large_one_413_and_both_are_logged(worker: Worker) -> None:
    before = len(answered(worker))
    broken = worker.client.post("/v2/models/late/infer", content=b'{"inputs": [')
    assert (broken.status_code, broken.json()["field"]) == (400, "body")
    large = worker.client.post("/v2/models/late/infer", content=b" " * ((16 << 20) + 1))
    assert (large.status_code, large.json()["field"]) == (413, "body")

    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 20)

    streamed = worker.client.post("/v2/models/late/infer", content=chunks())
    assert streamed.status_code == 413
    assert [batch.status for batch in answered(worker)[before:]] == ["rejected"] * 3


@pytest.mark.slow
def test_a_header_chooses_a_live_version(worker: Worker) -> None:
    def ask(version: str) -> httpx.Response:
        return worker.client.post("/invocations", json={"inputs": rows()}, headers={"X-Model-Version": version})

    assert [ask(version).json()["predictions"] for version in "123"] == [[1.0001], [2.0001], [3.0001]]
    for version in ("9", "x"):
        assert (ask(version).status_code, ask(version).json()["field"]) == (400, "X-Model-Version")
    assert worker.infer(rows(), path="/v2/models/late/versions/2/infer").headers["x-model-version"] == "2"


@pytest.mark.slow
def test_a_caller_who_hangs_up_harms_nobody(worker: Worker) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            connection.send(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    assert worker.infer(rows()).status_code == 200


@pytest.mark.slow
def test_a_version_that_fails_is_500_and_logged(sqlite_database: Database, start_worker: StartWorker) -> None:
    route(sqlite_database, endpoint(serving_linear.RAISES))
    worker = start_worker()
    reply = worker.infer(rows())
    assert (reply.status_code, reply.json()["code"]) == (500, "user_code_failed")
    assert "ZeroDivisionError" in reply.json()["error"]
    assert [batch.status for batch in worker.logged()] == ["error"]


@pytest.mark.slow
def test_versions_are_swapped_under_load_and_no_request_fails(
    sqlite_database: Database, start_worker: StartWorker
) -> None:
    route(sqlite_database, endpoint(1))
    worker = start_worker()
    failures: list[str] = []
    seen: set[int] = set()
    over = threading.Event()

    def ask(count: int) -> None:
        with httpx.Client(base_url=worker.url) as client:
            while not over.is_set():
                reply = client.post("/v2/models/late/infer", content=infer_body(rows(count)))
                if reply.status_code != 200:
                    failures.append(reply.text)
                    return
                seen.update(reply.json()["parameters"]["versions"])

    threads = [threading.Thread(target=ask, args=(count,)) for count in (1, 1, 100)]
    for thread in threads:
        thread.start()
    wait_for(lambda: seen == {1})
    wanted = [endpoint(2, shadows=(1,)), endpoint(serving_linear.SLOW_TO_LOAD), endpoint(3, canary=4, weight=5000)]
    for number, one in enumerate(wanted, start=2):
        assert route(sqlite_database, one) == number
        wait_for(lambda number=number: generation(worker) == number)
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen == {1, 2, serving_linear.SLOW_TO_LOAD, 3, 4}


@pytest.mark.slow
def test_a_ramp_only_adds_entities_and_keeps_its_share(sqlite_database: Database, start_worker: StartWorker) -> None:
    route(sqlite_database, endpoint(1, canary=2, weight=1000, sticky="carrier"))
    worker = start_worker()
    carriers = [f"C{number}" for number in range(2000)]

    def on_canary() -> set[str]:
        versions = worker.infer(rows(2000, carrier=carriers)).json()["parameters"]["versions"]
        return {name for name, version in zip(carriers, versions, strict=True) if version == 2}

    before = on_canary()
    route(sqlite_database, endpoint(1, canary=2, weight=3000))
    wait_for(lambda: generation(worker) == 2)
    after = on_canary()
    for found, share in ((before, 0.1), (after, 0.3)):
        assert abs(len(found) - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share))
    assert before < after


@pytest.mark.slow
def test_a_version_that_cannot_be_loaded_is_told_and_the_old_one_serves(
    sqlite_database: Database, start_worker: StartWorker
) -> None:
    route(sqlite_database, endpoint(1))
    worker = start_worker()
    route(sqlite_database, endpoint(serving_linear.UNLOADABLE))
    wait_for(lambda: bool(worker.client.get("/v2/health/ready").json()["failures"]))
    ready = worker.client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()["generation"]) == (200, 1)
    assert worker.infer(rows()).headers["x-model-version"] == "1"


@pytest.mark.slow
def test_without_endpoints_the_worker_waits_for_one(sqlite_database: Database, start_worker: StartWorker) -> None:
    worker = start_worker()
    assert worker.client.get("/ping").status_code == 503
    assert worker.client.post("/invocations", json={"inputs": rows()}).status_code == 503
    route(sqlite_database, endpoint(1))
    wait_for(lambda: worker.client.get("/ping").status_code == 200)
    assert worker.infer(rows()).status_code == 200


@pytest.mark.slow
def test_a_bare_invocation_must_name_one_of_several_models(
    sqlite_database: Database, start_worker: StartWorker
) -> None:
    route(sqlite_database, endpoint(1))
    other = endpoint(2)
    other = type(other)(name="early", model="early", arms=other.arms)
    route(sqlite_database, other)
    worker = start_worker()
    reply = worker.client.post("/invocations", json={"inputs": rows()})
    assert (reply.status_code, reply.json()["field"]) == (400, "model")
    assert "early, late" in reply.json()["error"]
    named = worker.client.post("/invocations", json={"inputs": rows()}, headers={"X-Model": "early"})
    assert named.json()["predictions"] == [2.0001]


@pytest.mark.slow
def test_a_drain_finishes_requests_and_shadows_and_closes_the_log(
    sqlite_database: Database, start_worker: StartWorker, tmp_path: Path
) -> None:
    route(sqlite_database, endpoint(serving_linear.SLOW_TO_SCORE, shadows=(1,)))
    worker = start_worker()
    replies: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: replies.append(
                httpx.post(f"{worker.url}/invocations", json={"inputs": rows(70)}).status_code
            )
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    worker.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert worker.process.wait(timeout=10) == 0
    assert replies == [200] * 3
    assert sorted(batch.arm for batch in worker.logged()) == ["shadow"] * 3 + ["stable"] * 3
    assert all(is_finished(path) for path in wal_files(tmp_path / FOLDER))


@pytest.mark.slow
@pytest.mark.usefixtures("sqlite_database")
def test_a_worker_ends_with_its_parent(start_worker: StartWorker) -> None:
    assert start_worker().end() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("sqlite_database")
def test_one_version_is_served_without_any_endpoint(start_worker: StartWorker) -> None:
    worker = start_worker("--model", "late", "--version", "7", "--driven-clock")
    reply = worker.infer(rows(1, request_time=["2999-01-01T00:00:00Z"]))
    assert reply.headers["x-model-version"] == "7"
    assert worker.logged()[0].times == [from_iso("2999-01-01")]


@pytest.mark.slow
@pytest.mark.usefixtures("sqlite_database")
def test_a_taken_port_is_told_at_once(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker()
    command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(tmp_path), "--port", str(worker.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 3
    assert f"port {worker.port}" in done.stderr


def test_a_version_needs_a_model() -> None:
    with pytest.raises(Invalid, match="--model"):
        read_options(["--version", "3"])
