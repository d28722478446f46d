"""Where spools lie: a folder each, named by the spool's id, with its log and the files that wait to be sent."""

import contextlib
import fcntl
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from homeostat.tracking.spool.records import HEAD, HEADER, Log, checked_stretches

LOG, FILES, CONSOLE = "log", "files", "console"
_HEADER_LIMIT = 1 << 16


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a spool: what it belongs to and where it is to go."""

    version: int = 1
    spool: str
    run: str
    project: str
    target: str
    """A server's URL; empty for the home that the spool lies in."""
    pid: int
    created: int
    ends_run: bool = True
    """Whether the run ends with this process; not so for a forked child that joined in."""


def encode_header(header: Header) -> bytes:
    """The payload of the first record."""
    return HEADER + msgspec.msgpack.encode(header)


def spools_of(home: Path) -> Path:
    """The folder of all spools of a home."""
    return home / "spool"


def list_spools(home: Path) -> list[Path]:
    """The folders of the spools of a home, oldest first."""
    folder = spools_of(home)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if len(path.name) == 32 and (path / LOG).is_file())


def read_header(folder: Path) -> Header | None:
    """A spool's header; None when it was never written whole, or by a version we do not know."""
    try:
        with (folder / LOG).open("rb") as log:
            start = log.read(_HEADER_LIMIT)
    except OSError:
        return None
    if not checked_stretches(start[: HEAD.size + _length(start)]) or start[HEAD.size : HEAD.size + 1] != HEADER:
        return None
    payload = start[HEAD.size + 1 : HEAD.size + _length(start)]
    try:
        header = msgspec.msgpack.decode(payload, type=Header)
    except msgspec.DecodeError:
        return None
    return header if header.version == 1 else None


@contextmanager
def mapped_log(folder: Path) -> Iterator[Log]:
    """A spool's log as if it were bytes, without taking it into memory: it may be larger than that."""
    with (folder / LOG).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
            yield log


@contextmanager
def lock_if_left(folder: Path) -> Iterator[bool]:
    """Hold a spool whose writer is gone; False when somebody else, its writer most likely, has it."""
    try:
        descriptor = os.open(folder / LOG, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # shipped and removed since it was listed
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield (folder / LOG).exists()
    finally:
        os.close(descriptor)


def is_alive(folder: Path) -> bool:
    """Whether a spool's writer still has it open."""
    with lock_if_left(folder) as left:
        return not left and (folder / LOG).exists()


def remove_spool(folder: Path) -> None:
    """Remove a spool that is shipped whole; its log goes last, for whoever is interrupted here."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / CONSOLE).unlink(missing_ok=True)
        (folder / LOG).unlink(missing_ok=True)
        folder.rmdir()


def _length(start: bytes) -> int:
    return int(HEAD.unpack_from(start)[1]) if len(start) >= HEAD.size else 0
