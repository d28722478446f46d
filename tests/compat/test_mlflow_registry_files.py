"""The files of MLflow's model versions: which sources are taken, that they are frozen, and that they are checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mlflow_helpers import API, DENIED, INVALID, MISSING, Mlflow

from homeostat.ground.settings import Settings
from homeostat.registry import store
from homeostat.registry.keys import trusted
from homeostat.registry.signing import verify_version
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.database import Database
from homeostat.store.sweep import sweep

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MLMODEL = b"""artifact_path: model
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "string", "name": "it''s",
    "required": false}]'
  outputs: '[{"type": "long", "required": true}]'
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


@pytest.fixture
def home(sqlite_database: Database, tmp_path: Path, settings: Settings) -> Iterator[Mlflow]:
    with Mlflow(sqlite_database, tmp_path, settings=settings).open() as client:
        client.post("/registered-models/create", name="x")
        yield client


def put(mlflow: Mlflow, path: str, content: bytes) -> None:
    response = mlflow.request("PUT", f"{PROXY}/{path}", content=content)
    assert response.status_code == 200, response.text


def logged(mlflow: Mlflow, content: bytes = b"weights") -> str:
    """A run with a model in its folder `model`."""
    run = mlflow.start()
    put(mlflow, f"0/{run}/artifacts/model/MLmodel", MLMODEL)
    put(mlflow, f"0/{run}/artifacts/model/data/w.bin", content)
    return run


def register(mlflow: Mlflow, source: str, **more: Any) -> dict[str, Any]:
    reply = mlflow.post("/model-versions/create", name="x", source=source, **more)
    return reply["model_version"]  # type: ignore[no-any-return]


def uri_of(mlflow: Mlflow, version: str = "1") -> str:
    uri: str = mlflow.get("/model-versions/get-download-uri", name="x", version=version)["artifact_uri"]
    return uri


def place_of(mlflow: Mlflow, version: str = "1") -> str:
    return uri_of(mlflow, version).removeprefix("mlflow-artifacts:/")


def fetched(mlflow: Mlflow, path: str, version: str = "1") -> tuple[int, bytes]:
    response = mlflow.request("GET", f"{PROXY}/{place_of(mlflow, version)}/{path}")
    return response.status_code, response.content


def version_of(mlflow: Mlflow, number: int = 1) -> ModelVersion:
    with mlflow.database.read() as conn:
        return get_version(conn, "x", number)


def listed(mlflow: Mlflow, folder: str) -> list[dict[str, Any]]:
    return mlflow.request("GET", PROXY, params={"path": folder}).json().get("files", [])  # type: ignore[no-any-return]


def break_blob(tmp_path: Path, digest: str, content: bytes) -> None:
    (tmp_path / "blobs" / digest[:2] / digest[2:]).write_bytes(content)


def test_a_version_keeps_its_files_whatever_becomes_of_the_runs(home: Mlflow) -> None:
    run = logged(home)
    register(home, f"runs:/{run}/model", run_id=run)
    put(home, f"0/{run}/artifacts/model/data/w.bin", b"others")
    home.request("DELETE", f"{PROXY}/0/{run}/artifacts/model/MLmodel")
    home.post("/runs/delete", run_id=run)
    assert fetched(home, "data/w.bin") == (200, b"weights") and fetched(home, "MLmodel") == (200, MLMODEL)
    top = listed(home, place_of(home))
    assert top == [
        {"path": "MLmodel", "is_dir": False, "file_size": len(MLMODEL)},
        {"path": "data", "is_dir": True},
    ]
    assert listed(home, f"{place_of(home)}/data") == [{"path": "w.bin", "is_dir": False, "file_size": 7}]


def test_a_sweep_leaves_what_a_version_is_made_of(home: Mlflow) -> None:
    run = logged(home)
    register(home, f"runs:/{run}/model", run_id=run)
    home.request("DELETE", f"{PROXY}/0/{run}/artifacts/model")
    stray = home.blobs.put(b"nobody's")
    with home.database.read() as conn:
        sweep(conn, home.blobs, before=2**62 - 1, remove=True)
    assert not home.blobs.exists(stray)
    assert fetched(home, "data/w.bin") == (200, b"weights") and fetched(home, "MLmodel") == (200, MLMODEL)


def test_every_registration_is_a_version_of_its_own(home: Mlflow) -> None:
    run = logged(home)
    register(home, f"runs:/{run}/model", run_id=run)
    put(home, f"0/{run}/artifacts/model/data/w.bin", b"others")
    assert register(home, f"runs:/{run}/model", run_id=run)["version"] == "2"
    assert fetched(home, "data/w.bin")[1] == b"weights" and fetched(home, "data/w.bin", "2")[1] == b"others"


def test_a_versions_folder_stays_when_the_model_gets_another_name(home: Mlflow) -> None:
    register(home, f"runs:/{logged(home)}/model")
    before = place_of(home)
    home.post("/registered-models/rename", name="x", new_name="y and é")
    uri = home.get("/model-versions/get-download-uri", name="y and é", version="1")["artifact_uri"]
    assert uri == f"mlflow-artifacts:/{before}"
    assert home.request("GET", f"{PROXY}/{before}/data/w.bin").content == b"weights"


def test_what_a_deleted_version_or_model_held_cannot_be_fetched(home: Mlflow) -> None:
    run = logged(home)
    places = []
    for number in ("1", "2"):
        register(home, f"runs:/{run}/model")
        places.append(place_of(home, number))
    home.request("DELETE", f"{API}/model-versions/delete", json={"name": "x", "version": "1"})
    assert home.request("GET", f"{PROXY}/{places[0]}/MLmodel").status_code == 404
    home.request("DELETE", f"{API}/registered-models/delete", json={"name": "x"})
    home.post("/registered-models/create", name="x")
    for place in places:
        assert home.request("GET", f"{PROXY}/{place}/MLmodel").status_code == 404
        assert home.request("GET", PROXY, params={"path": place}).status_code == 404


def test_nothing_is_put_into_a_version_or_taken_out_of_it(home: Mlflow) -> None:
    register(home, f"runs:/{logged(home)}/model")
    for method, path in (("PUT", "MLmodel"), ("PUT", "new/file"), ("DELETE", "MLmodel"), ("DELETE", "")):
        content = b"evil" if method == "PUT" else b""
        response = home.request(method, f"{PROXY}/{place_of(home)}/{path}".rstrip("/"), content=content)
        assert (response.status_code, response.json()["error_code"]) == INVALID, (method, path)
        assert "never changes" in response.json()["message"]
    started = home.request(
        "POST", f"/api/2.0/mlflow-artifacts/mpu/create/{place_of(home)}", json={"path": "MLmodel", "num_parts": 1}
    )
    assert (started.status_code, started.json()["error_code"]) == INVALID
    assert fetched(home, "MLmodel") == (200, MLMODEL)


@pytest.mark.parametrize(
    "path",
    ["..%2f..%2f2%2fMLmodel", "%2e%2e/2/MLmodel", "data/%2e%2e/MLmodel", "data%5cw.bin", "MLmodel%00", "/etc/passwd"],
)
def test_paths_that_lead_out_of_a_version_are_refused(home: Mlflow, path: str) -> None:
    register(home, f"runs:/{logged(home)}/model")
    response = home.request("GET", f"{PROXY}/{place_of(home)}/{path}")
    assert response.status_code in (400, 404) and b"weights" not in response.content


def test_a_changed_file_is_refused_by_name_before_a_byte_of_it_is_sent(home: Mlflow, tmp_path: Path) -> None:
    register(home, f"runs:/{logged(home)}/model")
    digest = version_of(home).package.manifest["data/w.bin"].digest
    break_blob(tmp_path, digest, b"changed")
    response = home.request("GET", f"{PROXY}/{place_of(home)}/data/w.bin")
    assert (response.status_code, response.json()["error_code"]) == DENIED
    assert "data/w.bin of x@1 was changed" in response.json()["message"]
    assert fetched(home, "MLmodel")[0] == 200


def test_a_file_that_is_gone_is_refused_by_name(home: Mlflow, tmp_path: Path) -> None:
    register(home, f"runs:/{logged(home)}/model")
    digest = version_of(home).package.manifest["data/w.bin"].digest
    (tmp_path / "blobs" / digest[:2] / digest[2:]).unlink()
    response = home.request("GET", f"{PROXY}/{place_of(home)}/data/w.bin")
    assert (response.status_code, "data/w.bin of x@1 is missing" in response.text) == (403, True)


def test_a_manifest_that_was_rewritten_is_refused(home: Mlflow) -> None:
    register(home, f"runs:/{logged(home)}/model")
    manifest = msgspec.to_builtins(version_of(home).package.manifest)
    evil = {"digest": home.blobs.put(b"evil"), "size": 4, "sha256": ""}
    for changed, said in (
        (manifest | {"extra.py": evil}, "extra.py was added"),
        (manifest | {"data/w.bin": evil}, "data/w.bin of x@1 was changed"),
    ):
        with home.database.write() as conn:
            conn.execute(store.versions.update().values(package=changed))
        response = home.request("GET", f"{PROXY}/{place_of(home)}/data/w.bin")
        assert (response.status_code, said in response.text) == (403, True), response.text
    with home.database.write() as conn:
        conn.execute(store.versions.update().values(package=manifest | {"extra.py": evil}))
    assert home.request("GET", PROXY, params={"path": place_of(home)}).status_code == 403


def test_what_nobody_signed_is_refused_where_signatures_are_required(
    sqlite_database: Database, tmp_path: Path, settings: Settings
) -> None:
    with Mlflow(sqlite_database, tmp_path).open() as unsigned:
        unsigned.post("/registered-models/create", name="x")
        register(unsigned, f"runs:/{logged(unsigned)}/model")
        assert fetched(unsigned, "MLmodel")[0] == 200
    strict = msgspec.structs.replace(settings, require_signature=True)
    with Mlflow(sqlite_database, tmp_path, settings=strict).open() as client:
        assert fetched(client, "MLmodel")[0] == 403
        register(client, f"runs:/{logged(client)}/model")
        assert fetched(client, "MLmodel", "2")[0] == 200


def test_a_version_is_signed_and_knows_its_files_columns_and_origin(home: Mlflow, settings: Settings) -> None:
    run = logged(home)
    home.post("/runs/log-batch", run_id=run, params=[{"key": "depth", "value": "3"}])
    home.post("/runs/log-metric", run_id=run, key="auc", value=0.75, timestamp=5)
    home.post("/runs/log-metric", run_id=run, key="odd", value="NaN", timestamp=5)
    dataset = {"name": "iris", "digest": "abc1", "source_type": "local", "source": "{}"}
    home.post("/runs/log-inputs", run_id=run, datasets=[{"dataset": dataset}])
    register(home, f"runs:/{run}/model", run_id=run)
    version = version_of(home)
    verified = verify_version(home.blobs, version, trusted(settings))
    assert (verified.signed, verified.files) == (True, ("MLmodel", "data/w.bin"))
    assert version.package.flavor == "mlflow" and all(file.sha256 for file in version.package.manifest.values())
    columns = [(column.name, column.dtype, column.nullable) for column in version.signature.inputs]
    assert columns == [("a", "number", False), ("it's", "string", True)]
    assert version.evaluation == {"evaluation": {"challenger": {"auc": 0.75}}}
    assert version.lineage["run"] == run and version.lineage["params"] == {"depth": "3"}
    assert version.lineage["datasets"] == [{"name": "iris", "digest": "abc1"}]


@pytest.mark.parametrize(
    "described", [b"", b"\xff\xfe", b"signature:\n  inputs: '[{]'\n", b"signature:\n  inputs: '{}'\n"]
)
def test_a_model_whose_description_cannot_be_read_is_registered_all_the_same(home: Mlflow, described: bytes) -> None:
    run = home.start()
    put(home, f"0/{run}/artifacts/model/MLmodel", described)
    register(home, f"runs:/{run}/model")
    assert version_of(home).signature.inputs == ()
    assert fetched(home, "MLmodel") == (200, described)


def test_every_way_to_name_the_files_of_a_run_is_taken(home: Mlflow) -> None:
    run = logged(home)
    sources = [
        f"runs:/{run}/model",
        f"runs:/{run}/model/",
        f"mlflow-artifacts:/0/{run}/artifacts/model",
        f"mlflow-artifacts://127.0.0.1:7700/0/{run}/artifacts/model",
    ]
    for number, source in enumerate(sources, start=1):
        assert register(home, source, run_id=run)["source"] == source
        assert sorted(version_of(home, number).package.manifest) == ["MLmodel", "data/w.bin"], source
        assert version_of(home, number).run_id == run
    assert register(home, f"runs:/{run}/model/data/w.bin")["version"] == "5"
    assert sorted(version_of(home, 5).package.manifest) == ["w.bin"]


def test_a_logged_models_files_and_its_run_are_found(home: Mlflow) -> None:
    run = home.start()
    reply = home.post("/logged-models", experiment_id="0", name="m", source_run_id=run)
    model_id = reply["model"]["info"]["model_id"]
    put(home, f"0/models/{model_id}/artifacts/MLmodel", MLMODEL)
    made = register(home, f"models:/{model_id}", model_id=model_id)
    assert (made["run_id"], made["source"]) == (run, f"models:/{model_id}")
    assert fetched(home, "MLmodel") == (200, MLMODEL)
    assert version_of(home).lineage["logged_model"] == model_id
    tags = home.get(f"/logged-models/{model_id}")["model"]["info"]["tags"]
    assert tags == [{"key": "mlflow.modelVersions", "value": '[{"name":"x","version":1}]'}]


def test_a_logged_model_is_registered_more_often_than_its_tag_can_hold(home: Mlflow) -> None:
    name = "n" * 250
    home.post("/registered-models/create", name=name)
    model_id = home.post("/logged-models", experiment_id="0", name="m")["model"]["info"]["model_id"]
    for _ in range(40):
        home.post("/model-versions/create", name=name, source=f"models:/{model_id}", model_id=model_id)
    tags = home.get(f"/logged-models/{model_id}")["model"]["info"]["tags"]
    noted = msgspec.json.decode(tags[0]["value"])
    assert noted[-1] == {"name": name, "version": 40} and len(tags[0]["value"]) <= 8000


def test_a_copy_has_the_files_of_what_it_copies(home: Mlflow) -> None:
    run = logged(home)
    register(home, f"runs:/{run}/model", run_id=run)
    home.post("/registered-models/alias", name="x", alias="champion", version="1")
    for number, source in enumerate(["models:/x/1", "models:/x@champion", "models:/x/latest", uri_of(home)], start=2):
        made = register(home, source)
        assert made["run_id"] == run and made["source"].startswith("models:/x/")
        assert version_of(home, number).package.manifest == version_of(home).package.manifest
    home.refused("/model-versions/create", MISSING, name="x", source="models:/x/99")
    home.refused("/model-versions/create", MISSING, name="x", source="models:/nobody/1")
    home.refused("/model-versions/create", INVALID, name="x", source="models:/x@nobody")


def test_a_source_without_files_yet_is_taken_and_leads_to_where_they_will_be(home: Mlflow) -> None:
    run = home.start()
    assert register(home, f"runs:/{run}/model", run_id=run)["status"] == "READY"
    assert uri_of(home) == f"mlflow-artifacts:/0/{run}/artifacts/model"


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "etc/passwd",
        "C:\\windows",
        "http://127.0.0.1:1/x",
        "https://host/api/2.0/mlflow-artifacts/artifacts/0",
        "s3://bucket/key",
        "dbfs:/x",
        "runs:/../../etc",
        "runs:/RUN/../../x",
        "runs:/RUN/%2e%2e/x",
        "runs:/RUN/%252e%252e/x",
        "runs:/RUN/a\\..\\b",
        "runs:/RUN/model#x",
        "runs:/RUN/model?x=1",
        "runs:/RUN/\x00",
        "runs://host/RUN/model",
        "runs:/nobody/model",
        "runs:/",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:/0",
        "mlflow-artifacts:/1/RUN/artifacts/model",
        "mlflow-artifacts://host/..%2f..%2fetc",
        "models:/m-none",
        "models:/a/b/c",
        "models:",
        "models://host/x/1",
        "http://[bad",
        "runs:/RUN/" + "a" * 3000,
    ],
)
def test_a_source_that_is_not_ours_is_refused_and_never_opened(home: Mlflow, source: str) -> None:
    run = logged(home)
    message = home.refused("/model-versions/create", INVALID, name="x", source=source.replace("RUN", run))
    assert "Traceback" not in message and "select" not in message.lower()
    assert "latest_versions" not in home.get("/registered-models/get", name="x")["registered_model"]


def test_half_a_character_in_a_source_is_refused(home: Mlflow) -> None:
    body = f'{{"name": "x", "source": "runs:/{logged(home)}/\\ud800"}}'
    headers = {"content-type": "application/json"}
    response = home.request("POST", f"{API}/model-versions/create", content=body, headers=headers)
    assert (response.status_code, response.json()["error_code"]) == INVALID


def test_a_source_is_refused_when_run_or_model_say_otherwise(home: Mlflow) -> None:
    run, other = logged(home), home.start()
    for more in ({"run_id": other}, {"run_id": "0" * 32}, {"model_id": "m-none"}):
        message = home.refused("/model-versions/create", INVALID, name="x", source=f"runs:/{run}/model", **more)
        assert "request parameter must identify the resource that contains the source" in message
