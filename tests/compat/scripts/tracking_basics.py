"""What nearly every training script does; nothing here knows of Homeostat."""
# ruff: noqa: FBT003, T201  a user's script, which is no test of ours

import math
import tempfile
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

experiment = mlflow.set_experiment("basics")
assert experiment.name == "basics"
assert experiment.lifecycle_stage == "active"
assert mlflow.set_experiment("basics").experiment_id == experiment.experiment_id

with mlflow.start_run(run_name="first", tags={"team": "a"}, description="what it is for") as run:
    mlflow.log_param("depth", 3)
    mlflow.log_params({"rate": 0.1, "empty": "", "long": "x" * 6000})
    for step in range(5):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.log_metrics({"auc": 0.9, "bad": math.nan, "top": math.inf, "low": -math.inf}, step=7)
    mlflow.set_tag("note", "ünïcödé")
    mlflow.set_tags({"a": "1", "b": "2"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.bin")
        path.write_bytes(b"\x00\x01" * 1000)
        mlflow.log_artifact(str(path))
        nested = Path(folder, "deep", "er")
        nested.mkdir(parents=True)
        (nested / "a file with spaces & ünïcode.txt").write_text("héllo")
        mlflow.log_artifacts(str(Path(folder, "deep")), artifact_path="tree")
    mlflow.log_text("plain words", "notes/words.txt")
    mlflow.log_dict({"x": [1, 2]}, "conf.json")

client = MlflowClient()
read = client.get_run(run.info.run_id)
assert read.info.status == "FINISHED"
assert read.info.run_name == "first"
assert read.info.end_time >= read.info.start_time
assert read.data.params == {"depth": "3", "rate": "0.1", "empty": "", "long": "x" * 6000}
assert read.data.metrics["loss"] == 0.2
assert math.isnan(read.data.metrics["bad"])
assert read.data.metrics["top"] == math.inf
assert read.data.metrics["low"] == -math.inf
assert read.data.tags["note"] == "ünïcödé"
assert read.data.tags["mlflow.runName"] == "first"
assert read.data.tags["mlflow.note.content"] == "what it is for"
assert read.data.tags["team"] == "a"

history = client.get_metric_history(run.info.run_id, "loss")
assert [(point.step, point.value) for point in history] == [(step, 1.0 / (step + 1)) for step in range(5)]
assert client.get_metric_history(run.info.run_id, "nothing") == []

assert [(item.path, item.is_dir) for item in client.list_artifacts(run.info.run_id)] == [
    ("conf.json", False),
    ("model.bin", False),
    ("notes", True),
    ("tree", True),
]
assert [item.path for item in client.list_artifacts(run.info.run_id, "tree/er")] == [
    "tree/er/a file with spaces & ünïcode.txt"
]
assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/words.txt") == "plain words"
assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/conf.json") == {"x": [1, 2]}
with tempfile.TemporaryDirectory() as folder:
    whole = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="", dst_path=folder)
    assert Path(whole, "model.bin").read_bytes() == b"\x00\x01" * 1000
    assert Path(whole, "tree", "er", "a file with spaces & ünïcode.txt").read_text() == "héllo"

# Resumed, renamed, failed.
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("late", 1)
client.update_run(run.info.run_id, name="renamed")
assert client.get_run(run.info.run_id).info.run_name == "renamed"
assert client.get_run(run.info.run_id).data.tags["mlflow.runName"] == "renamed"
client.set_tag(run.info.run_id, "mlflow.runName", "by tag")
assert client.get_run(run.info.run_id).info.run_name == "by tag"
client.delete_tag(run.info.run_id, "a")
assert "a" not in client.get_run(run.info.run_id).data.tags
try:
    with mlflow.start_run() as failing:
        raise RuntimeError("on purpose")
except RuntimeError:
    pass
assert client.get_run(failing.info.run_id).info.status == "FAILED"
assert client.get_run(failing.info.run_id).info.run_name

# Nested.
with mlflow.start_run(run_name="parent") as parent, mlflow.start_run(run_name="child", nested=True) as child:
    mlflow.log_param("child", True)
assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
found = mlflow.search_runs(
    [experiment.experiment_id],
    filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'",
    output_format="list",
)
assert [item.info.run_id for item in found] == [child.info.run_id]

# The trash.
client.delete_run(child.info.run_id)
assert client.get_run(child.info.run_id).info.lifecycle_stage == "deleted"
client.restore_run(child.info.run_id)
assert client.get_run(child.info.run_id).info.lifecycle_stage == "active"
print("ok")
