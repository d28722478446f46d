"""A model that was registered by hand first and declared later: its champion is compared with, watched and replaced."""

from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from shop import command, write_project
from sklearn.linear_model import LogisticRegression

import homeostat as hs

pytestmark = pytest.mark.slow


def test_a_trained_version_is_judged_against_the_one_that_was_registered_by_hand(tmp_path: Path) -> None:
    home, declared = tmp_path / "home", write_project(tmp_path / "project")
    orders = pl.read_parquet(tmp_path / "project" / "orders.parquet").head(5000)
    distance, late = orders["distance"].to_numpy().reshape(-1, 1), orders["minutes_late"].to_numpy() > 10
    with closing(hs.connect(str(home))) as client:
        client.registry.register(LogisticRegression().fit(distance, late), "late-order", inputs=["distance"])
        client.registry.promote("late-order@1", "champion")
        assert client.model("late-order")["endpoint"]["arms"][0]["version"] == 1
    command(home, "apply", str(declared))
    command(home, "train", "late-order")
    view = command(home, "model", "show", "late-order")
    assert (view["champion"], view["challenger"], view["rollout"]) == (1, 2, "running")
    evaluation = command(home, "why", "late-order")["cycles"][-1]
    assert evaluation["state"] != "failed", evaluation
    with closing(hs.connect(str(home))) as client:
        judged = client.registry.version("late-order@2")["evaluation"]
    assert judged["champion"] == 1
    assert np.isfinite(judged["evaluation"]["champion"]["roc_auc"])
    assert judged["evaluation"]["challenger"]["roc_auc"] > judged["evaluation"]["champion"]["roc_auc"]
