"""The demo's server: `homeostat up` as its own process on a driven clock."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from homeostat.ground.errors import Unavailable


class ServerProcess:
    """Runs while the `with` block does; ends with us even when we are killed."""

    def __init__(self, home: Path, *, clock: str, host: str | None, port: int | None, serving_port: int | None) -> None:
        command = [sys.executable, "-m", "homeostat.cli.entry", "up", "--json", "--parent-watch", "--home", str(home)]
        command += ["--port", str(port or 0), "--serving-port", str(serving_port or 0)]
        if host:
            command += ["--host", host]
        environment = os.environ | {"HOMEOSTAT_CLOCK": clock, "HOMEOSTAT_AUTH": ""}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.url = ""
        self.serving_url = ""

    def wait_ready(self) -> None:
        """Read the line that it prints when it is up."""
        assert self._process.stdout is not None  # PIPE above
        text = b""
        for line in self._process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        if not text:
            raise Unavailable("the demo's server did not start", next_step="see its messages above")
        ready = msgspec.json.decode(text)
        self.url, self.serving_url = ready["url"], ready["serving"]
        threading.Thread(target=self._process.stdout.read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
