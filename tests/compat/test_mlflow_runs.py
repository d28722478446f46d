"""Runs and experiments over MLflow's wire: ids, limits, times, the trash, on both databases."""

from typing import Any

import pytest
from mlflow_helpers import API, MISSING, THERE_ALREADY, Mlflow


def metric(key: str = "m", value: Any = 1.0, timestamp: int = 5, step: int = 0) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def test_a_run_is_told_as_mlflow_tells_it(mlflow: Mlflow) -> None:
    experiment = mlflow.post("/experiments/create", name="demo", tags=[{"key": "a", "value": "b"}])["experiment_id"]
    made = mlflow.post(
        "/runs/create",
        experiment_id=experiment,
        user_id="ann",
        run_name="first",
        start_time=1795408718679,
        tags=[{"key": "mlflow.user", "value": "ann"}],
    )["run"]
    run_id = made["info"]["run_id"]
    assert len(run_id) == 32
    assert made["info"] == {
        "run_uuid": run_id,
        "run_id": run_id,
        "experiment_id": experiment,
        "run_name": "first",
        "user_id": "ann",
        "status": "RUNNING",
        "start_time": 1795408718679,
        "artifact_uri": f"mlflow-artifacts:/{experiment}/{run_id}/artifacts",
        "lifecycle_stage": "active",
    }
    assert {"key": "mlflow.runName", "value": "first"} in made["data"]["tags"]
    ended = mlflow.post("/runs/update", run_uuid=run_id, status="FINISHED", end_time=1795408772341)["run_info"]
    assert (ended["status"], ended["end_time"]) == ("FINISHED", 1795408772341)
    again = mlflow.post("/runs/update", run_id=run_id, status="RUNNING")["run_info"]
    assert (again["status"], "end_time" in again) == ("RUNNING", False)
    shown = mlflow.get("/experiments/get-by-name", experiment_name="demo")["experiment"]
    assert shown["tags"] == [{"key": "a", "value": "b"}]
    assert isinstance(shown["creation_time"], int)


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"])
def test_every_status_comes_back_as_it_was_sent(mlflow_sqlite: Mlflow, status: str) -> None:
    run_id = mlflow_sqlite.start()
    mlflow_sqlite.post("/runs/update", run_id=run_id, status=status)
    assert mlflow_sqlite.run(run_id)["info"]["status"] == status


def test_a_status_may_be_a_number_and_nothing_else(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    assert mlflow_sqlite.post("/runs/update", run_id=run_id, status=4)["run_info"]["status"] == "FAILED"
    assert "RUNNING" in mlflow_sqlite.refused("/runs/update", run_id=run_id, status="DONE")


def test_name_and_name_tag_are_one(mlflow: Mlflow) -> None:
    nameless = mlflow.run(mlflow.start())
    assert {"key": "mlflow.runName", "value": nameless["info"]["run_name"]} in nameless["data"]["tags"]
    run_id = mlflow.start(tags=[{"key": "mlflow.runName", "value": "by tag"}])
    assert mlflow.run(run_id)["info"]["run_name"] == "by tag"
    mlflow.post("/runs/log-batch", run_id=run_id, tags=[{"key": "mlflow.runName", "value": "later"}])
    assert mlflow.run(run_id)["info"]["run_name"] == "later"
    tags = [{"key": "mlflow.runName", "value": "b"}]
    assert "run_name" in mlflow.refused("/runs/create", experiment_id="0", run_name="a", tags=tags)


def test_limits_are_mlflows(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    mlflow_sqlite.post("/runs/log-batch", run_id=run_id, metrics=[metric(step=step) for step in range(1000)])
    texts = [{"key": f"k{number}", "value": "v"} for number in range(101)]
    for what, items in (("metrics", [metric()] * 1001), ("params", texts), ("tags", texts)):
        assert f"Got {len(items)} {what}" in mlflow_sqlite.refused("/runs/log-batch", run_id=run_id, **{what: items})
    total = {"metrics": [metric()] * 950, "params": texts[:50], "tags": texts[:50]}
    assert "1000" in mlflow_sqlite.refused("/runs/log-batch", run_id=run_id, **total)
    mlflow_sqlite.post("/runs/log-parameter", run_id=run_id, key="k" * 250, value="v" * 6000)
    assert "250" in mlflow_sqlite.refused("/runs/log-parameter", run_id=run_id, key="k" * 251, value="v")
    assert "250" in mlflow_sqlite.refused("/runs/set-tag", run_id=run_id, key="k" * 251, value="v")
    name = "n" * 501
    assert "500" in mlflow_sqlite.refused("/experiments/create", name=name)
    tag = {"experiment_id": "0", "key": "t"}
    mlflow_sqlite.post("/experiments/set-experiment-tag", **tag, value="v" * 20_000)
    assert "20000" in mlflow_sqlite.refused("/experiments/set-experiment-tag", **tag, value="v" * 20_001)
    dataset = {"name": "n", "digest": "d" * 37, "source_type": "s", "source": "s"}
    assert "36" in mlflow_sqlite.refused("/runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset}])
    assert "50000" in mlflow_sqlite.refused("/runs/search", experiment_ids=["0"], max_results=50_001)


def test_long_params_and_tags_are_cut_as_mlflow_cuts_them(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    params, tags = [{"key": "p", "value": "v" * 6001}], [{"key": "t", "value": "w" * 8001}]
    mlflow_sqlite.post("/runs/log-batch", run_id=run_id, params=params, tags=tags)
    data = mlflow_sqlite.run(run_id)["data"]
    assert data["params"] == [{"key": "p", "value": "v" * 6000}]
    assert {"key": "t", "value": "w" * 8000} in data["tags"]


@pytest.mark.parametrize("name", ["a/../b", "../a", "/a", "a//b", ".", "a\nb", "a*b", "a\x00", "a\\b", "x?"])
def test_names_that_mlflow_refuses_are_refused(mlflow_sqlite: Mlflow, name: str) -> None:
    run_id = mlflow_sqlite.start()
    mlflow_sqlite.refused("/runs/log-batch", run_id=run_id, metrics=[metric(name)])
    mlflow_sqlite.refused("/runs/log-parameter", run_id=run_id, key=name, value="1")
    mlflow_sqlite.refused("/runs/set-tag", run_id=run_id, key=name, value="1")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (0.1, 0.1),
        (-5, -5.0),
        (1e308, 1e308),
        (2**60, float(2**60)),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1.5", 1.5),
    ],
)
def test_values_keep_what_they_are(mlflow: Mlflow, sent: Any, told: Any) -> None:
    run_id = mlflow.start()
    mlflow.post("/runs/log-metric", run_id=run_id, **metric(value=sent))
    mlflow.post("/runs/log-batch", run_id=run_id, metrics=[metric("b", value=sent)])
    values = {item["key"]: item["value"] for item in mlflow.run(run_id)["data"]["metrics"]}
    assert values == {"m": told, "b": told}
    assert mlflow.get("/metrics/get-history", run_id=run_id, metric_key="b")["metrics"][0]["value"] == told


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"value": "abc"}, "metrics[1].value"),
        ({"timestamp": -1}, "metrics[1].timestamp"),
        ({"timestamp": 2**63}, "metrics[1].timestamp"),
        ({"step": 2**63}, "metrics[1].step"),
        ({"step": 1.5}, "step"),
        ({"key": ""}, "metrics[1].key"),
    ],
)
def test_a_bad_point_is_named_and_nothing_of_its_batch_is_kept(mlflow: Mlflow, bad: dict[str, Any], field: str) -> None:
    run_id = mlflow.start()
    batch = {"metrics": [metric(), metric("other") | bad], "params": [{"key": "p", "value": "1"}]}
    assert field in mlflow.refused("/runs/log-batch", run_id=run_id, **batch)
    data = mlflow.run(run_id)["data"]
    assert "metrics" not in data
    assert "params" not in data


def test_a_param_cannot_change_and_the_batch_that_tries_leaves_nothing(mlflow: Mlflow) -> None:
    run_id = mlflow.start()
    mlflow.post("/runs/log-parameter", run_id=run_id, key="a", value="1")
    mlflow.post("/runs/log-parameter", run_id=run_id, key="a", value="1")
    message = mlflow.refused("/runs/log-parameter", run_id=run_id, key="a", value="9")
    assert "Changing param values is not allowed" in message
    assert "'1'" in message
    assert "'9'" in message
    params = [{"key": "b", "value": "2"}, {"key": "a", "value": "9"}]
    mlflow.refused("/runs/log-batch", run_id=run_id, params=params, metrics=[metric()])
    data = mlflow.run(run_id)["data"]
    assert data["params"] == [{"key": "a", "value": "1"}]
    assert "metrics" not in data
    twice = [{"key": "c", "value": "1"}, {"key": "c", "value": "1"}]
    assert "Duplicate" in mlflow.refused("/runs/log-batch", run_id=run_id, params=twice)


def test_history_is_paged_in_order_and_tokens_belong_to_their_query(mlflow: Mlflow) -> None:
    run_id = mlflow.start()
    steps = [3, 1, 2, 5, 4]
    mlflow.post("/runs/log-batch", run_id=run_id, metrics=[metric(step=s, timestamp=s, value=s) for s in steps])
    query = {"run_id": run_id, "metric_key": "m", "max_results": 2}
    seen, token = [], ""
    while True:
        page = mlflow.get("/metrics/get-history", **query, page_token=token)
        seen += [point["step"] for point in page["metrics"]]
        token = page.get("next_page_token", "")
        if not token:
            break
        last = token
    assert seen == [1, 2, 3, 4, 5]
    for bad in ({**query, "metric_key": "n"}, {**query, "page_token": "nonsense"}, {**query, "max_results": 0}):
        answer = mlflow.request("GET", f"{API}/metrics/get-history", params={"page_token": last, **bad})
        assert answer.status_code == 400
    assert "metrics" not in mlflow.get("/metrics/get-history", run_id=run_id, metric_key="never")


def test_browsers_read_several_histories_at_once(mlflow: Mlflow) -> None:
    runs = [mlflow.start(), mlflow.start()]
    for run_id in runs:
        mlflow.post("/runs/log-batch", run_id=run_id, metrics=[metric(step=step, value=step) for step in range(900)])
    bulk = mlflow.get("/metrics/get-history-bulk", run_id=runs, metric_key="m")["metrics"]
    assert len(bulk) == 1800
    assert {point["run_id"] for point in bulk} == set(runs)
    query = {"run_ids": runs, "metric_key": "m", "max_results": 100}
    thin = mlflow.get("/metrics/get-history-bulk-interval", **query, start_step=100, end_step=800)["metrics"]
    steps = [point["step"] for point in thin if point["run_id"] == runs[0]]
    assert (steps[0], steps[-1]) == (100, 800)
    assert len(steps) <= 100
    for bad in ({"start_step": 5}, {"start_step": 9, "end_step": 5}, {"max_results": 2501}, {"run_ids": []}):
        assert mlflow.request("GET", f"{API}/metrics/get-history-bulk-interval", params=query | bad).status_code == 400


def test_data_sets_of_runs_come_back_with_the_run(mlflow: Mlflow) -> None:
    run_id = mlflow.start()
    dataset = {"name": "iris", "digest": "5a5c", "source_type": "code", "source": "{}", "schema": "s", "profile": "p"}
    given = {"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": dataset}
    mlflow.post("/runs/log-inputs", run_id=run_id, datasets=[given])
    mlflow.post("/runs/log-inputs", run_id=run_id, datasets=[given])
    assert mlflow.run(run_id)["inputs"] == {"dataset_inputs": [given]}
    found = mlflow.post("/runs/search", experiment_ids=["0"], filter="dataset.name = 'iris'")["runs"]
    assert found[0]["inputs"] == {"dataset_inputs": [given]}
    summaries = mlflow.post("/experiments/search-datasets", experiment_ids=["0"])["dataset_summaries"]
    assert summaries == [{"experiment_id": "0", "name": "iris", "digest": "5a5c", "context": "train"}]


def test_the_trash_hides_refuses_and_gives_back(mlflow: Mlflow) -> None:
    experiment = mlflow.post("/experiments/create", name="e")["experiment_id"]
    run_id = mlflow.start(experiment)
    mlflow.post("/runs/delete", run_id=run_id)
    mlflow.refused("/runs/log-batch", run_id=run_id, metrics=[metric()])
    mlflow.refused("/runs/update", run_id=run_id, status="FINISHED")
    assert mlflow.post("/runs/search", experiment_ids=[experiment]) == {}
    deleted = mlflow.post("/runs/search", experiment_ids=[experiment], run_view_type="DELETED_ONLY")["runs"]
    assert [run["info"]["lifecycle_stage"] for run in deleted] == ["deleted"]
    mlflow.post("/runs/restore", run_id=run_id)
    mlflow.post("/experiments/delete", experiment_id=experiment)
    assert mlflow.run(run_id)["info"]["lifecycle_stage"] == "deleted"
    mlflow.refused("/runs/create", experiment_id=experiment)
    mlflow.refused("/experiments/delete", MISSING, experiment_id=experiment)
    mlflow.refused("/experiments/delete", experiment_id="0")
    mlflow.refused("/experiments/update", experiment_id=experiment, new_name="f")
    mlflow.refused("/experiments/set-experiment-tag", experiment_id=experiment, key="k", value="v")
    assert mlflow.request("GET", f"{API}/experiments/get-by-name?experiment_name=e").status_code == 404
    mlflow.post("/experiments/restore", experiment_id=experiment)
    assert mlflow.run(run_id)["info"]["lifecycle_stage"] == "active"
    mlflow.refused("/experiments/create", THERE_ALREADY, name="e")


def test_an_artifact_location_is_kept_as_a_wish(mlflow_sqlite: Mlflow) -> None:
    asked = mlflow_sqlite.post("/experiments/create", name="e", artifact_location="file:///etc")["experiment_id"]
    shown = mlflow_sqlite.get("/experiments/get", experiment_id=asked)["experiment"]
    assert shown["artifact_location"] == f"mlflow-artifacts:/{asked}"
    assert shown["tags"] == [{"key": "homeostat.requested_artifact_location", "value": "file:///etc"}]
    mlflow_sqlite.refused("/experiments/create", name="f", artifact_location="runs:/x/y")


def test_a_parent_may_be_told_at_the_start_or_later(mlflow_sqlite: Mlflow) -> None:
    parent = mlflow_sqlite.start()
    tag = {"key": "mlflow.parentRunId", "value": parent}
    children = {mlflow_sqlite.start(tags=[tag]), mlflow_sqlite.start()}
    for child in children:
        mlflow_sqlite.post("/runs/set-tag", run_id=child, **tag)
    found = mlflow_sqlite.post("/runs/search", experiment_ids=["0"], filter=f"tags.mlflow.parentRunId = '{parent}'")
    assert {run["info"]["run_id"] for run in found["runs"]} == children
