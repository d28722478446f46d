"""What MLflow's own client logged and registered is in service once its alias says so, and answers as it did there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from mlflow_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "scripts" / "log_to_serve.py"
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"


class Logged:
    """A server with models in service, and what they answered where they were trained."""

    def __init__(self, server: Server, home: Path, told: dict[str, Any]) -> None:
        self.server, self.home, self.told = server, home, told
        health = httpx.get(f"{server.url}/api/health", timeout=20).json()
        self.http = httpx.Client(base_url=health["serving"], timeout=20)

    def infer(self, name: str, http: httpx.Client | None = None, path: str = "") -> dict[str, Any]:
        rows = self.told[name]["rows"]
        tensors = []
        for place, column in enumerate(rows["columns"]):
            values = [row[place] for row in rows["data"]]
            kind = "BYTES" if isinstance(values[0], str) else "FP64"
            tensors.append({"name": column, "shape": [len(values)], "datatype": kind, "data": values})
        url = path or f"/v2/models/{name}/infer"
        for _ in range(100):  # a champion is loaded within a second of its alias
            answer = (http or self.http).post(url, json={"inputs": tensors})
            if answer.status_code == 200:
                break
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        return {one["name"]: one["data"] for one in answer.json()["outputs"]}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("served")
    server = Server(folder / "home")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHON"))}
    given = kept | {"MLFLOW_TRACKING_URI": server.url, "HOME": str(folder)}
    try:
        done = subprocess.run(
            [str(PYTHON), str(SCRIPT)], cwd=folder, env=given, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found = Logged(server, folder / "home", json.loads(done.stdout.splitlines()[-1]))
        with found.http:
            yield found
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["classes", "lightgbm"])
def test_several_classes_keep_their_probabilities_and_names(logged: Logged, name: str) -> None:
    found = logged.infer(name)
    wanted = np.array(logged.told[name]["answers"])
    tables = [values for values in found.values() if len(values) == wanted.size]
    assert np.array(tables[0]) == pytest.approx(wanted.ravel(), abs=1e-5)
    assert logged.told[name]["labels"] in found.values()


@pytest.mark.parametrize("name", ["array", "texts"])
def test_two_classes_have_the_probability_of_the_second(logged: Logged, name: str) -> None:
    (score, *_) = logged.infer(name).values()
    assert score == pytest.approx([row[1] for row in logged.told[name]["answers"]], abs=1e-6)


def test_several_outputs_are_called_as_mlflow_knows_them(logged: Logged) -> None:
    found = logged.infer("pairs")
    wanted = np.array(logged.told["pairs"]["answers"])
    whole = next((values for values in found.values() if len(values) == wanted.size), None)
    by_name = whole or np.stack([found["delay"], found["taxi"]], axis=1).ravel()
    assert np.array(by_name) == pytest.approx(wanted.ravel())


def test_a_pickle_has_an_alias_but_no_endpoint(logged: Logged) -> None:
    version = httpx.get(f"{logged.server.url}/api/models/pickled/versions/champion", timeout=20).json()
    assert version["aliases"] == ["champion"] and "is a pickle" in version["signature"]["obstacle"]
    assert logged.http.post("/v2/models/pickled/infer", json={"inputs": []}).status_code == 404


class Serving:
    """`homeostat serve` in a process of its own."""

    def __init__(self, logged: Logged, *words: str) -> None:
        command = [sys.executable, "-m", "homeostat.cli.entry", "serve", *words, "--home", str(logged.home)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=40)

    def said(self) -> dict[str, Any]:
        """What it prints when it is ready."""
        assert self.process.stdout is not None and self.process.stderr is not None  # PIPE above
        text = b""
        for line in self.process.stdout:
            text += line
            if line.startswith(b"}"):
                return dict(json.loads(text))
        raise AssertionError(self.process.stderr.read().decode())

    def refusal(self) -> tuple[int, str]:
        """How it ends, when it cannot serve."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


def test_a_model_that_a_run_logged_is_served_from_there(logged: Logged) -> None:
    run = logged.told["xgboost"]["run"]
    for _ in range(2):
        with Serving(logged, f"runs:/{run}/model", "--name", "from-a-run") as serving:
            said = serving.said()
            assert (said["model"], said["version"]) == ("from-a-run", 1), "registered once"
            with httpx.Client(base_url=said["url"], timeout=20) as http:
                (score, *_) = logged.infer("xgboost", http, "/v2/models/from-a-run/infer").values()
            assert score == pytest.approx(logged.told["xgboost"]["answers"], abs=1e-5)
        assert serving.process.returncode == 0
    version = httpx.get(f"{logged.server.url}/api/models/from-a-run/versions/1", timeout=20).json()
    assert version["run_id"] == run and version["is_signed"]


def test_a_run_whose_model_is_a_pickle_is_refused_and_registers_nothing(logged: Logged) -> None:
    run = logged.told["pickled"]["run"]
    code, said = Serving(logged, f"runs:/{run}/model", "--name", "never").refusal()
    assert code == 1 and "model.pkl is a pickle" in said and "skops" in said
    assert httpx.get(f"{logged.server.url}/api/models/never", timeout=20).status_code == 404
    code, said = Serving(logged, f"runs:/{run}/other").refusal()
    assert code == 2 and "models that it has logged: model" in said
