"""A version as a folder: written, verified by ours and by OpenSSF's tool, served without a catalogue."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import homeostat as hs
from homeostat.ground.errors import Conflict, Corrupt, Invalid, NotFound, Refused
from homeostat.ground.settings import Settings
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.server.container import plan_of
from homeostat.server.exported import Exported, export_for_serving, load_exported, open_exported
from homeostat.serving.log import is_finished, wal_files
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

COLUMNS = 4
ROWS = np.random.default_rng(8).normal(size=(90, COLUMNS))
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
BODY = {"inputs": [{"name": "x", "shape": [2, COLUMNS], "datatype": "FP64", "data": ROWS[:2].ravel().tolist()}]}
CLIENTS = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"


@pytest.fixture(scope="module")
def model() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, LABELS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    """A home with `late@1`, and `odd@1`, which only a pickle holds."""
    folder = tmp_path_factory.mktemp("exporting") / "home"
    client = hs.connect(str(folder))
    client.registry.register(model, "late")
    client.registry.set_alias("late", "champion", 1)
    client.registry.register(hs.allow_pickle(model, reason="a test"), "odd")
    client.close()
    return folder


def export(home: Path, name: str, folder: Path) -> list[str]:
    settings = Settings(home=str(home))
    database = open_database(settings.database_url)
    try:
        return export_for_serving(settings, database, BlobStore(settings.blobs_url), version(home, name), folder)
    finally:
        database.close()


def version(home: Path, name: str) -> ModelVersion:
    database = open_database(Settings(home=str(home)).database_url)
    with database.read() as conn:
        found = get_version(conn, name, 1)
    database.close()
    return found


@pytest.fixture(scope="module")
def exported(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`late@1` as a folder; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("exported") / "late"
    export(home, "late", folder)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "copied")


def opened(folder: Path, tmp_path: Path, **settings: Any) -> Exported:
    """As a machine opens it that has never seen the project."""
    return open_exported(folder, Settings(home=str(tmp_path / "elsewhere"), **settings))


def test_the_folder_answers_what_the_model_says(exported: Path, tmp_path: Path, model: Any) -> None:
    served = load_exported(opened(exported, tmp_path))
    assert (served.model, served.version) == ("late", 1)
    assert served.scorer.score(ROWS) == pytest.approx(model.predict_proba(ROWS)[:, 1])


def test_the_compiled_scorer_comes_along_and_serves(home: Path, tmp_path: Path, model: Any) -> None:
    command = [sys.executable, "-m", "homeostat.cli.entry", "model", "compile", "late@1", "--home", str(home)]
    subprocess.run(command, check=True, capture_output=True)
    written = export(home, "late", tmp_path / "compiled")
    assert "scorer.msgpack" in written
    served = load_exported(opened(tmp_path / "compiled", tmp_path))
    assert served.scorer_kind == "linear"
    assert served.scorer.score(ROWS) == pytest.approx(model.predict_proba(ROWS)[:, 1])


def test_files_that_were_changed_added_or_taken_away_are_named(copied: Path, tmp_path: Path) -> None:
    for path in ("version.json", "package/model.skops"):
        before = (copied / path).read_bytes()
        (copied / path).write_bytes(before + b" ")
        with pytest.raises(Corrupt, match=path):
            opened(copied, tmp_path)
        (copied / path).write_bytes(before)
    (copied / "more.txt").write_text("more")
    with pytest.raises(Corrupt, match=r"more\.txt was added"):
        opened(copied, tmp_path)
    (copied / "more.txt").unlink()
    (copied / "package" / "model.skops").unlink()
    with pytest.raises(Corrupt, match=r"model\.skops .* is missing"):
        opened(copied, tmp_path)


def test_where_keys_are_trusted_one_of_them_must_have_signed(
    exported: Path, home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "home"
    client = hs.connect(str(other))
    client.registry.register(regression(), "any")  # makes a key
    client.close()
    with pytest.raises(Refused, match="not trusted here"):
        opened(exported, tmp_path, trusted_keys=str(other / "keys" / "trusted"))
    assert opened(exported, tmp_path, trusted_keys=str(home / "keys" / "trusted")).is_vouched
    with pytest.raises(Refused, match="not trusted here"):
        opened(exported, tmp_path, require_signature=True)


def regression() -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(ROWS, LABELS)


def test_a_pickle_is_opened_only_when_its_signer_is_trusted(home: Path, tmp_path: Path) -> None:
    export(home, "odd", tmp_path / "odd")
    with pytest.raises(Refused, match="pickle"):
        load_exported(opened(tmp_path / "odd", tmp_path))
    vouched = opened(tmp_path / "odd", tmp_path, trusted_keys=str(home / "keys" / "trusted"))
    assert load_exported(vouched).scorer.score(ROWS[:1]).shape == (1,)


def test_an_application_embeds_a_folder(exported: Path, tmp_path: Path, model: Any) -> None:
    async def main() -> None:
        app = hs.serving.app(str(exported), home=str(tmp_path / "elsewhere"))
        async with app, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as http:
            said = (await http.post("/v2/models/late/infer", json=BODY)).json()["outputs"][0]["data"]
            assert said == pytest.approx(model.predict_proba(ROWS[:2])[:, 1].tolist())

    asyncio.run(main())


def test_a_folder_that_holds_something_is_not_written_into(home: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        export(home, "late", tmp_path / "full")


def test_a_folder_without_a_manifest_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--serving"):
        opened(tmp_path, tmp_path)


@pytest.mark.slow
def test_openssf_model_signing_accepts_the_folder(exported: Path) -> None:
    (key,) = (exported / "keys").glob("*.pem")
    check = ["verify", "key", str(exported), "--signature", str(exported / "model.sig"), "--public_key", str(key)]
    answer = subprocess.run([str(CLIENTS), "-m", "model_signing", *check], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


# What a container decides ---------------------------------------------------------------------------------------------


def test_a_container_serves_what_is_mounted_unless_it_is_told_otherwise(exported: Path, tmp_path: Path) -> None:
    nothing, mounted = tmp_path / "nothing", exported
    assert plan_of({}, [nothing, mounted]) == (mounted, (), 8080)
    assert plan_of({"MODEL": str(mounted), "PORT": "9000"}, [nothing]) == (mounted, (), 9000)
    both = {"MODEL": "models:/late@champion, early@2", "PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "9001"}
    assert plan_of(both, [mounted]) == (None, ("models:/late@champion", "early@2"), 9001)
    assert plan_of({"HOMEOSTAT_DATABASE": "postgresql://there"}, [nothing]) == (None, (), 8080)


@pytest.mark.parametrize(
    ("environment", "field"),
    [({}, "MODEL"), ({"PORT": "http"}, "PORT"), ({"SAGEMAKER_BIND_TO_PORT": "0"}, "SAGEMAKER")],
)
def test_a_container_that_cannot_tell_what_to_do_names_the_variable(
    environment: dict[str, str], field: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid) as caught:
        plan_of(environment, [tmp_path])
    assert caught.value.field.startswith(field)


# As processes ---------------------------------------------------------------------------------------------------------


class Process:
    """A serving process on a free port, asked until it answers."""

    def __init__(self, command: list[str], port: int, **environment: str) -> None:
        self.port = port
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOMEOSTAT_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, env=inherited | environment
        )

    def post(self, path: str, body: Any) -> httpx.Response:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.TransportError):
                return httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, timeout=30)
            time.sleep(0.02)
        raise AssertionError(f"it did not answer; its exit code is {self._process.poll()}")

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def container(exported: Path, tmp_path: Path) -> Iterator[Process]:
    """The entry point as SageMaker runs it, on a folder that stands for /opt/ml/model."""
    port = free_port()
    settings = {"MODEL": str(exported), "SAGEMAKER_BIND_TO_PORT": str(port), "HOMEOSTAT_HOME": str(tmp_path / "volume")}
    process = Process(["homeostat.server.container", "serve"], port, **settings)
    yield process
    with suppress(ProcessLookupError):
        process.end()


@pytest.mark.slow
def test_the_container_keeps_sagemakers_contract_and_drains(container: Process, model: Any, tmp_path: Path) -> None:
    csv = "x0,x1,x2,x3\n" + "\n".join(",".join(map(repr, row)) for row in ROWS[:2].tolist())
    assert container.post("/v2/models/late/infer", BODY).status_code == 200
    ping = httpx.get(f"http://127.0.0.1:{container.port}/ping")
    headers = {"content-type": "text/csv", "accept": "application/json", "x-amzn-sagemaker-inference-id": "i-1"}
    said = httpx.post(f"http://127.0.0.1:{container.port}/invocations", content=csv, headers=headers)
    assert (ping.status_code, said.status_code) == (200, 200), said.text
    assert said.json()["predictions"] == pytest.approx(model.predict_proba(ROWS[:2])[:, 1].tolist())
    begun = time.monotonic()
    assert container.end() == 0
    assert time.monotonic() - begun < 30
    (log,) = wal_files(tmp_path / "volume" / "predictions")
    assert is_finished(log)


@pytest.mark.slow
def test_the_container_serves_what_the_catalogue_says_a_reference_means(home: Path, tmp_path: Path, model: Any) -> None:
    port = free_port()
    settings = {
        "MODEL": "models:/late@champion",
        "PORT": str(port),
        "HOMEOSTAT_DATABASE": f"sqlite:///{home / 'catalogue.db'}",
        "HOMEOSTAT_BLOBS": str(home / "blobs"),
        "HOMEOSTAT_TRUSTED_KEYS": str(home / "keys" / "trusted"),
        "HOMEOSTAT_HOME": str(tmp_path / "volume"),
    }
    process = Process(["homeostat.server.container", "serve"], port, **settings)
    answer = process.post("/v2/models/late/infer", BODY)
    assert answer.json()["outputs"][0]["data"] == pytest.approx(model.predict_proba(ROWS[:2])[:, 1].tolist())
    assert process.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [(["train"], "train"), ([], "nothing to serve")])
def test_a_container_that_cannot_serve_ends_with_the_reason(words: list[str], code: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "homeostat.server.container", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert code in ended.stderr


@pytest.mark.slow
def test_the_commands_export_verify_and_serve_a_folder(home: Path, tmp_path: Path, model: Any) -> None:
    folder = tmp_path / "out"
    homeostat = [sys.executable, "-m", "homeostat.cli.entry"]
    written = subprocess.run(
        [*homeostat, "model", "export", "late@1", str(folder), "--serving", "--json", "--home", str(home)],
        check=True,
        capture_output=True,
    )
    assert {"version.json", "model.sig", "package/model.skops"} <= set(json.loads(written.stdout)["files"])
    verified = [*homeostat, "model", "verify", str(folder), "--home", str(home)]
    subprocess.run(verified, check=True, capture_output=True)
    port = free_port()
    process = Process(
        ["homeostat.cli.entry", "serve", str(folder), "--home", str(tmp_path / "elsewhere"), "--port", str(port)], port
    )
    answer = process.post("/v2/models/late/infer", BODY)
    assert answer.json()["outputs"][0]["data"] == pytest.approx(model.predict_proba(ROWS[:2])[:, 1].tolist())
    assert process.end() == 0
