"""MLflow's registry: exact shapes and codes on the wire, the ledger behind it, and what no client would send."""

from pathlib import Path
from typing import Any

import pytest
from mlflow_helpers import API, DENIED, INVALID, MISSING, THERE_ALREADY, Mlflow

from homeostat.ground.access import EVERYTHING, Identity
from homeostat.ground.settings import load_settings
from homeostat.loop.releases import route
from homeostat.registry.aliases import history, version_at
from homeostat.registry.keys import signing_key, trusted
from homeostat.registry.promotion import approve, list_requests
from homeostat.registry.requirements import parse_requirement
from homeostat.registry.signing import verify_version
from homeostat.registry.stages import Stage, declare_stages
from homeostat.registry.versions import get_version
from homeostat.serving.endpoints import find_endpoint
from homeostat.serving.types import Arm
from homeostat.store.blobs import BlobStore
from homeostat.store.events import list_events

MODELS, VERSIONS = "/registered-models", "/model-versions"
MLMODEL = b"""flavors:
  sklearn:
    pickled_model: model.pkl
signature:
  inputs: '[{"type": "double", "name": "it''s wide", "required": true}, {"type": "string",
    "name": "origin", "required": false}]'
  outputs: '[{"type": "long", "required": true}]'
"""


def send(mlflow: Mlflow, method: str, path: str, **body: Any) -> dict[str, Any]:
    response = mlflow.request(method, API + path, json=body)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def refused(mlflow: Mlflow, method: str, path: str, error: tuple[int, str] = INVALID, **body: Any) -> str:
    response = mlflow.request(method, API + path, json=body)
    assert (response.status_code, response.json()["error_code"]) == error, response.text
    return response.json()["message"]  # type: ignore[no-any-return]


def put(mlflow: Mlflow, run: str, path: str, data: bytes) -> None:
    target = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/{path}"
    assert mlflow.request("PUT", target, content=data).status_code == 200


def register(mlflow: Mlflow, name: str = "m", *, run: str | None = None, **more: Any) -> dict[str, Any]:
    run = run or mlflow.start()
    body = {"name": name, "source": f"runs:/{run}/model", "run_id": run} | more
    return mlflow.post(f"{VERSIONS}/create", **body)["model_version"]  # type: ignore[no-any-return]


@pytest.fixture
def filled(mlflow: Mlflow) -> Mlflow:
    """The model `m` with versions 1 to 3, each of a run of its own that measured auc."""
    mlflow.post(f"{MODELS}/create", name="m")
    for place in range(3):
        run = mlflow.start()
        mlflow.post("/runs/log-metric", run_id=run, key="auc", value=round(0.7 + place / 10, 1), timestamp=1)
        put(mlflow, run, "model/MLmodel", MLMODEL)
        put(mlflow, run, "model/data/weights.bin", bytes([place]) * 10)
        register(mlflow, run=run)
    return mlflow


def test_a_model_and_a_version_look_as_mlflow_shows_them(mlflow: Mlflow) -> None:
    made = mlflow.post(f"{MODELS}/create", name="iris-clf")["registered_model"]
    assert set(made) == {"name", "creation_timestamp", "last_updated_timestamp"}
    assert made["creation_timestamp"] == made["last_updated_timestamp"]
    assert isinstance(made["creation_timestamp"], int)
    run = mlflow.start()
    version = register(mlflow, "iris-clf", run=run)
    assert version == {
        "name": "iris-clf",
        "version": "1",
        "creation_timestamp": version["creation_timestamp"],
        "last_updated_timestamp": version["creation_timestamp"],
        "current_stage": "None",
        "description": "",
        "source": f"runs:/{run}/model",
        "run_id": run,
        "status": "READY",
        "run_link": "",
    }
    mlflow.post(f"{MODELS}/alias", name="iris-clf", alias="champion", version="1")
    shown = mlflow.get(f"{MODELS}/get", name="iris-clf")["registered_model"]
    assert shown["aliases"] == [{"alias": "champion", "version": "1"}] and shown["latest_versions"] == [version]
    found = mlflow.get(f"{MODELS}/alias", name="iris-clf", alias="champion")["model_version"]
    assert found == version | {"aliases": ["champion"]}
    assert mlflow.get(f"{VERSIONS}/get", name="iris-clf", version="1")["model_version"] == found


def test_two_registrations_of_one_run_are_two_versions(mlflow: Mlflow) -> None:
    mlflow.post(f"{MODELS}/create", name="m")
    run = mlflow.start()
    assert [register(mlflow, run=run)["version"] for _ in range(3)] == ["1", "2", "3"]


def test_what_is_missing_or_odd_is_refused_by_name(filled: Mlflow) -> None:
    assert "already exists" in filled.refused(f"{MODELS}/create", THERE_ALREADY, name="m")
    for name in ("", " ", "a/b", "a:b", ".", "..", "n" * 257, "a\x00b", "a\nb"):
        filled.refused(f"{MODELS}/create", name=name)
    assert "'name'" in refused(filled, "GET", f"{MODELS}/get")
    refused(filled, "GET", f"{MODELS}/get", MISSING, name="nobody")
    refused(filled, "GET", f"{VERSIONS}/get", MISSING, name="m", version="9")
    for odd in ("x", "1.5", "", "9" * 30):
        refused(filled, "GET", f"{VERSIONS}/get", name="m", version=odd)
    refused(filled, "GET", f"{VERSIONS}/get", MISSING, name="m", version=str(10**15))
    filled.refused(f"{MODELS}/set-tag", name="m", key="k" * 251, value="v")
    filled.refused(f"{MODELS}/set-tag", name="m", key="k", value="v" * 100_001)
    filled.refused(f"{MODELS}/set-tag", name="m", key="../k", value="v")
    filled.refused(f"{VERSIONS}/set-tag", MISSING, name="m", version="7", key="k", value="v")
    message = refused(filled, "GET", f"{MODELS}/alias", name="m", alias="nope")
    assert message == "Registered model alias nope not found."
    refused(filled, "GET", f"{MODELS}/alias", MISSING, name="nobody", alias="latest")
    send(filled, "DELETE", f"{MODELS}/delete-tag", name="m", key="never")
    send(filled, "DELETE", f"{MODELS}/alias", name="m", alias="never")
    refused(filled, "DELETE", f"{MODELS}/delete-tag", MISSING, name="nobody", key="never")


def test_names_with_spaces_and_letters_of_all_scripts_are_models(mlflow: Mlflow) -> None:
    name = "ボストン house prices (v2) é"
    mlflow.post(f"{MODELS}/create", name=name, tags=[{"key": "clé", "value": "🚂"}])
    version = register(mlflow, name)
    mlflow.post(f"{MODELS}/alias", name=name, alias="champion", version=version["version"])
    copied = mlflow.post(f"{VERSIONS}/create", name=name, source=f"models:/{name}@champion")["model_version"]
    assert (copied["source"], copied["run_id"]) == (f"models:/{name}/1", version["run_id"])
    found = mlflow.get(f"{VERSIONS}/search", filter=f"name = '{name}'")["model_versions"]
    assert [item["version"] for item in found] == ["2", "1"]


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:80/x",
        "https://host/api/2.0/mlflow-artifacts/artifacts/0/x",
        "s3://bucket/key",
        "ftp://host/x",
        "runs:/../../etc/passwd",
        "runs:/{run}/%2e%2e/%2e%2e/x",
        "runs:/{run}/a%00b",
        "runs:/{run}/a\\..\\b",
        "runs://host/{run}/model",
        "runs:/" + "0" * 32 + "/model",
        "mlflow-artifacts:/../../x",
        "mlflow-artifacts://host:1/..%2f..%2fx",
        "mlflow-artifacts:/0/" + "0" * 32 + "/artifacts/model",
        "mlflow-artifacts:/stray/folder",
        "models:/m-" + "0" * 32,
        "models:/a/b/c",
        "models://host/m/1",
        "models:/",
        "runs:/{run}/model?x=1",
        "http://[",
    ],
)
def test_a_source_that_is_not_ours_is_refused_and_never_opened(mlflow_sqlite: Mlflow, source: str) -> None:
    mlflow_sqlite.post(f"{MODELS}/create", name="m")
    run = mlflow_sqlite.start()
    message = mlflow_sqlite.refused(f"{VERSIONS}/create", name="m", source=source.format(run=run))
    assert "root:" not in message
    assert mlflow_sqlite.get(f"{VERSIONS}/search") == {}


def test_run_and_model_must_be_those_of_the_source(filled: Mlflow) -> None:
    run, other = filled.start(), filled.start()
    filled.refused(f"{VERSIONS}/create", name="m", source=f"runs:/{run}/model", run_id=other)
    filled.refused(f"{VERSIONS}/create", name="m", source=f"runs:/{run}/model", model_id="m-1")
    filled.refused(f"{VERSIONS}/create", name="m", source="models:/m/1", run_id=other)
    filled.refused(f"{VERSIONS}/create", MISSING, name="m", source="models:/m/99")
    filled.refused(f"{VERSIONS}/create", MISSING, name="m", source="models:/nobody/1")
    filled.refused(f"{VERSIONS}/create", MISSING, name="nobody", source=f"runs:/{run}/model")
    filled.refused(f"{VERSIONS}/create", name="m")


def test_a_versions_files_stay_as_they_were_registered(filled: Mlflow) -> None:
    found = filled.get(f"{VERSIONS}/get", name="m", version="1")["model_version"]
    uri = filled.get(f"{VERSIONS}/get-download-uri", name="m", version="1")["artifact_uri"]
    folder = uri.removeprefix("mlflow-artifacts:/")
    put(filled, found["run_id"], "model/data/weights.bin", b"changed")
    send_path = f"/api/2.0/mlflow-artifacts/artifacts/0/{found['run_id']}/artifacts/model"
    assert filled.request("DELETE", send_path).status_code == 200
    listed = filled.request("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": folder}).json()["files"]
    assert listed == [
        {"path": "MLmodel", "is_dir": False, "file_size": len(MLMODEL)},
        {"path": "data", "is_dir": True},
    ]
    below = filled.request("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": f"{folder}/data"}).json()
    assert [item["path"] for item in below["files"]] == ["weights.bin"]
    file = f"/api/2.0/mlflow-artifacts/artifacts/{folder}/data/weights.bin"
    assert filled.request("GET", file).content == b"\0" * 10
    for answer in (filled.request("PUT", file, content=b"x"), filled.request("DELETE", file)):
        assert (answer.status_code, answer.json()["error_code"]) == INVALID
    assert filled.request("GET", file).content == b"\0" * 10
    assert filled.request("GET", f"/api/2.0/mlflow-artifacts/artifacts/{folder}/%2e%2e/x").status_code == 400
    assert filled.request("GET", f"/api/2.0/mlflow-artifacts/artifacts/{folder}/nope").status_code == 404
    plain = {"name": "m", "version": "1", "path": "data/weights.bin"}
    assert filled.request("GET", "/model-versions/get-artifact", params=plain).content == b"\0" * 10


def test_a_version_knows_its_lineage_its_signature_and_what_was_measured(filled: Mlflow) -> None:
    with filled.database.read() as conn:
        version = get_version(conn, "m", 2)
    assert version.evaluation == {"evaluation": {"challenger": {"auc": 0.8}}}
    assert [(item.name, item.dtype, item.nullable) for item in version.signature.inputs] == [
        ("it's wide", "number", False),
        ("origin", "string", True),
    ]
    assert version.lineage["run"] == version.run_id and version.lineage["project"] == "Default"
    assert sorted(version.package.manifest) == ["MLmodel", "data/weights.bin"]
    assert all(len(file.sha256) == 64 for file in version.package.manifest.values())


def test_a_version_is_signed_when_the_home_has_a_key(mlflow_sqlite: Mlflow, tmp_path: Path) -> None:
    settings = load_settings(home=str(tmp_path / "home"))
    mlflow_sqlite.app._signing_key = lambda: signing_key(settings)
    mlflow_sqlite.post(f"{MODELS}/create", name="m")
    run = mlflow_sqlite.start()
    put(mlflow_sqlite, run, "model/MLmodel", MLMODEL)
    register(mlflow_sqlite, run=run)
    with mlflow_sqlite.database.read() as conn:
        version = get_version(conn, "m", 1)
    verified = verify_version(BlobStore(str(tmp_path / "blobs")), version, trusted(settings))
    assert verified.signed and verified.files == ("MLmodel",)


def test_aliases_are_rows_of_the_ledger_with_who_moved_them(filled: Mlflow) -> None:
    filled.identity = Identity("robot", EVERYTHING)
    for number in ("1", "2", "3", "2"):
        filled.post(f"{MODELS}/alias", name="m", alias="champion", version=number)
    send(filled, "DELETE", f"{MODELS}/alias", name="m", alias="champion")
    with filled.database.read() as conn:
        moves = history(conn, "m", alias="champion")
        times = [version_at(conn, "m", "champion", move.at) for move in moves]
    assert [(move.from_version, move.to_version) for move in moves] == [(None, 1), (1, 2), (2, 3), (3, 2), (2, None)]
    assert {move.actor for move in moves} == {"robot"} and times == [1, 2, 3, 2, None]


def test_moving_the_champion_of_a_served_model_asks_for_one_that_can_answer(filled: Mlflow) -> None:
    with filled.database.write() as conn:
        route(conn, "m", [Arm(version=1, weight=10_000, arm="stable")], at=1, actor="loop", reason="test")
    message = filled.refused(f"{MODELS}/alias", DENIED, name="m", alias="champion", version="2")
    assert "without the features it takes" in message
    for path in (f"{MODELS}/delete", f"{VERSIONS}/delete"):
        assert "m" in refused(filled, "DELETE", path, name="m", version="1")
    send(filled, "DELETE", f"{VERSIONS}/delete", name="m", version="2")
    assert "in service" in filled.refused(f"{MODELS}/rename", THERE_ALREADY, name="m", new_name="n")
    with filled.database.read() as conn:
        endpoint = find_endpoint(conn, "m")
        assert endpoint is not None and history(conn, "m") == []
        assert [arm.version for arm in endpoint.arms] == [1]


def stages(mlflow: Mlflow) -> dict[str, str]:
    found = mlflow.get(f"{VERSIONS}/search", filter="name = 'm'")["model_versions"]
    return {item["version"]: item["current_stage"] for item in found}


def test_mlflows_stages_are_aliases_of_the_ledger(filled: Mlflow) -> None:
    at = f"{VERSIONS}/transition-stage"
    assert filled.post(at, name="m", version="1", stage="staging")["model_version"]["current_stage"] == "Staging"
    filled.post(at, name="m", version="1", stage="Production")
    filled.post(at, name="m", version="2", stage="Production")
    assert stages(filled) == {"1": "Production", "2": "Production", "3": "None"}
    filled.post(at, name="m", version="3", stage="Production", archive_existing_versions=True)
    assert stages(filled) == {"1": "Archived", "2": "Archived", "3": "Production"}
    latest = filled.post(f"{MODELS}/get-latest-versions", name="m")["model_versions"]
    assert [(item["version"], item["current_stage"]) for item in latest] == [("3", "Production"), ("2", "Archived")]
    assert filled.get(f"{MODELS}/get-latest-versions", name="m", stages=["Staging"]) == {}
    with filled.database.read() as conn:
        assert [move.to_version for move in history(conn, "m", alias="production")] == [1, 2, 3]
    filled.refused(at, name="m", version="1", stage="Limbo")
    filled.refused(at, name="m", version="1", stage="Archived", archive_existing_versions=True)
    filled.refused(at, MISSING, name="m", version="8", stage="Staging")


def test_a_declared_stage_that_asks_for_something_is_refused_with_numbers(filled: Mlflow) -> None:
    asked = (parse_requirement("auc>=0.75"), parse_requirement("has_signature"))
    with filled.database.write() as conn:
        declare_stages(conn, [Stage(name="qa"), Stage(name="production", requires=asked)], model="m", at=1, actor="a")
    at = f"{VERSIONS}/transition-stage"
    message = filled.refused(at, DENIED, name="m", version="1", stage="Production")
    assert "auc >= 0.75 (it is 0.7)" in message
    filled.refused(f"{MODELS}/alias", DENIED, name="m", alias="production", version="1")
    filled.post(at, name="m", version="2", stage="Production")
    assert filled.post(at, name="m", version="1", stage="qa")["model_version"]["current_stage"] == "qa"
    filled.refused(at, name="m", version="1", stage="Staging")


def test_a_stage_that_needs_another_persons_word_leaves_a_request_behind(filled: Mlflow) -> None:
    with filled.database.write() as conn:
        declare_stages(conn, [Stage(name="production", approval=True)], model="m", at=1, actor="a")
    filled.identity = Identity("ada", EVERYTHING)
    at = f"{VERSIONS}/transition-stage"
    for _ in range(2):
        message = filled.refused(at, DENIED, name="m", version="2", stage="Production")
    with filled.database.write() as conn:
        (request,) = list_requests(conn, "m", pending=True)
        assert request.id in message and request.asked_by == "ada"
        approve(conn, request.id, at=2, actor="bob")
    assert stages(filled)["2"] == "Production"
    filled.post(at, name="m", version="2", stage="Production")


def test_searches_filter_order_and_page(filled: Mlflow) -> None:
    filled.post(f"{VERSIONS}/set-tag", name="m", version="2", key="k", value="Val")
    for name in ("b", "a", "c"):
        filled.post(f"{MODELS}/create", name=name, tags=[{"key": "t", "value": name.upper()}])

    def versions(text: str, **more: Any) -> list[str]:
        found = filled.get(f"{VERSIONS}/search", filter=text, **more).get("model_versions", [])
        return [item["version"] for item in found]

    def models(text: str, **more: Any) -> list[str]:
        found = filled.get(f"{MODELS}/search", filter=text, **more).get("registered_models", [])
        return [item["name"] for item in found]

    assert models("") == ["a", "b", "c", "m"]
    assert models("name IN ('a', 'm')", order_by=["name DESC"]) == ["m", "a"]
    assert models("name NOT IN ('a', 'm') and tags.t != 'C'") == ["b"]
    assert models("tags.t ILIKE 'b%' or name = 'm'") == ["b", "m"]
    assert models("not tags.t IS NULL") == ["a", "b", "c"]
    assert models("", order_by=["last_updated_timestamp DESC", "name"])[0] in ("m", "c")
    assert versions("version_number > 1", order_by=["version_number ASC"]) == ["2", "3"]
    assert versions("version_number = '2'") == versions("tags.k = 'Val'") == versions("tag.`k` LIKE 'V%'") == ["2"]
    assert versions("tags.k LIKE 'v%'") == versions("run_id = 'nobody'") == []
    assert versions("name = 'm' and creation_timestamp > now() - 1h", order_by=["version_number"]) == ["1", "2", "3"]
    assert versions("tags.k IS NULL", order_by=["version_number DESC"]) == ["3", "1"]
    for bad in ("color = 'x'", "metrics.a > 1", "name", "version_number LIKE '1'", "name = 5", "version_number = 1.5"):
        refused(filled, "GET", f"{VERSIONS}/search", filter=bad)
    for bad in ("nope", "name, name", "tags.x"):
        refused(filled, "GET", f"{MODELS}/search", order_by=[bad])
    refused(filled, "GET", f"{MODELS}/search", order_by=["name", "name DESC"])
    for size in (0, -1, 1001):
        refused(filled, "GET", f"{MODELS}/search", max_results=size)
    refused(filled, "GET", f"{VERSIONS}/search", max_results=200_001)


def test_pages_hold_each_once_while_others_register(filled: Mlflow) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"max_results": 1, "order_by": ["version_number ASC"]}
    while True:
        page = filled.get(f"{VERSIONS}/search", **query)
        seen += [item["version"] for item in page["model_versions"]]
        if len(seen) == 1:
            register(filled)
        if "next_page_token" not in page:
            break
        query["page_token"] = page["next_page_token"]
    assert seen == ["1", "2", "3", "4"]
    refused(filled, "GET", f"{VERSIONS}/search", page_token="nonsense")  # noqa: S106  a place in a list
    refused(filled, "GET", f"{MODELS}/search", page_token=query["page_token"])


def test_a_deleted_number_is_not_given_again_and_a_deleted_name_is(filled: Mlflow) -> None:
    filled.post(f"{MODELS}/alias", name="m", alias="champion", version="3")
    send(filled, "DELETE", f"{VERSIONS}/delete", name="m", version="3")
    refused(filled, "GET", f"{VERSIONS}/get", MISSING, name="m", version="3")
    refused(filled, "GET", f"{MODELS}/alias", name="m", alias="champion")
    assert register(filled)["version"] == "4"
    send(filled, "DELETE", f"{MODELS}/delete", name="m")
    refused(filled, "GET", f"{MODELS}/get", MISSING, name="m")
    assert filled.get(f"{VERSIONS}/search") == {}
    filled.post(f"{MODELS}/create", name="m")
    assert register(filled)["version"] == "1"
    with filled.database.read() as conn:
        assert history(conn, "m") == []


def test_prompts_stay_out_of_the_way_of_models(mlflow: Mlflow) -> None:
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    mlflow.post(f"{MODELS}/create", name="greeting", tags=[tag])
    mlflow.post(f"{MODELS}/create", name="model")
    made = mlflow.post(f"{VERSIONS}/create", name="greeting", source="dummy-source", tags=[tag])["model_version"]
    assert (made["source"], made["run_id"]) == ("dummy-source", "")
    mlflow.refused(f"{VERSIONS}/create", name="greeting", source="/etc/passwd", tags=[tag])
    names = {}
    for text in ("", "tags.`mlflow.prompt.is_prompt` != 'true'", "tags.`mlflow.prompt.is_prompt` = 'true'"):
        found = mlflow.get(f"{MODELS}/search", filter=text)["registered_models"]
        names[text[-9:]] = [item["name"] for item in found]
    assert list(names.values()) == [["model"], ["model"], ["greeting"]]


def test_tokens_of_a_project_reach_the_models_of_its_name_alone(filled: Mlflow) -> None:
    filled.post(f"{MODELS}/create", name="mine")
    filled.identity = Identity("robot", EVERYTHING, frozenset({"mine"}))
    found = filled.get(f"{MODELS}/search")["registered_models"]
    assert [item["name"] for item in found] == ["mine"] and filled.get(f"{VERSIONS}/search") == {}
    refused(filled, "GET", f"{MODELS}/get", DENIED, name="m")
    refused(filled, "GET", f"{VERSIONS}/get", DENIED, name="m", version="1")
    filled.refused(f"{MODELS}/create", DENIED, name="theirs")
    filled.refused(f"{VERSIONS}/create", DENIED, name="mine", source="models:/m/1")
    folder = "registered/m/1"
    answer = filled.request("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": folder})
    assert answer.status_code == 403


def test_what_happens_is_told(filled: Mlflow) -> None:
    filled.post(f"{MODELS}/alias", name="m", alias="champion", version=1)
    filled.post(f"{VERSIONS}/set-tag", name="m", version="1", key="k", value="v")
    with filled.database.read() as conn:
        kinds = [event.kind for event in list_events(conn, subject="m")]
    assert kinds == ["model.created", *["version.registered"] * 3, "alias.moved", "version.tag_set"]
