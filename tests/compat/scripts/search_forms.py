"""Every form of filter and order that MLflow's documentation shows."""
# ruff: noqa: ANN001, ANN003, ANN201, PT017, T201  a user's script, which is no test of ours

import time

import mlflow
import pandas as pd
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

experiment = mlflow.set_experiment("search").experiment_id
client = MlflowClient()
begin = int(time.time() * 1000)
for number, (accuracy, optimizer) in enumerate([(0.72, "Adam"), (0.83, "AdamW"), (0.94, "SGD"), (0.5, "adam")]):
    with mlflow.start_run(run_name=f"run {number}"):
        mlflow.log_metrics({"accuracy": accuracy, "f1 score": accuracy / 2, "test.loss": 1 - accuracy})
        mlflow.log_params({"optimizer": optimizer, "batch size": number, "model": f"net-{number}"})
        mlflow.set_tags({"data": f"imagenet-{number}", "stage": "dev" if number < 2 else "prod"})
        if number != 3:
            mlflow.set_tag("only some", "x")
            mlflow.log_param("only_some", "x")
        data = pd.DataFrame({"a": [number]})
        dataset = mlflow.data.from_pandas(data, name="custom" if number == 1 else "other")
        mlflow.log_input(dataset, context="train" if number < 2 else "test")
runs = {item.info.run_name: item for item in client.search_runs([experiment])}
digest = runs["run 1"].inputs.dataset_inputs[0].dataset.digest
first, last = runs["run 0"].info, runs["run 3"].info


def names(filter_string="", **more):
    found = mlflow.search_runs([experiment], filter_string=filter_string, output_format="list", **more)
    return sorted(item.info.run_name.removeprefix("run ") for item in found)


EXPECTED = {
    "": "0123",
    "metrics.accuracy > 0.72": "12",
    "metrics.accuracy >= 0.72": "012",
    "metrics.accuracy < 0.72": "3",
    "metrics.accuracy <= 0.72": "03",
    "metrics.accuracy = 0.83": "1",
    "metric.accuracy != 0.83": "023",
    'metrics."f1 score" > 0.4': "12",
    "metrics.`f1 score` > 0.4": "12",
    "metrics.`test.loss` < 0.1": "2",
    "params.optimizer = 'Adam'": "0",
    "param.optimizer != 'Adam'": "123",
    "params.optimizer LIKE 'Adam%'": "01",
    "params.optimizer ILIKE 'adam%'": "013",
    'parameters."batch size" = "2"': "2",
    "params.`batch size` = '2'": "2",
    "params.only_some IS NULL": "3",
    "params.only_some IS NOT NULL": "012",
    "tags.data = 'imagenet-1'": "1",
    "tag.data != 'imagenet-1'": "023",
    "tags.data LIKE 'imagenet%'": "0123",
    "tags.data ILIKE 'IMAGENET-2'": "2",
    "tags.`only some` IS NULL": "3",
    "tags.`only some` IS NOT NULL": "012",
    "tags.mlflow.runName = 'run 2'": "2",
    'tags."mlflow.runName" ILIKE "%UN 2"': "2",
    "attributes.status = 'FINISHED'": "0123",
    "attributes.status != 'FINISHED'": "",
    "status = 'Running'": "",
    "run_name = 'run 1'": "1",
    "attributes.run_name LIKE 'run%'": "0123",
    "attr.`run name` = 'run 3'": "3",
    "`Run name` = 'run 3'": "3",
    f"run_id = '{first.run_id}'": "0",
    f"attributes.run_id IN ('{first.run_id}', '{last.run_id}')": "03",
    f"run_id NOT IN ('{first.run_id}')": "123",
    f"attributes.start_time >= {begin}": "0123",
    f"attribute.start_time <= {first.start_time}": "0",
    f"end_time < {begin}": "",
    f"created > {begin - 1}": "0123",
    f"artifact_uri = '{first.artifact_uri}'": "0",
    f"user_id = '{first.user_id}'": "0123",
    "dataset.name = 'custom'": "1",
    "datasets.name LIKE '%ther'": "023",
    f"dataset.digest = '{digest}'": "1",
    "dataset.context = 'train'": "01",
    "dataset.name IN ('custom', 'none')": "1",
    "metrics.accuracy > 0.7 AND params.optimizer = 'AdamW'": "1",
    "metrics.accuracy > 0.7 and tags.stage = 'prod' and status = 'FINISHED'": "2",
    # What MLflow itself lacks.
    "params.optimizer = 'Adam' OR params.optimizer = 'SGD'": "02",
    "NOT (params.optimizer = 'Adam' OR metrics.accuracy > 0.9)": "13",
    "params.optimizer IN ('Adam', 'SGD')": "02",
}
for text, expected in EXPECTED.items():
    assert names(text) == list(expected), (text, names(text), expected)

for order, expected in {
    "metrics.accuracy DESC": "2103",
    "metrics.accuracy ASC": "3012",
    "metrics.`f1 score`": "3012",
    "attributes.start_time ASC": "0123",
    "start_time DESC": "3210",
    "params.model DESC": "3210",
    "tags.data": "0123",
    "run_name DESC": "3210",
}.items():
    found = mlflow.search_runs([experiment], order_by=[order], output_format="list")
    assert [item.info.run_name[-1] for item in found] == list(expected), (order, found)
found = mlflow.search_runs([experiment], order_by=["tags.stage ASC", "metrics.accuracy DESC"], output_format="list")
assert [item.info.run_name[-1] for item in found] == ["1", "0", "2", "3"]

frame = mlflow.search_runs(experiment_names=["search"], filter_string="metrics.accuracy > 0.8")
assert sorted(frame["params.optimizer"]) == ["AdamW", "SGD"]
assert len(frame) == 2

seen, token = [], None
while True:
    page = client.search_runs([experiment], max_results=1, order_by=["metrics.accuracy DESC"], page_token=token)
    seen += [item.info.run_name[-1] for item in page]
    token = page.token
    if not token:
        break
assert seen == ["2", "1", "0", "3"], seen

client.delete_run(runs["run 3"].info.run_id)
assert names() == ["0", "1", "2"]
assert names(run_view_type=ViewType.DELETED_ONLY) == ["3"]
assert names(run_view_type=ViewType.ALL) == ["0", "1", "2", "3"]

for bad in ("bogus ~ 1", "metrics.accuracy > ", "metrics.accuracy > 'x'", "attributes.nothing = 'x'"):
    try:
        names(bad)
    except MlflowException as error:
        assert error.error_code == "INVALID_PARAMETER_VALUE", (bad, error)
        assert "select" not in str(error).lower()
    else:
        raise AssertionError(bad)

# Experiments.
for name in ("alpha", "beta", "Gamma"):
    client.create_experiment(name, tags={"team": name[0]})


def experiments(filter_string, **more):
    return [item.name for item in client.search_experiments(filter_string=filter_string, **more)]


assert experiments("name = 'alpha'") == ["alpha"]
assert experiments("attribute.name != 'alpha' and name LIKE '%a'", order_by=["name"]) == ["Gamma", "beta"]
assert experiments("name ILIKE 'g%'") == ["Gamma"]
assert experiments("tags.team = 'b'") == ["beta"]
assert experiments("tags.`team` LIKE 'a%'") == ["alpha"]
assert experiments(f"creation_time >= {begin} and tags.team != 'x'", order_by=["name DESC"]) == [
    "beta",
    "alpha",
    "Gamma",
]
assert experiments("last_update_time > 0 and name = 'beta'") == ["beta"]
ours = {"filter_string": "tags.team LIKE '%'", "max_results": 2, "order_by": ["experiment_id ASC"]}
first_page = client.search_experiments(**ours)
assert [item.name for item in first_page] == ["alpha", "beta"]
assert [item.name for item in client.search_experiments(**ours, page_token=first_page.token)] == ["Gamma"]
client.delete_experiment(client.get_experiment_by_name("beta").experiment_id)
assert experiments("name = 'beta'") == []
assert experiments("name = 'beta'", view_type=ViewType.DELETED_ONLY) == ["beta"]
assert client.create_experiment("beta")  # a deleted name is free at once
print("ok")
