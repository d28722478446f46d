"""MLflow's logged models: exact shapes and codes on the wire."""

from typing import Any

import pytest
from mlflow_helpers import API, Mlflow

from homeostat.ground.access import Identity


def create(mlflow: Mlflow, **more: Any) -> dict[str, Any]:
    return mlflow.post("/logged-models", experiment_id="0", **more)["model"]  # type: ignore[no-any-return]


def refused(mlflow: Mlflow, method: str, path: str, **body: Any) -> tuple[int, str]:
    response = mlflow.request(method, f"{API}/logged-models{path}", json=body)
    return response.status_code, response.json()["error_code"]


def test_a_new_model_looks_as_mlflow_shows_it(mlflow: Mlflow) -> None:
    run = mlflow.start()
    model = create(mlflow, name="clf", source_run_id=run, params=[{"key": "a", "value": "1"}], tags=[{"key": "t"}])
    model_id, info = model["info"]["model_id"], model["info"]
    assert isinstance(info["creation_timestamp_ms"], int) and info["experiment_id"] == "0"
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/models/{model_id}/artifacts"
    assert (info["status"], info["model_type"], info["source_run_id"]) == ("LOGGED_MODEL_PENDING", "", run)
    assert model["data"] == {"params": [{"key": "a", "value": "1"}]} and info["tags"] == [{"key": "t", "value": ""}]


@pytest.mark.parametrize("status", ["LOGGED_MODEL_READY", 2])
def test_a_status_is_a_word_or_a_number(mlflow_sqlite: Mlflow, status: str | int) -> None:
    path = f"{API}/logged-models/{create(mlflow_sqlite)['info']['model_id']}"
    reply = mlflow_sqlite.request("PATCH", path, json={"status": status})
    assert reply.json()["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    assert refused(mlflow_sqlite, "PATCH", path.removeprefix(f"{API}/logged-models"), status="ODD") == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


def test_a_metric_with_a_model_lands_on_both(mlflow: Mlflow) -> None:
    run, model_id = mlflow.start(), create(mlflow)["info"]["model_id"]
    metric = {"key": "acc", "value": "NaN", "timestamp": 5, "step": 3, "model_id": model_id, "dataset_name": "iris"}
    mlflow.post("/runs/log-batch", run_id=run, metrics=[metric, metric | {"key": "plain", "model_id": ""}])
    mlflow.post("/runs/log-metric", run_id=run, **metric)
    measured = mlflow.get(f"/logged-models/{model_id}")["model"]["data"]["metrics"]
    assert measured == [metric | {"run_id": run, "dataset_digest": ""}]
    assert len(mlflow.run(run)["data"]["metrics"]) == 2


def test_a_run_shows_the_models_it_read_and_made(mlflow: Mlflow) -> None:
    run, model_id = mlflow.start(), create(mlflow)["info"]["model_id"]
    mlflow.post("/runs/outputs", run_id=run, models=[{"model_id": model_id, "step": 4}])
    mlflow.post("/runs/log-inputs", run_id=run, models=[{"model_id": model_id}])
    shown = mlflow.run(run)
    assert shown["outputs"]["model_outputs"] == [{"model_id": model_id, "step": 4}]
    assert [model["model_id"] for model in shown["inputs"]["model_inputs"]] == [model_id]
    mlflow.refused("/runs/outputs", (404, "RESOURCE_DOES_NOT_EXIST"), run_id=run, models=[{"model_id": "m-x"}])


def test_pages_follow_each_other_and_an_empty_page_is_an_empty_object(mlflow: Mlflow) -> None:
    for name in "abc":
        create(mlflow, name=name)
    first = mlflow.post("/logged-models/search", experiment_ids=["0"], max_results=2)
    rest = mlflow.post(
        "/logged-models/search", experiment_ids=["0"], max_results=2, page_token=first["next_page_token"]
    )
    assert [model["info"]["name"] for model in first["models"] + rest["models"]] == ["c", "b", "a"]
    assert "next_page_token" not in rest
    assert mlflow.post("/logged-models/search", experiment_ids=["0"], filter="name = 'z'") == {}


def test_what_is_wrong_is_named(mlflow_sqlite: Mlflow) -> None:
    mlflow = mlflow_sqlite
    search = {"experiment_ids": ["0"]}
    for bad in (
        {"filter": "colour = 'x'"},
        {"max_results": 0},
        {"max_results": 50_001},
        {"page_token": "x"},
        {"order_by": [{"field_name": "params.x"}]},
        {"order_by": [{"field_name": "name", "dataset_digest": "d"}]},
        {"datasets": [{"dataset_digest": "d"}]},
        {"experiment_ids": ["no number"]},
    ):
        mlflow.refused("/logged-models/search", **search | bad)
    mlflow.refused("/logged-models")
    mlflow.refused("/logged-models", experiment_id="0", name="x" * 501)
    mlflow.refused("/logged-models", experiment_id="0", params=[{"key": "a"}, {"key": "a"}])
    mlflow.refused("/logged-models", (404, "RESOURCE_DOES_NOT_EXIST"), experiment_id="77")


def test_a_model_that_is_not_there_or_deleted_is_not_found(mlflow: Mlflow) -> None:
    model_id = create(mlflow, name="a")["info"]["model_id"]
    assert mlflow.request("DELETE", f"{API}/logged-models/{model_id}").json() == {}
    missing = (404, "RESOURCE_DOES_NOT_EXIST")
    for one in (model_id, "m-" + "0" * 32):
        assert refused(mlflow, "GET", f"/{one}") == missing
        assert refused(mlflow, "PATCH", f"/{one}", status="LOGGED_MODEL_READY") == missing
        assert refused(mlflow, "DELETE", f"/{one}") == missing
        assert refused(mlflow, "PATCH", f"/{one}/tags", tags=[{"key": "a", "value": "b"}]) == missing
        assert refused(mlflow, "POST", f"/{one}/params", params=[{"key": "a", "value": "b"}]) == missing
    assert mlflow.get(f"/logged-models/{model_id}", allow_deleted="true")["model"]["info"]["name"] == "a"
    assert create(mlflow, name="a")["info"]["model_id"] != model_id


def test_params_cannot_change_and_tags_can_go(mlflow_sqlite: Mlflow) -> None:
    path = f"/{create(mlflow_sqlite, params=[{'key': 'a', 'value': '1'}])['info']['model_id']}"
    assert refused(mlflow_sqlite, "POST", f"{path}/params", params=[{"key": "a", "value": "2"}]) == (
        400,
        "INVALID_PARAMETER_VALUE",
    )
    url = f"{API}/logged-models{path}/tags"
    assert mlflow_sqlite.request("PATCH", url, json={"tags": [{"key": "t", "value": "1"}]}).json() == {}
    assert mlflow_sqlite.request("DELETE", f"{url}/t").json() == {}
    assert refused(mlflow_sqlite, "DELETE", f"{path}/tags/t") == (404, "RESOURCE_DOES_NOT_EXIST")


def test_files_of_a_model_are_listed_and_read(mlflow_sqlite: Mlflow) -> None:
    model_id = create(mlflow_sqlite)["info"]["model_id"]
    url = f"/api/2.0/mlflow-artifacts/artifacts/0/models/{model_id}/artifacts/deep/MLmodel"
    assert mlflow_sqlite.request("PUT", url, content=b"flavors: {}").status_code == 200
    listed = mlflow_sqlite.get(f"/logged-models/{model_id}/artifacts/directories")
    assert listed["files"] == [{"path": "deep", "is_dir": True}]
    below = mlflow_sqlite.get(f"/logged-models/{model_id}/artifacts/directories", artifact_directory_path="deep")
    assert below["files"] == [{"path": "deep/MLmodel", "is_dir": False, "file_size": 11}]
    files = f"{API}/logged-models/{model_id}/artifacts/files"
    reply = mlflow_sqlite.request("GET", files, params={"artifact_file_path": "deep/MLmodel"})
    assert reply.content == b"flavors: {}"
    for path in ("../secret", "none", ""):
        assert mlflow_sqlite.request("GET", files, params={"artifact_file_path": path}).status_code in (400, 404)


def test_a_token_of_another_project_reaches_no_model(mlflow_sqlite: Mlflow) -> None:
    model_id = create(mlflow_sqlite)["info"]["model_id"]
    mlflow_sqlite.identity = Identity("ci", frozenset({"read", "write"}), frozenset({"other"}))
    denied = (403, "PERMISSION_DENIED")
    assert refused(mlflow_sqlite, "GET", f"/{model_id}") == denied
    assert refused(mlflow_sqlite, "DELETE", f"/{model_id}") == denied
    assert refused(mlflow_sqlite, "POST", "", experiment_id="0") == denied
    assert refused(mlflow_sqlite, "POST", "/search", experiment_ids=["0"]) == denied
