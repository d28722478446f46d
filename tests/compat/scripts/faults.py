"""What MLflow's server refuses is refused here in the same way, and the client says so."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, PT017, T201  a user's script, which is no test of ours

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

client = MlflowClient()
experiment = mlflow.set_experiment("faults").experiment_id


def refused(code, call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        assert error.error_code == code, (call.__name__, error.error_code, str(error))
        assert "sqlite" not in str(error).lower()
        assert "insert" not in str(error).lower()
        return str(error)
    raise AssertionError(f"{call.__name__}{args} was let through")


refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, "faults")
refused("RESOURCE_DOES_NOT_EXIST", client.get_run, "0" * 32)
refused("RESOURCE_DOES_NOT_EXIST", client.get_experiment, "99999")
refused("INVALID_PARAMETER_VALUE", client.get_experiment, "no-number")
assert client.get_experiment_by_name("no such experiment") is None
refused("RESOURCE_DOES_NOT_EXIST", client.log_metric, "0" * 32, "x", 1.0)

run = client.create_run(experiment)
run_id = run.info.run_id
assert run.info.run_name
client.log_param(run_id, "depth", 3)
client.log_param(run_id, "depth", 3)  # the same again is fine
message = refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "depth", 5)
assert "depth" in message
assert "'3'" in message
assert "'5'" in message
refused("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "bad/../name", 1.0)
refused("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "k" * 251, 1.0)
refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "k" * 251, 1)
refused("RESOURCE_DOES_NOT_EXIST", client.delete_tag, run_id, "nothing")
refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], max_results=50001)

client.log_metric(run_id, "same", 1.0, timestamp=1000, step=0)
client.log_metric(run_id, "same", 1.0, timestamp=1000, step=0)
assert len(client.get_metric_history(run_id, "same")) == 1
client.log_metric(run_id, "same", 2.0, timestamp=500, step=0)  # a clock that goes back
client.log_metric(run_id, "same", 3.0, timestamp=2000, step=-5)
assert [(p.step, p.timestamp) for p in client.get_metric_history(run_id, "same")] == [(-5, 2000), (0, 500), (0, 1000)]
assert client.get_run(run_id).data.metrics["same"] == 1.0
client.log_metric(run_id, "far", 1e308, timestamp=0, step=2**62)
assert client.get_metric_history(run_id, "far")[0].step == 2**62
client.log_metric(run_id, "ünï cödé/key", 0.5)
assert client.get_run(run_id).data.metrics["ünï cödé/key"] == 0.5

client.delete_run(run_id)
refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "late", 1)
refused("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "late", 1)
refused("INVALID_PARAMETER_VALUE", client.set_tag, run_id, "late", "1")
client.restore_run(run_id)
client.log_param(run_id, "late", 1)

gone = client.create_experiment("goes and comes back")
inside = client.create_run(gone).info.run_id
client.delete_experiment(gone)
assert client.get_experiment(gone).lifecycle_stage == "deleted"
assert client.get_run(inside).info.lifecycle_stage == "deleted"
refused("INVALID_PARAMETER_VALUE", client.create_run, gone)
again = client.create_experiment("goes and comes back")  # MLflow's own server refuses this for ever
refused("RESOURCE_ALREADY_EXISTS", client.restore_experiment, gone)
client.rename_experiment(again, "another name")
client.restore_experiment(gone)
assert client.get_run(inside).info.lifecycle_stage == "active"

located = client.create_experiment("located", artifact_location="s3://bucket/elsewhere")
assert client.get_experiment(located).artifact_location == f"mlflow-artifacts:/{located}"
assert client.get_experiment(located).tags["homeostat.requested_artifact_location"] == "s3://bucket/elsewhere"
print("ok")
