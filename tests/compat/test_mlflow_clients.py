"""The real MLflow client, unchanged: scripts that know nothing of us, with MLFLOW_TRACKING_URI alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own home, for all scripts of this module."""
    home = tmp_path_factory.mktemp("mlflow") / "home"
    command = [str(Path(sys.executable).with_name("homeostat")), "up", "--home", str(home)]
    command += ["--port", "0", "--serving-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = b""
        while b"}" not in text:
            line = process.stdout.readline()
            assert line, "the server ended before it was ready"
            text += line
        try:
            yield msgspec.json.decode(text)["url"]
        finally:
            process.terminate()
            process.wait(30)


def run_script(name: str, server_url: str, folder: Path) -> None:
    assert PYTHON.exists(), "the clients' environment is missing; run: make .venv/clients/ready"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYTHON"))}
    done = subprocess.run(
        [str(PYTHON), str(SCRIPTS / f"{name}.py")],
        cwd=folder,
        env=kept | {"MLFLOW_TRACKING_URI": server_url, "HOME": str(folder)},
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
    ],
)
def test_an_unchanged_script_runs(server_url: str, tmp_path: Path, name: str) -> None:
    run_script(name, server_url, tmp_path)


def test_a_model_is_registered_aliased_and_loaded_by_its_alias(server_url: str, tmp_path: Path) -> None:
    run_script("register_and_load", server_url, tmp_path)
