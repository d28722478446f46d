"""Starting a training child, reading its reports, and ending it when it hangs or its cycle is taken over."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import msgspec

from homeostat.ground.clock import SECOND, format_duration
from homeostat.ground.errors import UserCodeFailed
from homeostat.loop.durable import LeaseLost
from homeostat.loop.job import Job, Report

LOG_LIMIT = 1 << 20
"""Bytes of what the child printed that are kept with the run."""


class TrainingFailed(UserCodeFailed):
    """The child's failure, with its traceback and what it printed."""

    def __init__(self, message: str, *, traceback: str, log: bytes, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.traceback = traceback
        self.log = log


class TrainingChild:
    """A running child. Iterate `reports()`; leave the `with` block and it is gone, whatever it was doing."""

    def __init__(self, job: Job, *, timeout: int, lost: threading.Event) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout / SECOND
        self._lost = lost
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed when the block of the child is left
        read, write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "homeostat.loop.child", str(write)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
            start_new_session=True,
            cwd=job.declaration.root if Path(job.declaration.root).is_dir() else None,
            # Beside a busy server, threads that spin while they wait cost several times the work itself.
            env={"OMP_WAIT_POLICY": "PASSIVE"} | os.environ,
        )
        os.close(write)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(read,), daemon=True).start()
        assert self._process.stdin is not None  # PIPE above
        try:
            self._process.stdin.write(msgspec.json.encode(job) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; reports() says how

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def reports(self) -> Iterator[Report]:
        """Each finished step.

        Raises:
            TrainingFailed: when the child raised, was killed, or ran past its limit.
            LeaseLost: when another worker took the cycle over.
        """
        while True:
            line = self._next_line()
            if line is None:
                self._raise_unless_clean()
                return
            report = msgspec.json.decode(line, type=Report)
            if report.error:
                raise TrainingFailed(report.error, traceback=report.traceback, log=self.log())
            yield report

    def allow(self, seconds: float) -> None:
        """From now on it may run for so long, but not beyond its own limit."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def log(self) -> bytes:
        """The end of what the child printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), LOG_LIMIT, max(0, size - LOG_LIMIT))

    def _next_line(self) -> bytes | None:
        while time.monotonic() < self._deadline:
            if self._lost.is_set():
                raise LeaseLost
            try:
                return self._lines.get(timeout=0.2)
            except queue.Empty:
                continue
        self._kill()
        limit = format_duration(self._timeout)
        raise TrainingFailed(
            f"the training child ran longer than {limit} and was killed",
            traceback="",
            log=self.log(),
            next_step="raise train_timeout in @hs.model(...), or train on less",
        )

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _raise_unless_clean(self) -> None:
        code = self._process.wait(timeout=10)
        if code == 0:
            return
        how = f"was killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "the machine may have run out of memory" if code == -signal.SIGKILL else "see train.log on the run"
        raise TrainingFailed(f"the training child {how}", traceback="", log=self.log(), next_step=hint)

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its own session: grandchildren go too
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
