"""`homeostat model register`, `inspect`, `promote`, `retire`: saved models of every kind, as commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression, LogisticRegression

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(60, 3))
LATE = X[:, 0] > 0
KIND = np.arange(60) % 3


class Home:
    """A home that is spoken to by commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "homeostat.cli.entry", *words, "--home", str(self.folder / "home")]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HOMEOSTAT_")}
        return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=90, check=False)

    def said(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def save(folder: Path) -> None:
    """A model of each kind."""
    logistic = LogisticRegression().fit(X, LATE)
    skops.io.dump(logistic, folder / "late.skops")
    booster = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, KIND).booster_
    (folder / "kind.txt").write_text(booster.model_to_string())
    xgboost.XGBClassifier(n_estimators=3).fit(X, LATE).save_model(folder / "late.ubj")
    xgboost.XGBRegressor(n_estimators=3).fit(X, X[:, 1]).save_model(folder / "value.json")
    taken = [("X", FloatTensorType([None, None]))]
    proto = to_onnx(LinearRegression().fit(X, X[:, 1]), initial_types=taken)
    (folder / "value.onnx").write_bytes(proto.SerializeToString())
    (folder / "logged").mkdir()
    (folder / "logged" / "MLmodel").write_text(
        "flavors:\n  sklearn:\n    pickled_model: model.skops\nsignature:\n"
        f"  inputs: '{json.dumps([{'type': 'double', 'name': name} for name in 'pqr'])}'\n"
    )
    (folder / "logged" / "model.skops").write_bytes((folder / "late.skops").read_bytes())
    (folder / "notes.md").write_text("no model")


@pytest.mark.parametrize(
    ("file", "more", "task", "inputs", "classes"),
    [
        ("late.skops", (), "binary", ["x0", "x1", "x2"], ["false", "true"]),
        ("kind.txt", ("--classes", "a, b,c"), "multiclass", ["x0", "x1", "x2"], ["a", "b", "c"]),
        ("late.ubj", ("--inputs", "p,q,r"), "binary", ["p", "q", "r"], ["0", "1"]),
        ("value.json", (), "regression", ["x0", "x1", "x2"], []),
        ("value.onnx", ("--inputs", "p,q,r"), "regression", ["p", "q", "r"], []),
        ("logged", (), "binary", ["p", "q", "r"], ["false", "true"]),
    ],
)
def test_a_saved_model_is_registered_as_it_is(
    home: Home, file: str, more: tuple[str, ...], task: str, inputs: list[str], classes: list[str]
) -> None:
    save(home.folder)
    words = ("--metric", "roc_auc=0.8", "--tag", "team=ops", "--description", "saved")
    made = home.said("model", "register", "saved", str(home.folder / file), *more, *words)
    signature = made["signature"]
    assert (signature["task"], signature["classes"]) == (task, classes)
    assert [column["name"] for column in signature["inputs"]] == inputs
    assert (made["metrics"], made["tags"], made["description"]) == ({"roc_auc": 0.8}, {"team": "ops"}, "saved")


def test_a_registered_file_is_promoted_shown_and_retired(home: Home) -> None:
    save(home.folder)
    home.said("model", "register", "late", str(home.folder / "late.skops"))
    assert "late: champion none -> 1" in home.run("model", "promote", "late@1", "champion").stdout
    shown = home.run("model", "inspect", "late@1").stdout
    assert "binary" in shown and "x0 (number)" in shown and "gives: false, true" in shown
    home.said("model", "register", "late", str(home.folder / "late.skops"), "--inputs", "p,q,r")
    refused = home.run("model", "promote", "late@2", "champion")
    assert refused.returncode == 1 and "it takes p, q, r, which callers do not send" in refused.stderr
    assert "late: champion 1 -> 2" in home.run("model", "alias", "late", "champion", "2", "--force").stdout
    assert "out of service" in home.run("model", "retire", "late", "--reason", "replaced").stdout
    again = home.run("model", "retire", "late")
    assert again.returncode == 2 and "not in service" in again.stderr


@pytest.mark.parametrize(
    ("file", "more", "code", "said"),
    [
        ("notes.md", (), 1, "notes.md is no saved model"),
        ("late.skops", ("--inputs", "p,q"), 2, "takes 3 columns, 2 are named"),
        ("kind.txt", ("--classes", "a,b"), 2, "2 classes are named, the model has 3"),
        ("kind.txt", ("--task", "ranking"), 2, "'ranking' is not a task"),
        ("late.skops", ("--metric", "roc_auc=high"), 2, "not a number"),
        ("late.skops", ("--tag", "team"), 2, "not KEY=VALUE"),
        ("nothing.onnx", (), 2, "does not exist"),
    ],
)
def test_what_cannot_be_registered_is_said(home: Home, file: str, more: tuple[str, ...], code: int, said: str) -> None:
    save(home.folder)
    done = home.run("model", "register", "saved", str(home.folder / file), *more)
    assert done.returncode == code and said in done.stderr
