"""A peer's environment: installed by the benchmark at a pinned version, and apart from our own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"
FOLDER = ROOT / "build" / "peers"


def peer_python(name: str, *more: str, constraints: Sequence[Path] = ()) -> Path:
    """The Python that has what `peers/NAME.txt` asks for, and `more` beside it; installed when that has changed."""
    folder, wanted = FOLDER / name, PEERS / f"{name}.txt"
    python, mark = folder / "bin" / "python", folder / "installed.txt"
    asked = "\n".join([wanted.read_text().rstrip(), *more, ""])
    if not mark.exists() or mark.read_text() != asked:
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        install = [uv, "pip", "install", "--quiet", "--system-certs", "--compile-bytecode", "--python", str(python)]
        _run([*install, "-r", str(wanted), *more, *(f"--constraint={file}" for file in constraints)])
        mark.write_text(asked)
    return python


def mlflow_python() -> Path:
    """The Python that has MLflow, with what it pulls in at the versions that our tests run it with."""
    return peer_python("mlflow", constraints=[ROOT / "requirements" / "clients.lock"])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)
