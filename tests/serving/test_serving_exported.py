"""A version as a folder: written, verified by ours and by OpenSSF's tool, served without a catalogue."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from exporting import BODY, LABELS, ROWS, Process, export, fitted, free_port, make_home, wanted

import homeostat as hs
from homeostat.ground.errors import Conflict, Corrupt, NotFound, Refused
from homeostat.ground.settings import Settings
from homeostat.server.exported import Exported, load_exported, open_exported

CLIENTS = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    return make_home(tmp_path_factory.mktemp("exporting") / "home", model)


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
            assert said == pytest.approx(wanted(model))

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
    assert answer.json()["outputs"][0]["data"] == pytest.approx(wanted(model))
    assert process.end() == 0
