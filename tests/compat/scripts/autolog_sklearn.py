"""scikit-learn's autologging."""
# ruff: noqa: T201  a script, and it says how it went

import mlflow
from mlflow.tracking import MlflowClient
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

mlflow.set_experiment("sklearn")
mlflow.sklearn.autolog()
X, y = load_iris(return_X_y=True, as_frame=True)
with mlflow.start_run() as run:
    forest = RandomForestClassifier(n_estimators=10, random_state=0).fit(X, y)

read = MlflowClient().get_run(run.info.run_id)
assert read.data.params["n_estimators"] == "10", read.data.params
assert read.data.metrics["training_accuracy_score"] > 0.9, read.data.metrics
assert read.data.tags["estimator_name"] == "RandomForestClassifier"
assert read.inputs.dataset_inputs[0].dataset.name == "dataset"
assert read.inputs.dataset_inputs[0].tags[0].value == "train"
model_id = read.outputs.model_outputs[0].model_id
model = mlflow.get_logged_model(model_id)
assert model.source_run_id == run.info.run_id
assert str(model.status) == "READY", model.status
assert {metric.key for metric in model.metrics} >= {"training_accuracy_score"}, model.metrics
loaded = mlflow.pyfunc.load_model(f"models:/{model_id}")
assert (loaded.predict(X) == forest.predict(X)).all()
assert {item.path for item in MlflowClient().list_artifacts(run.info.run_id)} >= {"training_confusion_matrix.png"}

with mlflow.start_run() as parent:
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}, cv=2).fit(X, y)
children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
assert len(children) == 3, children
assert set(children["params.C"]) == {"0.1", "1.0", "10.0"}
print("ok")
