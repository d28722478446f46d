"""Run with the real MLflow client: log, and subscribe a webhook; the environment alone says where and who."""

import json
import sys

import mlflow
from mlflow.entities.webhook import WebhookEvent
from mlflow.exceptions import MlflowException

mlflow.set_experiment("guarded")
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
client = mlflow.MlflowClient()
told = {"run_id": run.info.run_id, "loss": client.get_run(run.info.run_id).data.metrics["loss"]}
if len(sys.argv) > 1:
    events = [WebhookEvent.from_str("registered_model.created")]
    hook = client.create_webhook("hook", sys.argv[1], events, secret="s3cret")  # noqa: S106  a test's own
    told["tried"] = client.test_webhook(hook.webhook_id).response_status
    told["listed"] = [found.name for found in client.list_webhooks()]
    told["updated"] = client.update_webhook(hook.webhook_id, description="d").description
    try:
        client.create_webhook("bad", "http://10.0.0.1/x", events)
    except MlflowException as error:
        told["refused"] = error.error_code
print(json.dumps(told))  # noqa: T201  read by the test
