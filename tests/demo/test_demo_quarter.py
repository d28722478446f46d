"""The main job on real input: a quarter of the flights of 2013 through the whole loop, over HTTP."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = pytest.mark.slow


def test_a_quarter_of_the_year_keeps_everything_and_beats_the_model_that_was_never_retrained(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "homeostat.cli.entry", "demo", "--fast", "--json", str(out)]
    done = subprocess.run([*command, "--home", str(tmp_path / "home")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = msgspec.json.decode(out.read_bytes())
    assert result["predictions_sent"] > 60_000
    assert result["predictions_logged"] == result["predictions_sent"]
    assert result["labels_joined"] == result["labels_sent"]
    assert result["parity"]["checked"] >= 1000
    assert result["parity"]["mismatched"] == 0
    outcomes = [cycle["outcome"] for cycle in result["cycles"]]
    assert outcomes.count("promoted") >= 2, outcomes
    (bad,) = [cycle for cycle in result["cycles"] if cycle["params"].get("shuffle_labels")]
    assert bad["outcome"] == "rolled_back"
    assert result["rollbacks"] == 1
    assert result["loop"]["log_loss"] < result["static"]["log_loss"]
    for cycle in result["cycles"]:
        assert {"cause", "evidence", "outcome", "run", "version"} <= cycle.keys()
    assert "What it was worth" in done.stdout
