import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from foreign import PYTHON, run_script

from homeostat import connect
from homeostat.compat.importers.report import Report
from homeostat.ground.settings import Settings
from homeostat.sdk.imports import import_mlflow
from homeostat.store.database import open_database
from homeostat.tracking.models import get_model
from homeostat.tracking.runs import get_run
from homeostat.tracking.series import read_series

pytestmark = pytest.mark.slow


def _take(home: Path, source: str, *artifacts: Path, url: str = "") -> Report:
    settings = Settings(home=str(home), url=url)
    return import_mlflow(settings, source, artifacts=artifacts, progress=lambda _label: None)


def _check(home: Path, written: dict[str, Any], report: Report) -> None:
    """What the script wrote is there, value for value, under its own ids."""
    assert report.new_runs == 4 and report.new_logged_models == 1 and report.new_versions == 3
    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    with database.read() as conn:
        parent = get_run(conn, written["parent"])
        points = read_series(conn, written["parent"], "loss")
        known = {(step, at // 1000, value) for step, at, value in written_points(points)}
        assert {tuple(point) for point in written["points"]} == known
        assert parent.params == {"lr": "0.1", "long": "x" * 6000}
        assert parent.tags["k"] == "ü" and parent.run.project == "exp é" and parent.run.status == "finished"
        assert parent.tags["homeostat.import.experiment_id"] == written["experiment"]
        assert math.isnan(parent.metrics["nan"])
        assert [item.path for item in parent.artifacts] == ["dir/a.txt"]
        assert parent.datasets[0].name == "d" and parent.datasets[0].tags == {"mlflow.data.context": "training"}
        assert get_run(conn, written["child"]).run.parent == written["parent"]
        assert get_run(conn, written["gone"]).run.deleted is not None
        assert get_run(conn, written["failed"]).run.status == "failed"
        model = get_model(conn, written["model"])
        assert model.source_run == written["parent"] and model.status == "ready" and model.params["lr"] == "0.1"
    database.close()
    client = connect(str(home))
    versions = {line["version"]: line for line in client.registry.versions("reg")}
    assert sorted(versions) == [1, 2, 4]
    assert versions[2]["stage"] == "production" and versions[2]["tags"]["q"] == "w"
    aliases = client.registry.model("reg")["aliases"]
    assert aliases["best"] == 1 and aliases["next"] == 2 and aliases["production"] == 2
    client.close()


def written_points(points: Any) -> list[tuple[int, int, float]]:
    return list(zip(points.steps.tolist(), points.at.tolist(), points.values.tolist(), strict=True))


def test_a_database_arrives_whole_and_a_second_time_adds_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    written = run_script("mlflow_store.py", f"sqlite:///{store / 'mlflow.db'}", str(store / "art"), folder=store)
    home = tmp_path / "home"
    refused = _take(tmp_path / "other", str(store / "mlflow.db"))
    assert any("--artifacts" in loss.reason for loss in refused.lost) and refused.files == 0
    report = _take(home, f"sqlite:///{store / 'mlflow.db'}", store / "art")
    _check(home, written, report)
    assert report.lost == []
    again = _take(home, str(store / "mlflow.db"), store / "art")
    assert again.added == 0


def test_an_mlruns_folder_arrives_whole_even_after_it_was_moved(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    written = run_script("mlflow_store.py", (store / "mlruns").as_uri(), "-", folder=store)
    store.rename(tmp_path / "moved")
    report = _take(tmp_path / "home", str(tmp_path / "moved"))
    _check(tmp_path / "home", written, report)
    assert _take(tmp_path / "home", str(tmp_path / "moved" / "mlruns")).added == 0


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "d"),
    ]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(60)


def test_a_server_of_the_real_mlflow_arrives_whole(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with _mlflow_server(store) as url:
        written = run_script("mlflow_store.py", url, "-", folder=store)
        report = _take(tmp_path / "home", url)
        assert _take(tmp_path / "home", url).added == 0
    _check(tmp_path / "home", written, report)


def test_an_import_goes_to_a_server_as_it_goes_into_a_home(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    written = run_script("mlflow_store.py", f"sqlite:///{store / 'mlflow.db'}", str(store / "art"), folder=store)
    home = tmp_path / "home"
    program = str(Path(sys.executable).with_name("homeostat"))
    command = [program, "up", "--home", str(home), "--port", "0", "--serving-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            text = b""
            while b"}" not in text:
                line = server.stdout.readline()
                assert line
                text += line
            url = json.loads(text)["url"]
            report = _take(tmp_path / "unused", str(store / "mlflow.db"), store / "art", url=url)
            assert _take(tmp_path / "unused", str(store / "mlflow.db"), store / "art", url=url).added == 0
            copied = _take(tmp_path / "copy", url)  # our own server speaks MLflow's API, so it is a source too
        finally:
            server.terminate()
            server.wait(60)
    _check(home, written, report)
    assert (copied.new_runs, copied.new_versions) == (4, 3)


def test_what_was_signed_on_import_can_be_loaded(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    run_script("mlflow_store.py", f"sqlite:///{store / 'mlflow.db'}", str(store / "art"), folder=store)
    _take(tmp_path / "home", str(store / "mlflow.db"), store / "art")
    program = str(Path(sys.executable).with_name("homeostat"))
    done = subprocess.run(
        [program, "model", "verify", "reg@2", "--home", str(tmp_path / "home")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
