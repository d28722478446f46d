"""Keeps the serving workers alive: starts them, starts one again when it dies, drains them at the end.

The listening sockets are ours and are handed down: while a worker is being started again, callers wait in its queue
instead of being refused.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from homeostat.ground.errors import Unavailable
from homeostat.ground.settings import Settings
from homeostat.server.listen import claim_port

CLIENT_SECRETS = ("HOMEOSTAT_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""What clients in this environment would send; no process that loads models needs it."""

READY_WITHIN = 30.0
"""Seconds a worker may take to load its models."""
STOP_WITHIN = 30.0
"""Seconds a worker may take to finish what it is at."""


class Supervisor:
    """The serving workers of one port; they end by themselves when we are gone.

    `serving` is what they serve, as their command line says it: nothing for the catalogue's endpoints.
    """

    def __init__(self, settings: Settings, *, port: int, serving: Sequence[str] = ()) -> None:
        # With tokens the workers answer nobody but us, and on this machine only: they know no tokens.
        self.key = secrets.token_urlsafe(32) if settings.auth == "required" else ""
        self.port = port
        self._host = worker_host(settings)
        self._changed = threading.Condition()
        count = settings.workers
        self._slots = [
            _Slot(
                number,
                _command(settings, serving, number),
                self._environment(settings),
                self._listener(count),
                self._notify,
            )
            for number in range(count)
        ]

    @property
    def url(self) -> str:
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    @property
    def restarts(self) -> int:
        return sum(slot.restarts for slot in self._slots)

    def start(self) -> None:
        for slot in self._slots:
            slot.start()

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Block until every worker answers.

        Raises:
            Unavailable: when one does not within `timeout` seconds.
        """
        if not self._wait(lambda: all(slot.is_ready for slot in self._slots), timeout):
            raise Unavailable(
                f"the serving worker was not ready within {timeout:.0f} s", next_step="see its messages above"
            )

    def settle(self, generation: int, timeout: float = READY_WITHIN) -> None:
        """Block until every worker serves the routing of `generation` or a newer one."""
        if not self._wait(lambda: all(slot.generation >= generation for slot in self._slots), timeout):
            raise Unavailable(
                f"the serving workers have not taken up routing {generation} within {timeout:.0f} s",
                next_step="see their messages above; the routing before stays in service",
            )

    def wait_ended(self) -> int:
        """Block until a worker ends that was never ready, or `stop` was called; its exit code, 0 for `stop`."""
        self._wait(lambda: any(slot.failed is not None or slot.is_stopping for slot in self._slots), None)
        return next((slot.failed for slot in self._slots if slot.failed is not None), 0)

    def stop(self) -> None:
        """Drain all workers at once and wait for them."""
        for slot in self._slots:
            slot.begin_stop()
        self._notify()
        for slot in self._slots:
            slot.finish_stop()

    def _listener(self, count: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # One socket a worker: the kernel spreads the connections over them, which one shared queue would not.
        listener = socket.create_server((self._host, self.port), family=family, backlog=1024, reuse_port=count > 1)
        listener.set_inheritable(True)
        return listener

    def _environment(self, settings: Settings) -> dict[str, str]:
        return worker_environment(settings) | ({"HOMEOSTAT_WORKER_KEY": self.key} if self.key else {})

    def _wait(self, check: Callable[[], bool], timeout: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(check, timeout)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Slot:
    """One worker's place: its socket, and the process that has it now."""

    def __init__(
        self,
        number: int,
        command: list[str],
        environment: dict[str, str],
        listener: socket.socket,
        notify: Callable[[], None],
    ) -> None:
        self._command = [*command, "--fd", str(listener.fileno())]
        self._environment = environment
        self._listener = listener
        self._notify = notify
        self._thread = threading.Thread(target=self._keep_alive, name=f"worker-{number}", daemon=True)
        self._stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self.generation = -1
        self.restarts = 0
        self.failed: int | None = None
        """Exit code of a process that ended before it was ever ready."""

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self) -> None:
        self._thread.start()

    def begin_stop(self) -> None:
        self._stopping.set()
        if (process := self.process) is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)

    def finish_stop(self) -> None:
        if (process := self.process) is not None:
            try:
                process.wait(timeout=STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        self._listener.close()

    def _keep_alive(self) -> None:
        wait, was_ready = 0.05, False
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._spawn()
            self.process = process
            if self._stopping.is_set():  # asked to stop while it was being started
                process.send_signal(signal.SIGTERM)
            assert process.stdout is not None  # PIPE in _spawn
            self._read(process.stdout)
            code = process.wait()
            was_ready = was_ready or self.is_ready
            self.is_ready, self.generation = False, -1
            if not was_ready:
                self.failed = code
            self._notify()
            if self._stopping.is_set():
                return
            self.restarts += 1
            # A worker that dies at once is not started in a tight loop.
            wait = 0.05 if time.monotonic() - started > 5 else min(wait * 2, 5.0)
            self._stopping.wait(wait)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            pass_fds=[self._listener.fileno()],
        )

    def _read(self, output: IO[bytes]) -> None:
        """Lines of JSON are facts for us; whatever else a model prints goes to our own output."""
        for line in output:
            facts = _facts(line)
            if facts is None:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                continue
            self.generation = int(facts["generation"])
            self.is_ready = self.is_ready or bool(facts.get("ready"))
            self._notify()


def _facts(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b'{"'):
        return None
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts.get("generation"), int) else None


def _command(settings: Settings, serving: Sequence[str], number: int) -> list[str]:
    command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(settings.home_path), *serving]
    command += ["--slot", str(number), "--parent-watch"]
    return [*command, "--driven-clock"] if settings.clock != "system" else command


def claim_serving_port(settings: Settings) -> int:
    """The port of the workers, or a free one for 0.

    Raises:
        Unavailable: when another process listens there.
    """
    return claim_port(worker_host(settings), settings.serving_port)


def worker_host(settings: Settings) -> str:
    """Where the workers listen."""
    return "127.0.0.1" if settings.auth == "required" else settings.host


def worker_environment(settings: Settings) -> dict[str, str]:
    """Settings travel by environment, so a password in a database URL never shows in a process list."""
    given = {"HOMEOSTAT_DATABASE": settings.database, "HOMEOSTAT_BLOBS": settings.blobs}
    given |= {"HOMEOSTAT_SIGNING_KEY": settings.signing_key, "HOMEOSTAT_TRUSTED_KEYS": settings.trusted_keys}
    given["HOMEOSTAT_REQUIRE_SIGNATURE"] = "true" if settings.require_signature else ""
    given |= {"HOMEOSTAT_REQUEST_TIMEOUT": settings.request_timeout, "HOMEOSTAT_ACCESS_LOG": settings.access_log}
    given |= {"HOMEOSTAT_MODEL_CONTROL": settings.model_control}
    given |= {"HOMEOSTAT_LOG_SHARE": str(settings.log_share), "HOMEOSTAT_MAX_BODY_MB": str(settings.max_body_mb)}
    inherited = {key: value for key, value in os.environ.items() if key not in CLIENT_SECRETS}
    return inherited | {key: value for key, value in given.items() if value}
