"""The same calls to a real MLflow server and to ours: same statuses, codes and bodies, call by call."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow_helpers import API, Mlflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEER = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "mlflow"
MODELS, VERSIONS, ALIAS = "/registered-models", "/model-versions", "/registered-models/alias"
RUN_SOURCE = {"source": "runs:/{run}/model", "run_id": "{run}"}

Send = Callable[..., httpx.Response]
Call = tuple[str, str, dict[str, Any]]

NAMES: list[Call] = [
    *(
        ("POST", f"{MODELS}/create", {"name": name})
        for name in ("x", "x", "", "a/b", "a:b", "..", ".", " ", "é y", "e")
    ),
    ("POST", f"{MODELS}/create", {}),
    ("POST", f"{MODELS}/create", {"name": 5}),
    ("POST", f"{MODELS}/create", {"name": "t", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}),
    ("POST", f"{MODELS}/create", {"name": "u", "tags": [{"key": "a"}], "description": "words"}),
    ("POST", f"{MODELS}/create", {"name": "no", "tags": [{"value": "v"}]}),
    ("POST", f"{MODELS}/create", {"name": "no", "tags": "x"}),
    ("POST", f"{MODELS}/create", {"name": "no", "tags": [{"key": "k" * 251, "value": "v"}]}),
    ("POST", f"{MODELS}/create", {"name": "no", "tags": [{"key": "k", "value": "v" * 100_001}]}),
    *(("GET", f"{MODELS}/get", {"name": name}) for name in ("x", "t", "u", "no", "a/b", "")),
    ("PATCH", f"{MODELS}/update", {"name": "x", "description": "new"}),
    ("PATCH", f"{MODELS}/update", {"name": "no", "description": "new"}),
    ("PATCH", f"{MODELS}/update", {"description": "new"}),
    *(
        ("POST", f"{MODELS}/rename", {"name": name, "new_name": new})
        for name, new in (("é y", "z"), ("z", "x"), ("z", "a/b"), ("z", ""), ("no", "n"), ("z", "z"))
    ),
    *(
        ("POST", f"{MODELS}/set-tag", {"name": name, "key": key, "value": "v"})
        for name, key in (("x", "k"), ("x", ""), ("x", "a b.c/d-e:f"), ("x", "a*b"), ("no", "k"))
    ),
    ("POST", f"{MODELS}/set-tag", {"name": "x", "key": "empty"}),
    *(("DELETE", f"{MODELS}/delete-tag", {"name": name, "key": key}) for name, key in (("x", "k"), ("x", "never"))),
    ("DELETE", f"{MODELS}/delete-tag", {"name": "no", "key": "k"}),
]
ROOT = "mlflow-artifacts:/0/{run}/artifacts"
SOURCES: list[Call] = [
    ("POST", f"{VERSIONS}/create", {"name": "x", **body})
    for body in (
        RUN_SOURCE,
        {"source": "runs:/{run}", "run_id": "{run}"},
        {"source": "models:/{model}", "model_id": "{model}"},
        {"source": "models:/{model}", "model_id": "{model}", "run_id": "{run}"},
        {"source": f"{ROOT}/model", "run_id": "{run}"},
        {"source": f"{ROOT}/../x", "run_id": "{run}"},
        {"source": "runs:/{run}/model", "run_id": "{other}"},
        {"source": "runs:/{run}/model", "model_id": "{model}"},
        {"source": "models:/x/1"},
        {"source": "models:/x/latest"},
        {"source": "models:/x/99"},
        {"source": "models:/no/1"},
        {"source": "models:/x@no"},
        {"source": "models:/x/1", "run_id": "{other}"},
        {"source": "/etc/passwd"},
        {"source": "file:///etc", "run_id": "{run}"},
        {"source": "http://host/x"},
        {"source": ""},
        {},
        RUN_SOURCE | {"description": "d", "run_link": "http://l", "tags": [{"key": "n", "value": "1"}]},
        RUN_SOURCE | {"tags": [{"key": "", "value": "1"}]},
        RUN_SOURCE | {"name": "no"},
    )
]
LOOKS: list[Call] = [
    *(("GET", f"{VERSIONS}/get", {"name": "x", "version": v}) for v in ("1", "99", "a", "", "1.5", "-1", "01", "+1")),
    ("GET", f"{VERSIONS}/get", {"name": "no", "version": "1"}),
    *(("POST", f"{VERSIONS}/set-tag", {"name": "x", "version": v, "key": "k", "value": "v"}) for v in ("1", "99", "a")),
    *(("DELETE", f"{VERSIONS}/delete-tag", {"name": "x", "version": v, "key": "z"}) for v in ("1", "99", "a")),
    *(("PATCH", f"{VERSIONS}/update", {"name": "x", "version": v, "description": "d"}) for v in ("2", "99", "a")),
    ("GET", f"{VERSIONS}/get-download-uri", {"name": "x", "version": "99"}),
    *(
        (method, ALIAS, {"name": "x", "alias": alias} | ({"version": "1"} if method == "POST" else {}))
        for alias in ("champion", "Champ-1_x", "latest", "LATEST", "v1", "V22", "v", "", "a b", "a.b", "n" * 256)
        for method in ("POST", "GET", "DELETE")
    ),
    *(
        ("POST", ALIAS, {"name": name, "alias": "c", "version": version})
        for name, version in (("x", "99"), ("no", "1"), ("x", "z"), ("x", ""), ("x", "2"))
    ),
    *(("GET", ALIAS, {"name": name, "alias": alias}) for name, alias in (("x", "c"), ("x", "none"), ("no", "c"))),
    ("GET", ALIAS, {"name": "e", "alias": "latest"}),
    ("DELETE", ALIAS, {"name": "no", "alias": "c"}),
    ("GET", f"{MODELS}/get", {"name": "x"}),
]
STAGES: list[Call] = [
    *(
        ("POST", f"{VERSIONS}/transition-stage", {"name": "x", "version": "1", "stage": stage})
        for stage in ("Staging", "STAGING", "Production", "None", "none", "Archived", "Limbo", "", "production")
    ),
    *(
        ("POST", f"{VERSIONS}/transition-stage", {"name": name, "version": version, "stage": "Staging"})
        for name, version in (("x", "99"), ("no", "1"), ("x", ""))
    ),
    (
        "POST",
        f"{VERSIONS}/transition-stage",
        {"name": "x", "version": "3", "stage": "Production", "archive_existing_versions": True},
    ),
    ("GET", f"{VERSIONS}/get", {"name": "x", "version": "1"}),
    *(
        (method, f"{MODELS}/get-latest-versions", {"name": "x", "stages": stages})
        for stages in (["Production"], ["production"], ["None"], ["Limbo"], ["Staging"], ["Production", "Production"])
        for method in ("GET", "POST")
    ),
    *(("POST", f"{MODELS}/get-latest-versions", {"name": name}) for name in ("e", "no", "")),
]
FILTERS = (
    "name='x'", "name = 'x' AND run_id='{run}'", "run_id IN ('{run}','b')", "name IN ('x','y')", "name NOT IN ('x')",
    "version_number=2", "version_number > 1 and name='x'", "version_number='2'", "version_number=2.5",
    "version_number LIKE '2'", "source_path LIKE 'runs:%'", "tags.n='1'", "tag.n='1'", "tags.`n` = '1'",
    "tags.\"n\" = '1'", "tags.n LIKE '%'", "tags.n != '1'", "tags.k ILIKE 'V'", "name ~ 'x'", "foo='x'", "name=x",
    "name=5", "name", "attribute.name='x'", "name LIKE 'X'", "name ILIKE 'X'", 'name = "x"', "params.a='1'",
    "metrics.a > 1", "NAME='x'", "name='x';drop", "status='READY'", "user_id='a'", "name='it''s'", "run_id=''",
    "current_stage='Production'", "tags.`mlflow.prompt.is_prompt` = 'true'", "tags.`mlflow.prompt.is_prompt` != 'true'",
)  # fmt: skip
ORDERS = (["name"], ["name DESC"], ["version_number DESC", "name"], ["foo"], ["name asc"], ["name up"], ["tags.n"])
SEARCHES: list[Call] = [
    *(
        ("GET", f"{place}/search", {"filter": text, "order_by": ["name", *more]})
        for text in FILTERS
        for place, more in ((VERSIONS, ["version_number"]), (MODELS, []))
    ),
    *(("GET", f"{VERSIONS}/search", {"filter": "name='x'", "order_by": order}) for order in ORDERS),
    *(("GET", f"{MODELS}/search", {"order_by": order}) for order in ORDERS),
    *(("GET", f"{VERSIONS}/search", {"max_results": size}) for size in (0, -1, 200_001, "x", 2.5)),
    *(("GET", f"{MODELS}/search", {"max_results": size}) for size in (1001, "x", 2.5)),
    *(("GET", f"{place}/search", {"page_token": "nonsense"}) for place in (VERSIONS, MODELS)),
]
ENDS: list[Call] = [
    *(("DELETE", f"{VERSIONS}/delete", {"name": "x", "version": version}) for version in ("2", "2", "a", "")),
    ("GET", f"{VERSIONS}/get", {"name": "x", "version": "2"}),
    ("GET", ALIAS, {"name": "x", "alias": "c"}),
    ("POST", f"{VERSIONS}/create", {"name": "x"} | RUN_SOURCE),
    ("POST", f"{MODELS}/rename", {"name": "u", "new_name": "uu"}),
    ("DELETE", f"{MODELS}/delete", {"name": "x"}),
    ("DELETE", f"{MODELS}/delete", {"name": "x"}),
    ("GET", f"{VERSIONS}/get", {"name": "x", "version": "1"}),
    ("POST", f"{MODELS}/create", {"name": "x"}),
    ("POST", f"{VERSIONS}/create", {"name": "x"} | RUN_SOURCE),
]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    """A real MLflow server on SQLite."""
    folder = tmp_path_factory.mktemp("peer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PEER), "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "files"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait(client)
            yield client.request
    finally:
        server.terminate()
        server.wait(30)


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "MLflow's server did not start"
        time.sleep(0.2)


class Side:
    """One of the two, with a run, another run and a logged model of its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.run, self.other = (
            self._made("/runs/create", experiment_id="0", start_time=1)["run"]["info"]["run_id"] for _ in range(2)
        )
        model = self._made("/logged-models", experiment_id="0", name="m", source_run_id=self.run)
        self.model = model["model"]["info"]["model_id"]

    def _made(self, path: str, **body: Any) -> dict[str, Any]:
        return self._send("POST", API + path, json=body).json()  # type: ignore[no-any-return]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Status and code of a refusal; status and body of an answer, without what two servers cannot share."""
        text = json.dumps(body)
        for name in ("run", "other", "model"):
            text = text.replace(f"{{{name}}}", getattr(self, name))
        sent = {"params" if method == "GET" else "json": json.loads(text)}
        response = self._send(method, API + path, **sent)
        if response.status_code != 200:
            return response.status_code, response.json()["error_code"]
        told = response.text
        for name in ("run", "other", "model"):
            told = told.replace(getattr(self, name), f"<{name}>")
        told = re.sub(r'(timestamp": ?)\d+', r"\g<1>0", told)
        return 200, _plain(json.loads(told), keeps_aliases=not path.endswith("/search"))


def _plain(value: Any, *, keeps_aliases: bool) -> Any:
    """Tags in order; of aliases not those of stages, and none in searches, where MLflow leaves versions' out."""
    if isinstance(value, list):
        items = [_plain(item, keeps_aliases=keeps_aliases) for item in value]
        return sorted(items, key=json.dumps) if items and isinstance(items[0], dict) and "key" in items[0] else items
    if not isinstance(value, dict):
        return value
    plain = {key: _plain(item, keeps_aliases=keeps_aliases) for key, item in value.items() if key != "aliases"}
    told = [item for item in value.get("aliases", ()) if not {"staging", "production"} & set(_names(item))]
    if keeps_aliases and told:
        plain["aliases"] = told
    if "latest_versions" in plain:  # in which order MLflow does not say
        plain["latest_versions"].sort(key=lambda version: version["version"])
    return plain


def _names(alias: Any) -> list[str]:
    return list(alias.values()) if isinstance(alias, dict) else [alias]


def test_what_is_called_in_one_order_is_answered_alike(peer: Send, mlflow_sqlite: Mlflow) -> None:
    theirs, ours = Side(peer), Side(mlflow_sqlite.request)
    differences = []
    for call in [*NAMES, *SOURCES, *LOOKS, *STAGES, *SEARCHES, *ENDS]:
        wanted, found = theirs.answer(*call), ours.answer(*call)
        if wanted != found:
            differences.append((call, wanted, found))
    assert differences == [], "\n".join(
        f"{call}\n  MLflow {wanted}\n  ours   {found}" for call, wanted, found in differences
    )
