"""LightGBM's autologging."""
# ruff: noqa: T201  a script, and it says how it went

import lightgbm
import mlflow
import numpy as np
from mlflow.tracking import MlflowClient
from sklearn.datasets import load_breast_cancer

mlflow.set_experiment("lightgbm")
mlflow.lightgbm.autolog()
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
train = lightgbm.Dataset(X, y)
with mlflow.start_run() as run:
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "metric": ["binary_logloss", "auc"]},
        train,
        num_boost_round=12,
        valid_sets=[train],
        valid_names=["train"],
    )

client = MlflowClient()
read = client.get_run(run.info.run_id)
assert read.data.params["objective"] == "binary"
assert read.data.params["num_boost_round"] == "12"
history = client.get_metric_history(run.info.run_id, "train-binary_logloss")
assert [point.step for point in history] == list(range(12)), history
assert history[-1].value < history[0].value
assert read.data.metrics["train-auc"] > 0.9
model_id = read.outputs.model_outputs[0].model_id
loaded = mlflow.pyfunc.load_model(f"models:/{model_id}")
assert np.allclose(loaded.predict(X), booster.predict(X))
print("ok")
