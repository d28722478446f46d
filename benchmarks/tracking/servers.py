"""The two servers that are compared, each a process tree of its own with an empty folder for its state."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.tracking.environment import peer_python

READY_WITHIN = 120.0


class Server:
    """A running server: where it answers, how long it took to, and what it weighs."""

    def __init__(self, command: list[str], *, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self._output = (folder / "output.txt").open("ab")
        started = time.perf_counter()
        # A session of its own: MLflow's helpers outlive their parent unless the whole group is told.
        self._process = subprocess.Popen(
            command, stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self._wait_ready(started + READY_WITHIN)
        self.ready_seconds = time.perf_counter() - started

    def memory(self) -> tuple[float, float, int]:
        """MiB of the process tree, proportional (shared pages once) and resident, and how many processes that is."""
        root = psutil.Process(self._process.pid)
        sizes = [one.memory_full_info() for one in (root, *root.children(recursive=True))]
        return sum(size.pss for size in sizes) / 2**20, sum(size.rss for size in sizes) / 2**20, len(sizes)

    def stop(self) -> None:
        """End the process tree and wait until it is gone."""
        tree = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        _, alive = psutil.wait_procs(tree, 5)
        for process in alive:
            process.kill()
        self._output.close()

    def _wait_ready(self, deadline: float) -> None:
        while not answers(self.url, "/health"):
            if self._process.poll() is not None or time.perf_counter() > deadline:
                told = (self.folder / "output.txt").read_text(errors="replace")[-2000:]
                self.stop() if self._process.poll() is None else self._output.close()
                raise RuntimeError(f"the server did not become ready; it said:\n{told}")
            time.sleep(0.005)


def start_ours(folder: Path) -> Server:
    """`homeostat up` over a folder."""
    port = free_port()
    command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--json", "--home", str(folder / "home")]
    return Server([*command, "--port", str(port), "--serving-port", "0"], port=port, folder=folder)


def start_peer(folder: Path, *, workers: int = 1) -> Server:
    """`mlflow server` over a folder: SQLite and proxied artifacts, one web worker unless said otherwise."""
    port = free_port()
    command = [str(peer_python().with_name("mlflow")), "server", "--workers", str(workers)]
    command += ["--backend-store-uri", f"sqlite:///{peer_database(folder)}", "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    return Server(command, port=port, folder=folder)


def peer_database(folder: Path) -> Path:
    """The file in which a peer started over `folder` keeps its rows."""
    return folder / "mlflow.db"


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server while the block runs."""
    try:
        yield server
    finally:
        server.stop()


def answers(url: str, path: str) -> bool:
    """Whether a GET gets a 200."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
