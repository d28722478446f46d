"""Blobs: bytes under their BLAKE3, in a folder or behind any fsspec URL.

A blob is written whole under a temporary name, then named; a crash leaves garbage to sweep, never a wrong blob.
"""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec
import msgspec
from blake3 import blake3

from homeostat.ground.errors import Corrupt, Invalid, NotFound, Unavailable
from homeostat.ground.ids import new_id

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


def digest_of(data: bytes) -> str:
    """The BLAKE3 of `data` as 64 hex characters."""
    return blake3(data).hexdigest()


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob as it lies there. `size` is bytes, `modified` machine time in microseconds UTC."""

    digest: str
    size: int
    modified: int


class BlobStore:
    """Immutable bytes by digest."""

    def __init__(self, url: str) -> None:
        self._fs: Any
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def put(self, data: bytes) -> str:
        """Store `data`; returns its digest. Storing the same bytes again costs nothing."""
        return self._store(io.BytesIO(data), digest_of(data))

    def put_many(self, many: Sequence[bytes]) -> list[str]:
        """Store several blobs at once: most of a small one's time is waiting for the disk, and they wait together."""
        try:
            with ThreadPoolExecutor(min(8, max(1, len(many)))) as threads:
                return list(threads.map(self.put, many))
        except RuntimeError:  # a process on its way out gets no threads any more
            return [self.put(data) for data in many]

    def put_file(self, path: Path) -> str:
        """Store a file's bytes; returns their digest."""
        hasher = blake3()
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
            source.seek(0)
            return self._store(source, hasher.hexdigest())

    def put_stream(self, source: IO[bytes]) -> tuple[str, int]:
        """Store what a stream gives, without holding it in memory; returns digest and size."""
        with tempfile.TemporaryFile() as held:  # a download cannot be read twice, and the name comes from the bytes
            hasher, size = blake3(), 0
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                size += held.write(chunk)
            held.seek(0)
            return self._store(held, hasher.hexdigest()), size

    def receive(self) -> "Incoming":
        """A place for bytes that come in bit by bit and get their name at the end."""
        if self._local:
            Path(self._root).mkdir(parents=True, exist_ok=True)
            held = Path(self._root, f".incoming.{new_id()}").open("w+b")  # noqa: SIM115  closed by finish or discard
        else:
            handle, name = tempfile.mkstemp()
            os.close(handle)
            held = Path(name).open("w+b")  # noqa: SIM115  likewise
        return Incoming(self, held)

    def get(self, digest: str) -> bytes:
        """The bytes, verified against their digest.

        Raises:
            NotFound: when there is no such blob.
            Corrupt: when the stored bytes have another digest.
        """
        with self.open(digest) as source:
            data = source.read()
        if digest_of(data) != digest:
            raise Corrupt(f"blob {digest[:12]} was changed on disk", next_step="restore it from a backup")
        return bytes(data)

    def open(self, digest: str) -> IO[bytes]:
        """An open stream of the bytes, not verified."""
        try:
            stream: IO[bytes] = self._fs.open(self._path(digest), "rb")
        except FileNotFoundError as error:
            raise NotFound(
                f"blob {digest[:12]} is missing", next_step="restore the blobs folder from a backup"
            ) from error
        return stream

    def stored(self) -> Iterator["StoredBlob"]:
        """Every blob there is, and when its bytes were last stored."""
        for path, about in self._fs.find(self._root, detail=True).items():
            folder, _, name = path.rpartition("/")
            digest = folder.rpartition("/")[2] + name
            if _DIGEST.fullmatch(digest):
                yield StoredBlob(digest, int(about["size"]), _modified(about))

    def remove(self, digest: str, *, before: int) -> bool:
        """Delete a blob, unless it was stored again since `before` (machine time, microseconds UTC)."""
        path = self._path(digest)
        try:
            if _modified(self._fs.info(path)) >= before:
                return False
            self._fs.rm_file(path)
        except FileNotFoundError:
            return True
        return True

    def exists(self, digest: str) -> bool:
        return bool(self._fs.exists(self._path(digest)))

    def _path(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise Invalid(f"{digest!r} is not a blob digest", field="digest", next_step="give 64 hex characters")
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

    def _take(self, held: IO[bytes], digest: str) -> str:
        """Store a whole file that stands in our own folder: it is given its name, not copied."""
        if not self._local:
            held.seek(0)
            return self._store(held, digest)
        path = Path(self._path(digest))
        if not path.exists():
            held.flush()
            os.fsync(held.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            Path(held.name).replace(path)
        return digest

    def _store(self, source: IO[bytes], digest: str) -> str:
        path = self._path(digest)
        if self._fs.exists(path):
            if self._local:
                os.utime(path)  # young again: a sweep must not take what is about to be named
            return digest
        if self._local:
            _write_local(source, Path(path))
        else:  # object stores show an object only once it is complete
            with self._fs.open(path, "wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
        return digest


def _modified(about: Mapping[str, Any]) -> int:
    """When a file was written: local folders say seconds, object stores a datetime under names of their own."""
    moment = next((about[key] for key in ("mtime", "LastModified", "updated", "last_modified") if about.get(key)), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    return 2**62 if moment is None else int(moment * 1_000_000)  # of unknown age: never old enough to sweep


class Incoming:
    """A blob on its way in. Until `finish` has returned there is nothing; call `discard` in any case."""

    def __init__(self, store: BlobStore, held: Any) -> None:
        self._store = store
        self._held = held
        self._hasher = blake3()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self.size += self._held.write(chunk)

    def finish(self) -> str:
        """Name what has come; returns the digest."""
        return self._store._take(self._held, self._hasher.hexdigest())  # noqa: SLF001  two halves of one thing

    def discard(self) -> None:
        """Remove what has no name yet."""
        self._held.close()
        Path(self._held.name).unlink(missing_ok=True)


def _write_local(source: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{new_id()}")
    try:
        with temporary.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(path)
    except OSError as error:
        raise Unavailable(
            f"the bytes cannot be stored: {error.strerror}", field="blobs", next_step="free some space, then try again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
