"""Every example of tracking runs as it stands, and its runs are there afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import homeostat as hs

pytestmark = pytest.mark.slow
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "tracking").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_of_tracking_runs(example: Path, tmp_path: Path) -> None:
    environ = os.environ | {"HOMEOSTAT_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    client = hs.connect(str(tmp_path / "home"))
    found = client.runs(project="examples")
    client.close()
    assert found and {run["status"] for run in found} == {"finished"}
