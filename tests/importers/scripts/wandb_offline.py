"""Run by the foreign client's interpreter: an offline run of the real W&B. Prints what was logged, as JSON."""

import json
import math
import os
import sys
from pathlib import Path

os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
import wandb

folder = Path(sys.argv[1])
os.chdir(folder)
run = wandb.init(
    project="wandb project",
    name="first",
    notes="a note",
    tags=["a", "ü"],
    group="g",
    job_type="train",
    config={"lr": 0.1, "model": {"depth": 3, "names": ["x"]}, "none": None, "ключ": "да"},
    dir=str(folder),
)
run.define_metric("epoch")
run.define_metric("val/*", step_metric="epoch")
losses = [math.exp(-step / 30) * 1.1 for step in range(200)]
for step, loss in enumerate(losses):
    run.log({"loss": loss, "nested": {"b": {"c": step * 2}}, "val/acc": step / 200, "epoch": step // 10})
run.log({"nan": math.nan, "inf": math.inf, "text": "hello"})
run.log({"table": wandb.Table(columns=["a"], data=[[1]]), "hist": wandb.Histogram([1, 2, 3])})
run.summary["best"] = 0.25
sys.stderr.write("to the console\n")
(folder / "f.txt").write_text("content")
artifact = wandb.Artifact("data", "dataset")
artifact.add_file("f.txt")
run.log_artifact(artifact)
run.finish(exit_code=3)
sys.stdout.write("\n" + json.dumps({"id": run.id, "losses": losses}) + "\n")
