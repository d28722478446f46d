import json
from pathlib import Path

import pytest
from foreign import run_script
from importer_home import Home

from homeostat.compat.importers.wandb_folder import read_wandb

pytestmark = pytest.mark.slow


def test_an_offline_run_of_the_real_client_arrives_value_for_value(sqlite_home: Home, tmp_path: Path) -> None:
    written = run_script("wandb_offline.py", str(tmp_path), folder=tmp_path, WANDB_DATA_DIR=str(tmp_path / "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
        report = sqlite_home.take(lambda losses: read_wandb(tmp_path / "wandb", losses))
        again = sqlite_home.take(lambda losses: read_wandb(tmp_path / "wandb", losses))
    assert (report.runs, again.added) == (1, 0)
    run_id = report.carried[0].run_id
    detail = sqlite_home.detail(run_id)
    assert (detail.run.name, detail.run.project, detail.run.status) == ("first", "wandb project", "failed")
    assert detail.params["lr"] == "0.1" and detail.params["model.depth"] == "3" and detail.params["ключ"] == "да"
    assert [value for _, _, value in sqlite_home.series(run_id, "loss")] == written["losses"]
    assert [(step, value) for step, _, value in sqlite_home.series(run_id, "nested/b/c")] == [
        (step, step * 2.0) for step in range(200)
    ]
    assert detail.metrics["best"] == 0.25 and "nan" in detail.metrics
    assert detail.tags["wandb.run_id"] == written["id"] and json.loads(detail.tags["wandb.tags"]) == ["a", "ü"]
    assert detail.tags["mlflow.note.content"] == "a note" and detail.tags["wandb.step_metric.val/*"] == "epoch"
    assert any(key.startswith("system/") for key in detail.metrics)
    assert sqlite_home.file(run_id, "artifacts/data/f.txt") == b"content"
    assert b"to the console" in sqlite_home.file(run_id, "output.log")
    paths = [item.path for item in detail.artifacts]
    assert any(path.startswith("media/table/") for path in paths) and "requirements.txt" in paths
