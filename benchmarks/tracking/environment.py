"""The peer's environment: MLflow at a pinned version, installed by the benchmark and apart from our own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WANTED = ROOT / "benchmarks" / "peers" / "mlflow.txt"
KNOWN_GOOD = ROOT / "requirements" / "clients.lock"
"""What the pinned MLflow itself pulls in, at the versions our tests run it with."""
FOLDER = ROOT / "build" / "peers" / "mlflow"


def peer_python() -> Path:
    """The Python that has MLflow; the first call, and one after a change of the pin, installs it."""
    python = FOLDER / "bin" / "python"
    mark = FOLDER / "installed.txt"
    wanted = WANTED.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        uv = Path(sys.executable).with_name("uv")
        _run([str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(FOLDER)])
        install = [str(uv), "pip", "install", "--quiet", "--system-certs", "--compile-bytecode"]
        _run([*install, "--python", str(python), "-r", str(WANTED), "-c", str(KNOWN_GOOD)])
        mark.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)
