"""Run by the foreign client's interpreter: what the real MLflow writes into a store. Prints ids, as JSON."""

import json
import logging
import sys
import warnings
from pathlib import Path

import mlflow

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
uri, artifacts = sys.argv[1:3]
mlflow.set_tracking_uri(uri)
location = None if artifacts == "-" else Path(artifacts).as_uri()
experiment = mlflow.create_experiment("exp é", artifact_location=location, tags={"team": "x"})
mlflow.set_experiment("exp é")
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"lr": 0.1, "long": "x" * 6000})
    mlflow.set_tag("k", "ü")
    for step in range(100):
        mlflow.log_metric("loss", 1 / (step + 1), step=step, timestamp=1_700_000_000_000 + step)
    mlflow.log_metric("nan", float("nan"), step=1)
    mlflow.log_text("héllo", "dir/a.txt")
    mlflow.log_input(mlflow.data.from_numpy(__import__("numpy").zeros((2, 2)), name="d"), context="training")
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("m", 1)
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    logged = mlflow.sklearn.log_model(model, name="model", registered_model_name="reg")
client = mlflow.MlflowClient()
source = {"source": logged.model_uri, "run_id": parent.info.run_id, "model_id": logged.model_id}
client.create_model_version("reg", **source, tags={"q": "w"}, description="second")
client.set_registered_model_alias("reg", "best", 1)
client.set_registered_model_alias("reg", "next", 2)
client.update_registered_model("reg", "described")
client.transition_model_version_stage("reg", "2", "Production")
client.delete_model_version("reg", client.create_model_version("reg", **source).version)
client.create_model_version("reg", **source)
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_metric("x", 1)
client.delete_run(gone.info.run_id)
try:
    with mlflow.start_run(run_name="fail") as failed:
        raise ValueError
except ValueError:
    pass
history = client.get_metric_history(parent.info.run_id, "loss")
points = sorted([point.step, point.timestamp, point.value] for point in history)
runs = {"parent": parent, "child": child, "gone": gone, "failed": failed}
ids = {name: run.info.run_id for name, run in runs.items()}
answer = {**ids, "model": logged.model_id, "experiment": experiment, "points": points}
sys.stdout.write("\n" + json.dumps(answer) + "\n")
