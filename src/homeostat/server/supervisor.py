"""Keeps the serving worker alive: starts it, starts it again when it dies, drains it at the end."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import IO

from homeostat.ground.errors import Unavailable
from homeostat.ground.settings import Settings
from homeostat.serving.routes import WORKER_KEY

CLIENT_SECRETS = ("HOMEOSTAT_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""What clients in this environment would send; no process that loads models needs it."""

READY_WITHIN = 30.0
"""Seconds a worker may take to load its models."""


class Supervisor:
    """One serving worker process on a fixed port; it ends by itself when we are gone."""

    def __init__(self, settings: Settings, *, port: int) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self.port = port
        self.restarts = 0
        # With tokens the worker answers nobody but us, and on this machine only: it knows no tokens.
        self.key = secrets.token_urlsafe(32) if settings.auth == "required" else ""
        self._host = worker_host(settings)

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        threading.Thread(target=self._keep_alive, name="supervisor", daemon=True).start()

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Block until the worker answers.

        Raises:
            Unavailable: when it does not within `timeout` seconds.
        """
        if not self._ready.wait(timeout):
            raise Unavailable(
                f"the serving worker was not ready within {timeout:.0f} s", next_step="see its messages above"
            )

    def settle(self, generation: int, timeout: float = READY_WITHIN) -> None:
        """Block until the worker serves the routing of `generation` or a newer one."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._generation() >= generation:
                return
            time.sleep(0.02)
        raise Unavailable(
            f"the serving worker has not taken up routing {generation} within {timeout:.0f} s",
            next_step="see its messages above; the routing before stays in service",
        )

    def stop(self) -> None:
        self._stopping.set()
        if (process := self._process) is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _generation(self) -> int:
        try:
            request = urllib.request.Request(f"{self.url}/v2/health/live", headers={WORKER_KEY: self.key})  # noqa: S310  our own worker
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310  likewise
                return int(json.load(answer).get("generation", -1))
        except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
            return -1

    def _keep_alive(self) -> None:
        wait = 0.1
        while not self._stopping.is_set():
            started = time.monotonic()
            self._process = self._spawn()
            assert self._process.stdout is not None  # PIPE in _spawn
            self._watch_output(self._process.stdout)
            self._process.wait()
            self._ready.clear()
            if self._stopping.is_set():
                return
            self.restarts += 1
            # A worker that dies at once is not started in a tight loop.
            wait = 0.1 if time.monotonic() - started > 5 else min(wait * 2, 5.0)
            self._stopping.wait(wait)

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = self._settings
        command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(settings.home_path)]
        command += ["--host", self._host, "--port", str(self.port), "--parent-watch"]
        if settings.clock != "system":
            command.append("--driven-clock")
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(settings) | ({"HOMEOSTAT_WORKER_KEY": self.key} if self.key else {}),
        )

    def _watch_output(self, output: IO[bytes]) -> None:
        """The first line says that it is ready; whatever follows goes to our own output."""
        for line in output:
            if line.startswith(b'{"ready"'):
                self._ready.set()
            else:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()


def worker_host(settings: Settings) -> str:
    """Where the worker listens."""
    return "127.0.0.1" if settings.auth == "required" else settings.host


def worker_environment(settings: Settings) -> dict[str, str]:
    """Settings travel by environment, so a password in a database URL never shows in a process list."""
    given = {"HOMEOSTAT_DATABASE": settings.database, "HOMEOSTAT_BLOBS": settings.blobs}
    given |= {"HOMEOSTAT_SIGNING_KEY": settings.signing_key, "HOMEOSTAT_TRUSTED_KEYS": settings.trusted_keys}
    given["HOMEOSTAT_REQUIRE_SIGNATURE"] = "true" if settings.require_signature else ""
    inherited = {key: value for key, value in os.environ.items() if key not in CLIENT_SECRETS}
    return inherited | {key: value for key, value in given.items() if value}
