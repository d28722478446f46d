"""The registry's example runs as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import homeostat as hs

pytestmark = pytest.mark.slow


def test_the_example_of_the_registry_runs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = Path(__file__).parents[2] / "examples" / "registry.py"
    environ = os.environ | {"HOMEOSTAT_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    client = hs.connect(str(home))
    found = client.registry.version("late@production")
    client.close()
    assert (found["ref"], found["stage"]) == ("late@2", "production")
