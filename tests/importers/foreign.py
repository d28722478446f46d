"""Scripts that the real foreign tools run, in an environment of their own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

PYTHON = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
_SCRIPTS = Path(__file__).parent / "scripts"


def run_script(name: str, *arguments: str, folder: Path, **environment: str) -> dict[str, Any]:
    """Run a script to its end; what its last line says."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "WANDB_"))}
    done = subprocess.run(
        [str(PYTHON), str(_SCRIPTS / name), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=kept | {"MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet"} | environment,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
