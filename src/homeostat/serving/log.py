"""The prediction log's local write-ahead file: every answer is in it before it is given.

A file is `<folder>/<worker id>-<n>.wal`: a head (magic, 4 random bytes), then frames (magic, length, CRC-32, msgpack
of a `PredictionBatch`, or of a list of those that were answered together), then, when it was closed in order, an end
frame. A frame goes out in ONE write with O_APPEND, before the answers it holds: an acknowledged prediction survives
SIGKILL of the worker, for the kernel holds it. It is not forced to disk per request, so a power cut may take the last
seconds (the kernel writes back within 5 to 30).

The CRC starts from the head's random bytes, so no value inside a request can pass for a frame. The writer holds an
exclusive flock as long as it lives.
"""

import contextlib
import errno
import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from homeostat.ground.errors import Corrupt, Unavailable
from homeostat.ground.ids import new_id
from homeostat.ground.records import PredictionBatch

FOLDER = "predictions"
"""Name of the log's folder inside the home folder."""
ROTATE_BYTES = 64 << 20
ROTATE_SECONDS = 900.0
_READ = 8 << 20

_HEAD = b"HSLOG1\xff\n"
_HEAD_SIZE = len(_HEAD) + 4
_FRAME = struct.Struct("<4sII")
_MAGIC, _MANY, _END = b"HSF\xff", b"HSG\xff", b"HSE\xff"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PredictionBatch).decode
_decode_many = msgspec.msgpack.Decoder(list[PredictionBatch]).decode


class PredictionLog:
    """The write side, safe to use from several threads of one process."""

    def __init__(
        self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES, rotate_seconds: float = ROTATE_SECONDS
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._worker = new_id()  # a file name is never used twice: readers remember names they are through with
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._lock = threading.Lock()
        self._fd = -1
        self._count = 0
        self._seed = 0
        self._size = 0
        self._opened = 0.0
        self.path: Path | None = None
        """The file being written; None before the first append and right after a rotation."""

    def append(self, batches: Sequence[PredictionBatch]) -> None:
        """Write the batches in one write; when this returns, a kill of this process loses none of them.

        Raises:
            Unavailable: when the file cannot be written whole; then nothing of it is kept.
        """
        if not batches:
            return
        with self._lock:
            try:
                if self._fd < 0:
                    self._open()
                magic, payload = (_MAGIC, batches[0]) if len(batches) == 1 else (_MANY, batches)
                self._write(_frame(magic, _encode(payload), self._seed))
            except OSError as error:
                raise Unavailable(
                    f"the prediction log in {self._folder} cannot be written: {error.strerror}",
                    next_step="free disk space or mend the folder's permissions",
                ) from error
            if self._is_due():
                self._close()

    def rotate_if_due(self) -> None:
        """Close a file that is old or large, so that it can be sealed although no request comes."""
        with self._lock:
            if self._fd >= 0 and self._is_due():
                self._close()

    def close(self) -> None:
        """Close the current file with an end frame."""
        with self._lock:
            if self._fd >= 0:
                self._close()

    def _is_due(self) -> bool:
        return self._size >= self._rotate_bytes or time.monotonic() - self._opened >= self._rotate_seconds

    def _open(self) -> None:
        # Locked before it gets its name, so no reader ever sees a living writer's file unlocked.
        path = self._folder / f"{self._worker}-{self._count}.wal"
        hidden = path.with_suffix(".new")
        seed = os.urandom(4)
        fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(fd, _HEAD + seed)
            hidden.rename(path)
        except OSError:
            os.close(fd)
            hidden.unlink(missing_ok=True)
            raise
        self._fd, self.path, self._seed, self._size = fd, path, int.from_bytes(seed, "little"), _HEAD_SIZE
        self._opened = time.monotonic()
        self._count += 1

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # the end frame is a courtesy: a file without it is finished by its lock
            os.write(self._fd, _frame(_END, b"", self._seed))
        os.close(self._fd)
        self._fd, self.path = -1, None


def read_frames(path: Path, offset: int = 0, *, max_bytes: int | None = None) -> tuple[list[PredictionBatch], int]:
    """The batches from `offset` on and the offset to go on from; stops before a frame that is not whole yet.

    `max_bytes` bounds how much is read at once, except that a single larger frame is read whole.

    Raises:
        Corrupt: at a frame that is damaged while whole frames follow it; what stands before it is handed out first.
    """
    with path.open("rb") as source:
        return read_stream(source, path, offset, max_bytes=max_bytes)


def read_stream(
    source: IO[bytes], path: Path, offset: int = 0, *, max_bytes: int | None = None
) -> tuple[list[PredictionBatch], int]:
    """As `read_frames`, from a file that is open already (it may have been removed meanwhile)."""
    source.seek(0)
    head = source.read(_HEAD_SIZE)
    if len(head) < _HEAD_SIZE:
        return [], 0
    if not head.startswith(_HEAD):
        raise Corrupt(f"{path} is not a prediction log", next_step="move the file away")
    seed = int.from_bytes(head[len(_HEAD) :], "little")
    start = source.seek(max(offset, _HEAD_SIZE))
    data = source.read() if max_bytes is None else source.read(max_bytes)
    batches, used = _frames(data, seed)
    if used == 0 and len(data) == max_bytes:
        data += source.read()
        batches, used = _frames(data, seed, limit=1)
    if used < len(data) and not batches and _frame_after(data, used, seed):
        raise Corrupt(
            f"{path} is damaged at byte {start + used}", next_step="restore the file, or move it away and lose its rows"
        )
    return batches, start + used


def read_all(path: Path) -> Iterator[PredictionBatch]:
    """Every batch of a file, a few megabytes at a time."""
    with path.open("rb") as source:
        yield from stream_batches(source, path)


def stream_batches(source: IO[bytes], path: Path) -> Iterator[PredictionBatch]:
    """As `read_all`, from a file that is open already."""
    offset = 0
    while True:
        batches, following = read_stream(source, path, offset, max_bytes=_READ)
        if following == offset:
            return
        yield from batches
        offset = following


def is_finished(path: Path) -> bool:
    """True when nothing will be appended any more: its writer closed it, or is gone. Ask BEFORE reading to the end."""
    with path.open("rb") as source:
        try:
            fcntl.flock(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # held by the writer, or by a child that the writer forked before it closed the file
            return _has_end(source)
        return True


def _has_end(source: IO[bytes]) -> bool:
    seed = int.from_bytes(source.read(_HEAD_SIZE)[len(_HEAD) :], "little")
    size = source.seek(0, os.SEEK_END)
    source.seek(max(_HEAD_SIZE, size - _FRAME.size))
    return source.read() == _frame(_END, b"", seed)


def wal_files(folder: Path) -> list[Path]:
    """The log files of a folder, oldest worker first (to the millisecond), each worker's in the order of writing."""
    return sorted(folder.glob("*.wal"), key=lambda path: (path.stem.rpartition("-")[0], _number(path)))


def _number(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _frame(magic: bytes, payload: bytes, seed: int) -> bytes:
    return _FRAME.pack(magic, len(payload), _checksum(magic, payload, seed)) + payload


def _checksum(magic: bytes, payload: bytes, seed: int) -> int:
    return zlib.crc32(payload, zlib.crc32(magic + len(payload).to_bytes(4, "little"), seed))


def _frames(data: bytes, seed: int, limit: int | None = None) -> tuple[list[PredictionBatch], int]:
    batches: list[PredictionBatch] = []
    used = 0
    while (payload := _payload(data, used, seed)) is not None:
        magic = data[used : used + len(_MAGIC)]
        used += _FRAME.size + len(payload)
        if magic == _MANY:
            batches += _decode_many(payload)
        elif payload:
            batches.append(_decode(payload))
        if limit is not None and len(batches) >= limit:
            break
    return batches, used


def _payload(data: bytes, at: int, seed: int) -> bytes | None:
    """The payload of the whole, undamaged frame at `at` (empty for an end frame), or None."""
    if len(data) - at < _FRAME.size:
        return None
    magic, length, checksum = _FRAME.unpack_from(data, at)
    payload = data[at + _FRAME.size : at + _FRAME.size + length]
    known = (magic in {_MAGIC, _MANY} or (magic == _END and length == 0)) and len(payload) == length
    return payload if known and checksum == _checksum(magic, payload, seed) else None


def _frame_after(data: bytes, at: int, seed: int) -> bool:
    """Whether a whole frame stands anywhere behind `at`: then what is at `at` was damaged, not torn."""
    found = at
    while (found := data.find(_MAGIC[:2], found + 1)) >= 0:
        if _payload(data, found, seed) is not None:
            return True
    return False
