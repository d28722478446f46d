"""The two servers that are compared, each over an empty folder for its state."""

import sys
from pathlib import Path

from benchmarks.environment import mlflow_python
from benchmarks.processes import Server, free_port


def start_ours(folder: Path) -> Server:
    """`homeostat up` over a folder."""
    port = free_port()
    command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--json", "--home", str(folder / "home")]
    return Server([*command, "--port", str(port), "--serving-port", "0"], port=port, folder=folder)


def start_peer(folder: Path, *, workers: int = 1) -> Server:
    """`mlflow server` over a folder: SQLite and proxied artifacts, one web worker unless said otherwise."""
    port = free_port()
    command = [str(mlflow_python().with_name("mlflow")), "server", "--workers", str(workers)]
    command += ["--backend-store-uri", f"sqlite:///{peer_database(folder)}", "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    return Server(command, port=port, folder=folder)


def peer_database(folder: Path) -> Path:
    """The file in which a peer started over `folder` keeps its rows."""
    return folder / "mlflow.db"
