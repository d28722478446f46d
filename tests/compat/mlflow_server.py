"""A server in a process of its own, for those tests that end it in ways no server wants to end."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec


class Server:
    """`homeostat up` on a home; `more` goes into its environment."""

    def __init__(self, home: Path, **more: str) -> None:
        program = str(Path(sys.executable).with_name("homeostat"))
        self._command = [program, "up", "--home", str(home), "--port", "0", "--serving-port", "0", "--json"]
        self._environment = os.environ | more
        self.url = ""
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=self._environment)
        assert self.process.stdout is not None
        text = b""
        while b"}" not in text:
            line = self.process.stdout.readline()
            assert line, "the server ended before it was ready"
            text += line
        self.url = msgspec.json.decode(text)["url"]

    def post(self, route: str, **body: object) -> dict[str, object]:
        response = httpx.post(f"{self.url}/api/2.0/mlflow{route}", json=body, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
