"""Models logged before anybody registers them: made, measured, found, loaded, deleted."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, T201, PT017  a user's script, which is no test of ours

import mlflow
import numpy as np
from mlflow.entities import LoggedModelInput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

client = MlflowClient()
experiment = mlflow.set_experiment("logged models").experiment_id
X, y = np.arange(20).reshape(10, 2), np.array([0, 1] * 5)


def found(text=None, **more):
    models = mlflow.search_logged_models([experiment], filter_string=text, output_format="list", **more)
    return [model.name for model in models]


def refused(code, call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return
    raise AssertionError(f"{call}{args} was let through")


with mlflow.start_run():
    params = {f"p{number}": str(number) for number in range(130)}
    plain = mlflow.initialize_logged_model(name="plain", params=params, tags={"t": "1"}, model_type="agent")
    assert plain.status == LoggedModelStatus.PENDING
    mlflow.log_metric("acc", 0.5, step=1, model_id=plain.model_id)
    mlflow.log_metrics({"acc": 0.75, "f1": 0.1}, step=2, model_id=plain.model_id)
    mlflow.finalize_logged_model(plain.model_id, "READY")
plain = mlflow.get_logged_model(plain.model_id)
assert plain.status == LoggedModelStatus.READY
assert plain.params == params
assert sorted((metric.key, metric.value) for metric in plain.metrics) == [("acc", 0.5), ("acc", 0.75), ("f1", 0.1)]

with mlflow.start_run() as run:
    data = mlflow.data.from_numpy(X, targets=y, name="train")
    mlflow.log_input(data, "training")
    info = mlflow.sklearn.log_model(LogisticRegression().fit(X, y), name="clf", input_example=X[:2])
    mlflow.log_metric("acc", 0.9, dataset=data, model_id=info.model_id)
assert len(mlflow.pyfunc.load_model(f"models:/{info.model_id}").predict(X)) == 10
assert [made.model_id for made in client.get_run(run.info.run_id).outputs.model_outputs] == [info.model_id]
assert "MLmodel" in [file.path for file in client.list_logged_model_artifacts(info.model_id)]

assert found() == ["clf", "plain"]
for text in (
    "name = 'clf'",
    "metrics.acc > 0.8",
    f"source_run_id = '{run.info.run_id}'",
    f"model_id = '{info.model_id}'",
    "name LIKE 'c%' AND status = 'READY'",
):
    assert found(text) == ["clf"], text
assert found("metrics.acc < 0.8 AND params.p3 = '3' AND tags.t = '1' AND model_type = 'agent'") == ["plain"]
assert found(order_by=[{"field_name": "metrics.acc", "ascending": True}]) == ["plain", "clf"]
assert found(order_by=[{"field_name": "name", "ascending": False}]) == ["plain", "clf"]
assert found(datasets=[{"dataset_name": "train"}]) == ["clf"]
assert found("metrics.acc > 0.1", datasets=[{"dataset_name": "train", "dataset_digest": data.digest}]) == ["clf"]
page = client.search_logged_models([experiment], max_results=1)
rest = client.search_logged_models([experiment], max_results=1, page_token=page.token)
assert ([page[0].name, rest[0].name], rest.token) == (["clf", "plain"], None)

client.set_logged_model_tags(plain.model_id, {"a b": "c"})
assert client.get_logged_model(plain.model_id).tags["a b"] == "c"
client.delete_logged_model_tag(plain.model_id, "a b")
assert "a b" not in client.get_logged_model(plain.model_id).tags

with mlflow.start_run() as evaluation:
    client.log_inputs(evaluation.info.run_id, models=[LoggedModelInput(info.model_id)])
read = client.get_run(evaluation.info.run_id).inputs.model_inputs
assert [model.model_id for model in read] == [info.model_id]

refused("INVALID_PARAMETER_VALUE", mlflow.initialize_logged_model, name="a/b")
refused("INVALID_PARAMETER_VALUE", found, "colour = 'x'")
refused("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, "m-" + "0" * 32)
client.delete_logged_model(plain.model_id)
refused("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, plain.model_id)
assert found() == ["clf"]
print("ok")
