"""Models of several kinds, logged and registered as MLflow's users do, and put into service by an alias alone."""

import json
import sys

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
frame = pd.DataFrame(X, columns=["sepal length (cm)", "it's", "c"])
species = np.array(["setosa", "versicolor", "virginica"])[rng.integers(0, 3, 90)]
late = X[:, 0] > 0
mixed = pd.DataFrame({"age": X[:, 0], "sex": rng.choice(["m", "f"], 90)})
coded = ColumnTransformer([("age", StandardScaler(), ["age"]), ("sex", OneHotEncoder(), ["sex"])])
texts = make_pipeline(coded, LogisticRegression()).fit(mixed, late)
pairs = pd.DataFrame({"delay": X[:, 0], "taxi": X[:, 1]})

kinds = {
    "classes": (mlflow.sklearn, RandomForestClassifier(5).fit(frame, species), frame),
    "array": (mlflow.sklearn, LogisticRegression().fit(X, late), X),
    "texts": (mlflow.sklearn, texts, mixed),
    "pairs": (mlflow.sklearn, LinearRegression().fit(frame, pairs), frame),
    "lightgbm": (mlflow.lightgbm, lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, species), X),
    "xgboost": (mlflow.xgboost, xgboost.XGBRegressor(n_estimators=5).fit(frame, X[:, 1]), frame),
}
client, told = MlflowClient(), {}
mlflow.set_experiment("served")
for name, (flavor, model, taken) in kinds.items():
    with mlflow.start_run() as run:
        said = {} if name == "lightgbm" else {"signature": infer_signature(taken, model.predict(taken))}
        if name == "texts":
            said["input_example"] = mixed.head(2)
        if name == "classes":
            said["skops_trusted_types"] = ["sklearn.tree._tree.Tree"]
        info = flavor.log_model(model, name="model", **said)
    answers = model.predict_proba(taken) if hasattr(model, "predict_proba") else model.predict(taken)
    rows = taken if isinstance(taken, pd.DataFrame) else pd.DataFrame(taken, columns=["x0", "x1", "x2"])
    told[name] = {
        "run": run.info.run_id,
        "rows": rows.head(5).to_dict(orient="split"),
        "answers": np.asarray(answers)[:5].tolist(),
        "labels": np.asarray(model.predict(taken))[:5].tolist(),
    }
    if name != "xgboost":  # that one is served from its run
        version = mlflow.register_model(info.model_uri, name)
        client.set_registered_model_alias(name, "champion", version.version)
with mlflow.start_run() as run:
    forest = RandomForestClassifier(3).fit(X, late)
    pickled = mlflow.sklearn.log_model(forest, name="model", serialization_format="cloudpickle")
mlflow.register_model(pickled.model_uri, "pickled")
client.set_registered_model_alias("pickled", "champion", "1")
told["pickled"] = {"run": run.info.run_id}
sys.stdout.write(json.dumps(told) + "\n")
