"""`homeostat report REFERENCE CURRENT`: what it prints, writes and ends with."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeostat.cli.entry", "report", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    x, c = rng.normal(size=3_000), rng.choice(["a", "b"], size=3_000)
    frame = pl.DataFrame({"x": x, "city": c, "y": rng.normal(size=3_000)})
    frame.head(1_500).write_parquet(folder / "reference.parquet")
    frame.tail(1_500).write_csv(folder / "same.csv")
    frame.tail(1_500).with_columns(pl.col("x") + 0.5).write_ndjson(folder / "moved.ndjson")
    frame.head(5).write_ipc(folder / "few.arrow")
    return {path.stem: path for path in folder.iterdir()}


def test_drift_is_exit_code_1_and_names_the_column(files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run(files["reference"], files["moved"], "--html", page)
    assert done.returncode == 1, done.stderr
    assert "moved against reference: ALARM" in done.stdout and "1,500 current rows" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("x ")]
    assert "drift" in line
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_no_drift_is_0_too_few_rows_3_and_a_wrong_word_2(files: dict[str, Path]) -> None:
    same = run(files["reference"], files["same"], "--json")
    assert same.returncode == 0, same.stdout + same.stderr
    found = json.loads(same.stdout)
    assert (found["status"], found["dataset_drift"]) == ("ok", False)
    few = run(files["reference"], files["few"])
    assert few.returncode == 3 and "too little data to say" in few.stdout
    for words, said in (
        ((files["reference"], "nowhere.parquet"), "there is no file nowhere.parquet"),
        ((files["reference"], files["same"], "--column", "z"), "no column 'z'"),
        ((files["reference"], files["same"], "--method", "guess"), "there is no test 'guess'"),
        ((files["reference"], files["same"], "--mode", "loud"), "loud"),
    ):
        wrong = run(*words)
        assert wrong.returncode == 2 and said in wrong.stderr, wrong.stderr


def test_a_named_test_target_and_mode_are_taken(files: dict[str, Path]) -> None:
    done = run(files["reference"], files["moved"], "--mode", "evidently", "--target", "y", "--json")
    found = json.loads(done.stdout)
    names = [metric["metric_name"] for metric in found["metrics"]]
    assert "ValueDrift(column=x,method=Wasserstein distance (normed),threshold=0.1)" in names
    assert sum("column=y" in name for name in names) == 2
    assert done.returncode == 0  # one of three columns is less than half of them
