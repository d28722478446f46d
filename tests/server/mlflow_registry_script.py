"""Run with the real MLflow client: `register HOOK` a model and move its champion, or `load` it; says what came."""

import json
import sys
import time

import mlflow
import numpy as np
from mlflow.entities.webhook import WebhookEvent
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

X = np.arange(40.0).reshape(20, 2)
EVENTS = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
]


def register(hook: str) -> dict[str, object]:
    """Everything that MLflow tells of a registry, done once."""
    client = MlflowClient()
    client.create_webhook("hook", hook, [WebhookEvent.from_str(name) for name in EVENTS], secret="s3cret")  # noqa: S106
    model = LogisticRegression().fit(X, X[:, 0] > 20)
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.75)
        info = mlflow.sklearn.log_model(model, name="model", registered_model_name="late", input_example=X[:2])
    mlflow.register_model(info.model_uri, "late", tags={"second": "yes"})
    for version in ("1", "2", "1"):
        client.set_registered_model_alias("late", "champion", version)
    client.set_registered_model_alias("late", "gone", "2")
    client.delete_registered_model_alias("late", "gone")
    client.set_model_version_tag("late", "1", "checked", "é")
    client.delete_model_version_tag("late", "1", "checked")
    return {"run": run.info.run_id, "source": info.model_uri, "predicted": model.predict(X).tolist()}


def load() -> dict[str, object]:
    """What the champion answers, or how its loading fails."""
    began = time.monotonic()
    try:
        predicted = mlflow.pyfunc.load_model("models:/late@champion").predict(X).tolist()
    except Exception as error:  # noqa: BLE001  whatever MLflow makes of a refusal
        return {"error": str(error), "seconds": time.monotonic() - began}
    return {"predicted": predicted}


print(json.dumps(register(sys.argv[2]) if sys.argv[1] == "register" else load()))  # noqa: T201  read by the test
