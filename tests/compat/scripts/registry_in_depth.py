"""The model registry, call by call: names, tags, aliases, stages, search and its pages, copies, refusals."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ARG002, D101, PT017, S106, T201  a user's script, which is no test of ours

import json
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

client = MlflowClient()


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return str(error)
    raise AssertionError(f"{call.__name__}{args} was not refused")


class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return np.asarray(model_input) * 2


# Models.
model = client.create_registered_model("deep model é", tags={"team": "a", "x.y": "1"}, description="first words")
assert (model.name, model.description, model.tags) == ("deep model é", "first words", {"team": "a", "x.y": "1"})
assert model.latest_versions == [] and model.aliases == {}
assert model.creation_timestamp == model.last_updated_timestamp > 1_600_000_000_000
message = refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, "deep model é")
assert "already exists" in message and "SQL" not in message and "UNIQUE" not in message
for bad in ("", "a/b", "a:b", "..", " "):
    refused("INVALID_PARAMETER_VALUE", client.create_registered_model, bad)
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "nobody")
assert client.update_registered_model("deep model é", "other words").description == "other words"
client.set_registered_model_tag("deep model é", "team", "b")
client.delete_registered_model_tag("deep model é", "x.y")
client.delete_registered_model_tag("deep model é", "never.there")
assert client.get_registered_model("deep model é").tags == {"team": "b"}
client.rename_registered_model("deep model é", "deep")
assert client.get_registered_model("deep").description == "other words"
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "deep model é")
client.create_registered_model("other")
assert "SQL" not in refused("RESOURCE_ALREADY_EXISTS", client.rename_registered_model, "other", "deep")

# Versions of runs, of logged models, of versions.
with mlflow.start_run() as run:
    mlflow.log_metric("auc", 0.75)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(f"{folder}/model", python_model=Doubler())
        mlflow.log_artifacts(f"{folder}/model", "model")
    info = mlflow.pyfunc.log_model(name="logged", python_model=Doubler(), input_example=pd.DataFrame({"a": [1.0]}))
run_id = run.info.run_id
first = client.create_model_version("deep", f"runs:/{run_id}/model", run_id, tags={"n": "1"}, description="one")
assert (first.version, first.run_id, first.status, first.current_stage) in [
    (kind(1), run_id, "READY", "None") for kind in (int, str)
]
assert (first.description, first.tags, first.source) == ("one", {"n": "1"}, f"runs:/{run_id}/model")
second = client.create_model_version("deep", f"{run.info.artifact_uri}/model", run_id, run_link="http://a.link/")
assert int(second.version) == 2 and second.run_link == "http://a.link/"
third = mlflow.register_model(info.model_uri, "deep", tags={"n": "3"})
assert int(third.version) == 3 and third.run_id == run_id
registered_as = client.get_logged_model(info.model_id).tags["mlflow.modelVersions"]
# MLflow's server and its client both write it.
assert {(item["name"], int(item["version"])) for item in json.loads(registered_as)} == {("deep", 3)}
copied = client.copy_model_version("models:/deep/1", "copies")
assert copied.source == "models:/deep/1" and copied.run_id == run_id
frame = pd.DataFrame({"a": [1.0, 2.0]})
for uri in ("models:/deep/1", "models:/deep/2", "models:/deep/3", "models:/deep/latest", "models:/copies/1"):
    assert np.asarray(mlflow.pyfunc.load_model(uri).predict(frame)).ravel().tolist() == [2.0, 4.0], uri

# What a version is made of stays, whatever becomes of the run's files.
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "MLmodel").write_text("broken")
    client.log_artifact(run_id, f"{folder}/MLmodel", "model")
assert "broken" in mlflow.artifacts.load_text(f"runs:/{run_id}/model/MLmodel")
assert np.asarray(mlflow.pyfunc.load_model("models:/deep/1").predict(frame)).ravel().tolist() == [2.0, 4.0]

# Sources that are not ours are refused, and never opened.
for source in (
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x",
    "s3://bucket/key",
    "runs:/../../etc",
    "dbfs:/x",
    f"runs:/{run_id}/../../x",
    f"runs:/{run_id}/%2e%2e/x",
    "mlflow-artifacts:/../x",
    "models:/m-none",
    "models:/a/b/c",
    "mlflow-artifacts://host/..%2f..%2fetc",
    "relative/path",
    f"runs://host/{run_id}/model",
    "runs:/nobody/model",
):
    refused("INVALID_PARAMETER_VALUE", client.create_model_version, "deep", source)
refused("INVALID_PARAMETER_VALUE", client.create_model_version, "deep", f"runs:/{run_id}/model", "0" * 32)
refused("RESOURCE_DOES_NOT_EXIST", client.create_model_version, "nobody", f"runs:/{run_id}/model", run_id)

# Aliases.
client.set_registered_model_alias("deep", "champion", "1")
client.set_registered_model_alias("deep", "champion", "2")
client.set_registered_model_alias("deep", "trial-1_x", "2")
assert {key: int(value) for key, value in client.get_registered_model("deep").aliases.items()} == {
    "champion": 2,
    "trial-1_x": 2,
}
assert sorted(client.get_model_version("deep", "2").aliases) == ["champion", "trial-1_x"]
assert int(client.get_model_version_by_alias("deep", "champion").version) == 2
assert int(client.get_model_version_by_alias("deep", "latest").version) == 3
assert "Registered model alias nope not found" in refused(
    "INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, "deep", "nope"
)
for bad in ("latest", "v3", "a b", "a/b", ""):
    refused("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, "deep", bad, "1")
refused("RESOURCE_DOES_NOT_EXIST", client.set_registered_model_alias, "deep", "champion", "99")
refused("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, "deep", "champion", "one")
client.delete_registered_model_alias("deep", "trial-1_x")
client.delete_registered_model_alias("deep", "never-there")

# Stages.
moved = client.transition_model_version_stage("deep", "1", "production")
assert moved.current_stage == "Production" and moved.last_updated_timestamp >= moved.creation_timestamp
client.transition_model_version_stage("deep", "3", "Production")
assert [int(v.version) for v in client.get_latest_versions("deep", ["Production"])] == [3]
client.transition_model_version_stage("deep", "2", "Production", archive_existing_versions=True)
stages = {int(v.version): v.current_stage for v in client.search_model_versions("name = 'deep'")}
assert stages == {1: "Archived", 2: "Production", 3: "Archived"}
assert [int(v.version) for v in client.get_latest_versions("deep", ["production", "Archived"])] in ([2, 3], [3, 2])
assert np.asarray(mlflow.pyfunc.load_model("models:/deep/Production").predict(frame)).ravel().tolist() == [2.0, 4.0]
refused("INVALID_PARAMETER_VALUE", client.transition_model_version_stage, "deep", "1", "Limbo")
refused(
    "INVALID_PARAMETER_VALUE",
    client.transition_model_version_stage,
    "deep",
    "1",
    "None",
    archive_existing_versions=True,
)
client.transition_model_version_stage("deep", "3", "None")
assert sorted(int(v.version) for v in client.get_latest_versions("deep")) == [1, 2, 3]

# Tags and words of versions.
client.set_model_version_tag("deep", "1", "checked", "yes")
client.set_model_version_tag("deep", stage="Production", key="by", value="stage")
assert client.get_model_version("deep", "2").tags == {"by": "stage"}
client.delete_model_version_tag("deep", "1", "n")
client.delete_model_version_tag("deep", "1", "never.there")
assert client.get_model_version("deep", "1").tags == {"checked": "yes"}
assert client.update_model_version("deep", "1", "new words").description == "new words"
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "deep", "99")
refused("INVALID_PARAMETER_VALUE", client.get_model_version, "deep", "one")


# Search.
def versions(text, **more):
    return [(v.name, int(v.version)) for v in client.search_model_versions(text, **more)]


assert versions("name = 'deep'", order_by=["version_number ASC"]) == [("deep", 1), ("deep", 2), ("deep", 3)]
assert versions(f"run_id = '{run_id}' and name != 'deep'") == [("copies", 1)]
assert versions(f"run_id IN ('{run_id}', 'x') AND version_number >= 2", order_by=["version_number DESC"]) == [
    ("deep", 3),
    ("deep", 2),
]
assert versions("tags.checked = 'yes'") == [("deep", 1)]
assert versions("tags.`checked` LIKE 'y%' and tag.checked != 'no'") == [("deep", 1)]
assert versions(f"source_path = 'runs:/{run_id}/model'") == [("deep", 1)]
assert versions("name ILIKE 'DE%' or name = 'copies'", order_by=["name DESC", "version_number ASC"]) == [
    ("deep", 1),
    ("deep", 2),
    ("deep", 3),
    ("copies", 1),
]
page = client.search_model_versions("", max_results=3, order_by=["name ASC", "version_number ASC"])
rest = client.search_model_versions(
    "", max_results=3, order_by=["name ASC", "version_number ASC"], page_token=page.token
)
assert [int(v.version) for v in [*page, *rest]] == [1, 1, 2, 3] and not rest.token
assert [m.name for m in client.search_registered_models("name LIKE 'dee%'")] == ["deep"]
assert [m.name for m in client.search_registered_models("tags.team = 'b'")] == ["deep"]
assert [m.name for m in client.search_registered_models(order_by=["name DESC"]) if m.name in ("deep", "other")] == [
    "other",
    "deep",
]
names, token = [], None
while True:
    models = client.search_registered_models(max_results=1, page_token=token)
    names += [m.name for m in models]
    token = models.token
    if not token:
        break
assert names == sorted(names) and {"copies", "deep", "other"} <= set(names)
for bad in ("nonsense", "name ~ 'x'", "metrics.x > 1", "color = 'red'", "version_number = 'x'", "name = 5"):
    refused("INVALID_PARAMETER_VALUE", client.search_model_versions, bad)
refused("INVALID_PARAMETER_VALUE", client.search_model_versions, "", order_by=["color"])
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, "run_id = 'x'")
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, max_results=1001)
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, page_token="nonsense")

# Prompts are kept beside, and stay out of the way.
mlflow.genai.register_prompt("greeting", "Hello {{name}}")
assert mlflow.genai.load_prompt("prompts:/greeting/1").template == "Hello {{name}}"
assert "greeting" not in [m.name for m in client.search_registered_models()]
assert [p.name for p in mlflow.genai.search_prompts()] == ["greeting"]

# The trash: a number is not given again, a name is.
client.delete_model_version("deep", "3")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "deep", "3")
assert int(client.create_model_version("deep", f"runs:/{run_id}/model", run_id).version) == 4
client.delete_registered_model("deep")
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "deep")
assert versions("name = 'deep'") == []
client.create_registered_model("deep")
assert client.search_model_versions("name = 'deep'") == []
assert int(client.create_model_version("deep", f"runs:/{run_id}/model", run_id).version) == 1
print("ok")
