"""MLflow's registry with whole processes: the real client, its webhooks, the ledger's answers, a tampered package."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest
from receiver import Receiver, receive

from homeostat.registry.versions import get_version
from homeostat.store.database import open_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLIENT = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
SCRIPT = Path(__file__).with_name("mlflow_registry_script.py")
PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("HOMEOSTAT_", "MLFLOW_"))}


class Up:
    """`homeostat up` on a home, for one `with`."""

    def __init__(self, home: Path, receiver: Receiver) -> None:
        self.home = home
        self._environment = PLAIN | {"HOMEOSTAT_HOME": str(home), "HOMEOSTAT_WEBHOOK_ALLOW": receiver.address}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--json", "--port", "0", "--serving-port", "0"]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += self._process.stdout.readline()
        self.url = json.loads(text)["url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def script(self, *arguments: str) -> dict[str, Any]:
        """The real client, with nothing but where the server is."""
        given = PLAIN | {"MLFLOW_TRACKING_URI": self.url}
        command = [str(CLIENT), str(SCRIPT), *arguments]
        done = subprocess.run(
            command, env=given, cwd=self.home, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "homeostat.cli.entry", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receiver, dict[str, Any], dict[str, Any]]:
    """A home in which the client registered and loaded, what arrived at its webhook, and what it said."""
    home = tmp_path_factory.mktemp("registry") / "home"
    home.mkdir()
    with receive() as receiver, Up(home, receiver) as server:
        registered = server.script("register", receiver.url)
        loaded = server.script("load")
        deadline = time.monotonic() + 30
        while len(receiver.requests) < 10 and time.monotonic() < deadline:
            time.sleep(0.05)
    return home, receiver, registered, loaded


def test_the_champion_answers_as_the_model_that_was_trained(told: Any) -> None:
    _, _, registered, loaded = told
    assert loaded["predicted"] == registered["predicted"]


def test_webhooks_hear_of_every_change_in_mlflows_words_and_signed(told: Any) -> None:
    _, receiver, registered, _ = told
    heard: dict[str, list[dict[str, Any]]] = {}
    for headers, body in receiver.requests:
        signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{body.decode()}"
        wanted = base64.b64encode(hmac.new(b"s3cret", signed.encode(), hashlib.sha256).digest()).decode()
        assert headers["x-mlflow-signature"] == f"v1,{wanted}"
        event = json.loads(body)
        heard.setdefault(f"{event['entity']}.{event['action']}", []).append(event["data"])
    assert heard.keys() == {
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
    }
    assert heard["registered_model.created"] == [{"name": "late", "tags": {}, "description": None}]
    versions = {data["version"]: data for data in heard["model_version.created"]}
    assert versions["2"] == {
        "name": "late",
        "version": "2",
        "source": registered["source"],
        "run_id": registered["run"],
        "tags": {"second": "yes"},
        "description": None,
    }
    assert heard["model_version_tag.set"] == [{"name": "late", "version": "1", "key": "checked", "value": "é"}]
    assert heard["model_version_tag.deleted"] == [{"name": "late", "version": "1", "key": "checked"}]
    moves = [(data["alias"], data["version"]) for data in heard["model_version_alias.created"]]
    assert sorted(moves) == [("champion", "1"), ("champion", "1"), ("champion", "2"), ("gone", "2")]
    assert heard["model_version_alias.deleted"] == [{"name": "late", "alias": "gone"}]


def test_the_ledger_has_the_moves_and_rolls_them_back_for_the_client(told: Any) -> None:
    home, receiver, _, _ = told
    with Up(home, receiver) as server:
        rows = json.loads(server.command("model", "history", "late", "--alias", "champion", "--json").stdout)
        assert [(row["from_version"], row["to_version"]) for row in rows] == [(None, 1), (1, 2), (2, 1)]
        done = server.command("model", "rollback", "late", "--reason", "worse than it looked")
        assert done.returncode == 0, done.stderr
        rows = json.loads(server.command("model", "history", "late", "--alias", "champion", "--json").stdout)
        assert (rows[-1]["to_version"], rows[-1]["kind"]) == (2, "rollback")


def test_a_tampered_package_is_refused_by_name_at_once(told: Any) -> None:
    home, receiver, registered, _ = told
    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    with database.read() as conn:
        manifest = get_version(conn, "late", 1).package.manifest
    database.close()
    name = max(manifest, key=lambda path: (path.startswith("model."), manifest[path].size))
    digest = manifest[name].digest
    blob = home / "blobs" / digest[:2] / digest[2:]
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with Up(home, receiver) as server:
        refused = server.script("load")
        assert f"{name} of late@" in refused["error"] and "was changed" in refused["error"], refused
        assert refused["seconds"] < 30
        assert server.command("model", "verify", "late@1").returncode != 0
        blob.write_bytes(whole)
        assert server.script("load")["predicted"] == registered["predicted"]
