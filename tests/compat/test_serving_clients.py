"""The real clients of every serving protocol against a real worker with real models."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"


class Serving(NamedTuple):
    """A worker and what its models answer."""

    address: str
    home: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A worker process on a home of its own with four registered models."""
    home = tmp_path_factory.mktemp("serving")
    subprocess.run([sys.executable, str(Path(__file__).with_name("serving_models.py")), str(home)], check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "homeostat.server.worker", "--home", str(home), "--port", "0", "--parent-watch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        yield Serving(f"127.0.0.1:{port}", home, json.loads((home / "expected.json").read_text()))
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(20) == 0


def run_script(name: str, environment: str, serving: Serving, folder: Path) -> None:
    python = ROOT / ".venv" / environment / "bin" / "python"
    assert python.exists(), f"the clients' environment is missing; run: make .venv/{environment}/ready"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHON"))}
    given = {"SERVING_ADDRESS": serving.address, "SERVING_EXPECTED": str(serving.home / "expected.json")}
    done = subprocess.run(
        [str(python), str(SCRIPTS / f"{name}.py")],
        cwd=folder,
        env=kept | given | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{name}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    assert done.stdout.rstrip().endswith("ok")


@pytest.mark.parametrize("name", ["serving_triton_http", "serving_triton_grpc", "serving_kserve"])
def test_an_unchanged_client_of_open_inference_is_served(serving: Serving, tmp_path: Path, name: str) -> None:
    run_script(name, "serving-clients", serving, tmp_path)


def test_mlflows_client_is_served_as_by_mlflow(serving: Serving, tmp_path: Path) -> None:
    run_script("serving_mlflow", "clients", serving, tmp_path)


class Answer(NamedTuple):
    """What curl printed."""

    status: int
    headers: dict[str, str]
    body: str


def curl(serving: Serving, path: str, *options: str, body: str | None = None) -> Answer:
    """A request as an operator or a container platform sends it."""
    program = shutil.which("curl")
    assert program is not None, "curl is missing"
    sent = () if body is None else ("--data-binary", body)
    done = subprocess.run(
        [program, "-s", "-i", *options, *sent, f"http://{serving.address}{path}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    head, _, text = done.stdout.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, text)


def test_curl_as_sagemaker_calls_a_container(serving: Serving) -> None:
    twenty = serving.expected["twenty"]
    assert (curl(serving, "/ping").status, curl(serving, "/ping").body) == (200, "\n")
    lines = "\n".join(",".join(map(repr, row)) for row in twenty["rows"])
    answer = curl(
        serving,
        "/invocations",
        "-HContent-Type: text/csv",
        "-HAccept: text/csv",
        "-HX-Amzn-SageMaker-Target-Model: twenty.tar.gz",
        "-HX-Amzn-SageMaker-Inference-Id: i7",
        "-HX-Amzn-SageMaker-Custom-Attributes: trace=1",
        body=lines,
    )
    assert answer.status == 200
    assert (answer.headers["content-type"], answer.headers["x-amzn-invoked-production-variant"]) == (
        "text/csv",
        "stable",
    )
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    np.testing.assert_allclose([float(line) for line in answer.body.split()], twenty["score"], rtol=1e-9)
    jsonl = curl(
        serving,
        "/endpoints/twenty/invocations",
        "-HContent-Type: application/jsonlines",
        "-HAccept: application/jsonlines",
        "-HX-Amzn-SageMaker-Target-Variant: stable",
        "-HX-Amzn-SageMaker-Inference-Id: i8",
        body=json.dumps({"features": twenty["rows"][0]}),
    )
    line = json.loads(jsonl.body)
    assert line["request_id"] == jsonl.headers["x-request-id"] == "i8"
    assert abs(line["score"] - twenty["score"][0]) < 1e-9


def test_curl_as_sagemaker_calls_a_multi_model_container(serving: Serving) -> None:
    models = json.loads(curl(serving, "/models").body)["models"]
    assert {one["modelName"] for one in models} == set(serving.expected)
    body = json.dumps({"inputs": serving.expected["value"]["rows"]})
    asked = ("-HContent-Type: application/json",)
    answer = curl(serving, "/models/value/invoke", *asked, body=body)
    np.testing.assert_allclose(json.loads(answer.body)["predictions"], serving.expected["value"]["score"], rtol=1e-9)
    assert curl(serving, "/models/value").status == 200
    assert curl(serving, "/models/nobody").status == 404
    assert curl(serving, "/models", *asked, body='{"model_name": "value", "url": "/opt/ml/models/value"}').status == 409
    assert curl(serving, "/models/value", "-XDELETE").status == 200
    assert curl(serving, "/models/value/invoke", *asked, body=body).status == 404
    assert curl(serving, "/models", *asked, body='{"model_name": "value", "url": "/opt/ml/models/value"}').status == 200
    assert curl(serving, "/models/value/invoke", *asked, body=body).status == 200


def test_curl_with_our_own_compact_form(serving: Serving) -> None:
    late = serving.expected["late"]
    one = {"inputs": {"distance": late["distance"][0], "carrier": late["carrier"][0]}, "request_id": "q1"}
    for options in ((), ("-HContent-Type: application/json",), ("--http2-prior-knowledge",)):
        answer = curl(serving, "/predict/late", *options, body=json.dumps(one))
        body = json.loads(answer.body)
        assert (body["request_id"], body["version"], body["arm"]) == ("q1", 1, "stable")
        assert abs(body["outputs"]["score"] - late["score"][0]) < 1e-6
    wrong = curl(serving, "/predict/late", body='{"inputs": {"distance": 1, "carier": "AA"}}')
    assert (wrong.status, json.loads(wrong.body)["field"]) == (400, "carier")
