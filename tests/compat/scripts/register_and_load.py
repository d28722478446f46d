"""From training to `models:/name@champion`: log, register, alias, load, stages, search."""
# ruff: noqa: T201  a script, and it says how it went

import mlflow
import numpy as np
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment("registry")
client = MlflowClient()
X, y = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=300).fit(X, y)
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", model.score(X, y))
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name="iris-clf",
        signature=infer_signature(X, model.predict(X)),
        input_example=X.head(3),
    )
assert info.model_id.startswith("m-")
version = client.get_model_version("iris-clf", "1")
assert version.version in ("1", 1)
assert version.run_id == run.info.run_id
assert version.status == "READY"

client.set_registered_model_alias("iris-clf", "champion", "1")
assert client.get_model_version_by_alias("iris-clf", "champion").version in ("1", 1)
for uri in ("models:/iris-clf@champion", "models:/iris-clf/1", f"models:/{info.model_id}", info.model_uri):
    loaded = mlflow.pyfunc.load_model(uri)
    assert np.array_equal(loaded.predict(X), model.predict(X)), uri
assert np.allclose(mlflow.sklearn.load_model("models:/iris-clf@champion").predict_proba(X), model.predict_proba(X))

with mlflow.start_run():
    second = mlflow.sklearn.log_model(LogisticRegression(C=0.01, max_iter=300).fit(X, y), name="model")
    mlflow.register_model(second.model_uri, "iris-clf")
client.set_registered_model_alias("iris-clf", "champion", "2")
assert client.get_model_version_by_alias("iris-clf", "champion").version in ("2", 2)
client.set_model_version_tag("iris-clf", "2", "reviewed", "yes")
client.set_registered_model_tag("iris-clf", "team", "a")
assert client.get_registered_model("iris-clf").tags["team"] == "a"
assert client.get_registered_model("iris-clf").aliases == {"champion": "2"}
found = client.search_model_versions("name = 'iris-clf'")
assert sorted(int(item.version) for item in found) == [1, 2]
assert [item.name for item in client.search_registered_models("name LIKE 'iris%'")] == ["iris-clf"]
client.delete_registered_model_alias("iris-clf", "champion")
print("ok")
