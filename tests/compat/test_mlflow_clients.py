"""The real MLflow client, unchanged: scripts that know nothing of us, with MLFLOW_TRACKING_URI alone."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from mlflow_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own home, for all scripts of this module."""
    home = tmp_path_factory.mktemp("mlflow") / "home"
    server = Server(home)
    try:
        yield server.url
    finally:
        server.stop()


def run_script(name: str, server_url: str, folder: Path, **more: str) -> None:
    assert PYTHON.exists(), "the clients' environment is missing; run: make .venv/clients/ready"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHON"))}
    done = subprocess.run(
        [str(PYTHON), str(SCRIPTS / f"{name}.py")],
        cwd=folder,
        env=kept | {"MLFLOW_TRACKING_URI": server_url, "HOME": str(folder)} | more,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{name}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    assert done.stdout.rstrip().endswith("ok")


@pytest.mark.parametrize(
    "name",
    [
        "tracking_basics",
        "search_forms",
        "files_both_ways",
        "faults",
        "autolog_sklearn",
        "autolog_lightgbm",
        "autolog_xgboost",
        "tracing",
        "traces_in_depth",
        "logged_models",
        "register_and_load",
    ],
)
def test_an_unchanged_script_runs(server_url: str, tmp_path: Path, name: str) -> None:
    run_script(name, server_url, tmp_path)


def test_the_registry_call_by_call(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")  # of its own: the script counts every model there is
    try:
        run_script("registry_in_depth", server.url, tmp_path)
    finally:
        server.stop()


def test_a_client_with_a_token_comes_in_and_one_without_does_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [
        str(Path(sys.executable).with_name("homeostat")),
        "token",
        "create",
        "robot",
        "--home",
        str(home),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    secret = msgspec.json.decode(done.stdout)["secret"]
    server = Server(home, HOMEOSTAT_AUTH="required")
    try:
        run_script("tracking_basics", server.url, tmp_path, MLFLOW_TRACKING_TOKEN=secret)
        password = {"MLFLOW_TRACKING_USERNAME": "robot", "MLFLOW_TRACKING_PASSWORD": secret}
        run_script("files_both_ways", server.url, tmp_path, **password)
        with pytest.raises(AssertionError, match="UNAUTHENTICATED"):
            run_script("tracking_basics", server.url, tmp_path)
    finally:
        server.stop()


def test_whatever_a_killed_server_has_acknowledged_is_there_when_it_is_back(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    created: Any = server.post("/runs/create", experiment_id="0", start_time=1)
    run_id = created["run"]["info"]["run_id"]
    acknowledged: list[int] = []

    def log_without_end() -> None:
        for step in range(100_000):
            try:
                point = {"key": "m", "value": step, "timestamp": step, "step": step}
                server.post("/runs/log-batch", run_id=run_id, metrics=[point])
            except httpx.HTTPError:
                return
            acknowledged.append(step)

    logger = threading.Thread(target=log_without_end)
    logger.start()
    while len(acknowledged) < 60:
        time.sleep(0.01)
    server.kill()
    logger.join(30)
    server.start()
    try:
        url = f"{server.url}/api/2.0/mlflow/metrics/get-history"
        history = httpx.get(url, params={"run_id": run_id, "metric_key": "m"}).json()["metrics"]
    finally:
        server.stop()
    steps = [point["step"] for point in history]
    assert steps == list(range(len(steps)))
    # The one that was on its way may be there or not; each is there once.
    assert len(steps) - len(acknowledged) in (0, 1)
