"""XGBoost's autologging."""
# ruff: noqa: T201  a script, and it says how it went

import mlflow
import numpy as np
import xgboost
from mlflow.tracking import MlflowClient
from sklearn.datasets import load_breast_cancer

mlflow.set_experiment("xgboost")
mlflow.xgboost.autolog()
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
train = xgboost.DMatrix(X, y)
with mlflow.start_run() as run:
    booster = xgboost.train(
        {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 3},
        train,
        num_boost_round=12,
        evals=[(train, "train")],
        verbose_eval=False,
    )

client = MlflowClient()
read = client.get_run(run.info.run_id)
assert read.data.params["max_depth"] == "3"
history = client.get_metric_history(run.info.run_id, "train-logloss")
assert [point.step for point in history] == list(range(12)), history
assert read.data.metrics["train-auc"] > 0.9
model_id = read.outputs.model_outputs[0].model_id
loaded = mlflow.pyfunc.load_model(f"models:/{model_id}")
assert np.allclose(loaded.predict(X), booster.predict(train))
print("ok")
