"""A server that is measured: a process tree of its own, with how long it took to answer and what it weighs."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

READY_WITHIN = 120.0


class Server:
    """A running server: where it answers, how long it took to, and what it weighs.

    `core` pins the whole tree to one core; `ready` is the path whose 200 says that it answers.
    """

    def __init__(
        self,
        command: list[str],
        *,
        port: int,
        folder: Path,
        ready: str = "/health",
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self._output = (folder / "output.txt").open("ab")
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        started = time.perf_counter()
        # A session of its own: MLflow's helpers outlive their parent unless the whole group is told.
        self._process = subprocess.Popen(
            [*pinned, *command],
            stdout=self._output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=folder,
            env=None if environment is None else os.environ | environment,
        )
        self._wait_ready(ready, started + READY_WITHIN)
        self.ready_seconds = time.perf_counter() - started

    @property
    def pid(self) -> int:
        return self._process.pid

    def tree(self) -> list[psutil.Process]:
        """The process and all that came from it."""
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def memory(self) -> tuple[float, float, int]:
        """MiB of the process tree, proportional (shared pages once) and resident, and how many processes that is."""
        sizes = [one.memory_full_info() for one in self.tree()]
        return sum(size.pss for size in sizes) / 2**20, sum(size.rss for size in sizes) / 2**20, len(sizes)

    def cpu_seconds(self) -> float:
        """Processor time that the tree has used so far."""
        times = [one.cpu_times() for one in self.tree()]
        return float(sum(one.user + one.system for one in times))

    def main_thread_seconds(self) -> float:
        """Processor time of the first process's first thread alone, where an event loop runs."""
        times = next(one for one in psutil.Process(self.pid).threads() if one.id == self.pid)
        return float(times.user_time + times.system_time)

    def stop(self) -> None:
        """End the process tree and wait until it is gone."""
        tree = self.tree()[1:]
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

    def _wait_ready(self, path: str, deadline: float) -> None:
        while not answers(self.url, path):
            if self._process.poll() is not None or time.perf_counter() > deadline:
                told = (self.folder / "output.txt").read_text(errors="replace")[-2000:]
                self.stop() if self._process.poll() is None else self._output.close()
                raise RuntimeError(f"the server did not become ready; it said:\n{told}")
            time.sleep(0.005)


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
