"""The writing end of a spool: one `write` a record, so that what was logged survives the process."""

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

from homeostat.ground.errors import Unavailable
from homeostat.tracking.spool.folder import LOG, Header, encode_header
from homeostat.tracking.spool.records import framed

WAITING_LIMIT = 16 << 20
"""Bytes that are held in memory while the disk is full."""
_RETRY_SECONDS = 0.5
_log = logging.getLogger("homeostat")


class SpoolWriter:
    """An open spool. While its descriptor is open the spool is locked, which says that its writer lives."""

    def __init__(self, folder: Path, header: Header, *, waiting_limit: int = WAITING_LIMIT) -> None:
        self.folder = folder
        self.header = header
        self.end = 0
        """Bytes of whole records; a reader in this process goes no further."""
        self.lost = 0
        """Records that found no room, on disk or in memory."""
        self.lock = threading.RLock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._waiting_limit = waiting_limit
        self._retry_at = 0.0
        try:
            folder.mkdir(parents=True, mode=0o700)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(folder / LOG, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._write(encode_header(header))
        except OSError as error:
            raise Unavailable(
                f"the run has no place to write to: {error.strerror}",
                field="home",
                next_step="make room, or choose another folder with HOMEOSTAT_HOME",
            ) from error

    @property
    def waiting(self) -> int:
        """Records that wait for room on the disk."""
        return len(self._waiting)

    def append(self, payload: bytes) -> None:
        """Write a record; when the disk is full it waits in memory. Never raises."""
        with self.lock:
            if self._waiting:
                self._append_waiting(payload)
                return
            try:
                self._write(payload)
            except OSError as error:
                _log.warning("run %s: the spool cannot be written (%s)", self.header.run, error.strerror)
                self._append_waiting(payload)

    def write_waiting(self) -> None:
        """Try again to write what waits."""
        with self.lock:
            try:
                while self._waiting:
                    self._write(self._waiting[0])
                    self._waiting_bytes -= len(self._waiting.popleft())
            except OSError:
                self._retry_at = time.monotonic() + _RETRY_SECONDS

    def close(self) -> None:
        """Give the spool up; what still waits in memory is lost."""
        with self.lock:
            self.write_waiting()
            self.lost += len(self._waiting)
            self._waiting.clear()
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptor and nothing else: what a forked child does with its parent's spool."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _append_waiting(self, payload: bytes) -> None:
        if self._waiting_bytes + len(payload) <= self._waiting_limit:
            self._waiting.append(payload)
            self._waiting_bytes += len(payload)
        else:
            self.lost += 1
        if time.monotonic() >= self._retry_at:
            self.write_waiting()

    def _write(self, payload: bytes) -> None:
        data = framed(payload, self.end)
        written = os.write(self._descriptor, data)
        if written != len(data):  # the disk ran full within the record: no half record may stay
            os.ftruncate(self._descriptor, self.end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.end += written
