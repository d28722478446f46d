import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from receiver import receive

pytestmark = pytest.mark.slow
CLIENT = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("HOMEOSTAT_", "MLFLOW_"))}


def homeostat(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeostat.cli.entry", *arguments]
    given = PLAIN | {"HOMEOSTAT_HOME": str(home)} | environment
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def up(home: Path, host: str = "127.0.0.1", **environment: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--json", "--host", host, "--parent-watch"]
    given = PLAIN | {"HOMEOSTAT_HOME": str(home), "HOMEOSTAT_AUTH": "required"} | environment
    process = subprocess.Popen(
        [*command, "--port", "0", "--serving-port", "0"],
        env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        text = ""
        assert process.stdout is not None
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        yield json.loads(text)
    finally:
        process.communicate(timeout=30)


def test_a_public_address_is_refused_until_a_token_is_there(tmp_path: Path) -> None:
    refused = homeostat(tmp_path, "up", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2 and "HOMEOSTAT_AUTH=required" in refused.stderr
    refused = homeostat(tmp_path, "up", "--host", "0.0.0.0", "--port", "0", HOMEOSTAT_AUTH="required")
    assert refused.returncode == 2 and "homeostat token create" in refused.stderr
    made = homeostat(tmp_path, "token", "create", "ci")
    assert made.returncode == 0
    with up(tmp_path, host="0.0.0.0", HOMEOSTAT_TOKEN=made.stdout.strip()) as ready:
        port = ready["url"].rsplit(":", 1)[1]
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/api/models").status_code == 401
        bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{url}/api/models", headers=bearer).status_code == 200
        # The worker listens on this machine alone, and answers the server alone.
        assert ready["serving"].startswith("http://127.0.0.1:")
        assert httpx.get(f"{ready['serving']}/v2").status_code == 401
        assert httpx.get(f"{ready['serving']}/v2", headers=bearer).status_code == 401
        assert httpx.get(f"{url}/v2", headers=bearer).status_code == 200
        listed = homeostat(tmp_path, "token", "ls", "--json", HOMEOSTAT_URL=url, HOMEOSTAT_TOKEN=made.stdout.strip())
        assert listed.returncode == 2 and "'admin'" in listed.stderr
        token_id = json.loads(homeostat(tmp_path, "token", "ls", "--json").stdout)[0]["id"]
        assert homeostat(tmp_path, "token", "revoke", token_id).returncode == 0
        assert httpx.get(f"{url}/api/models", headers=bearer).status_code == 401


@pytest.mark.skipif(not CLIENT.exists(), reason="the foreign clients are not installed")
def test_the_real_mlflow_client_comes_in_with_a_token_as_bearer_and_as_password(tmp_path: Path) -> None:
    admin = homeostat(tmp_path, "token", "create", "boss", "--permission", "admin").stdout.strip()
    script = str(Path(__file__).parent / "mlflow_client_script.py")
    with receive() as receiver, up(tmp_path, HOMEOSTAT_WEBHOOK_ALLOW=receiver.address) as ready:

        def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            given = PLAIN | {"MLFLOW_TRACKING_URI": ready["url"], "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"} | environment
            command = [str(CLIENT), script, *arguments]
            return subprocess.run(command, env=given, capture_output=True, text=True, timeout=120, check=False)

        first = run(receiver.url, MLFLOW_TRACKING_TOKEN=admin)
        assert first.returncode == 0, first.stderr
        told = json.loads(first.stdout.splitlines()[-1])
        assert told["loss"] == 0.5
        assert (told["tried"], told["listed"], told["updated"]) == (200, ["hook"], "d")
        assert told["refused"] == "INVALID_PARAMETER_VALUE"
        assert "x-mlflow-signature" in receiver.requests[0][0]
        basic = run(MLFLOW_TRACKING_USERNAME="me", MLFLOW_TRACKING_PASSWORD=admin)
        assert json.loads(basic.stdout.splitlines()[-1])["loss"] == 0.5
        refused = run()
        assert refused.returncode != 0 and "wants a token" in refused.stderr


def test_deliveries_survive_the_server(tmp_path: Path) -> None:
    with receive() as receiver:
        environment = {"HOMEOSTAT_WEBHOOK_ALLOW": receiver.address, "HOMEOSTAT_AUTH": ""}
        made = homeostat(tmp_path, "webhook", "create", "hook", receiver.url, "--event", "token.created", **environment)
        assert made.returncode == 0, made.stderr
        homeostat(tmp_path, "token", "create", "while-nobody-serves")
        with up(tmp_path, **environment):
            deadline = time.monotonic() + 20
            while not receiver.requests and time.monotonic() < deadline:
                time.sleep(0.05)
        with up(tmp_path, **environment):
            time.sleep(1.5)
        assert [json.loads(body)["subject"] for _, body in receiver.requests] == ["while-nobody-serves"]
