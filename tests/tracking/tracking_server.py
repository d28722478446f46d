"""A server to be killed and started again."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """`homeostat up` on a port that stays the same when it is started again."""

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--home", str(self.home), "--port", str(self.port), "--serving-port", "0", "--json"]
        command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--parent-watch", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"}"):
                return
        raise AssertionError("the server ended before it was ready")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._close()

    def stop(self) -> None:
        self.process.terminate()
        self._close()

    def _close(self) -> None:
        self.process.wait(timeout=60)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """A server that runs while the block does."""
    server = Server(home)
    server.start()
    try:
        yield server
    finally:
        server.stop()
