"""Uploads that can be resumed: bytes gather under the digest they will have, and become a blob once they have it."""

import os
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from homeostat.ground.errors import Conflict, Corrupt, Invalid
from homeostat.store.blobs import BlobStore

_CHUNK = 1 << 20


class Uploads:
    """Unfinished uploads in a folder, one file each, named by the digest the sender has announced."""

    def __init__(self, folder: Path, blobs: BlobStore) -> None:
        self._folder = folder
        self._blobs = blobs

    def offset(self, digest: str) -> int | None:
        """How many bytes of an upload are here; None when the blob is whole already."""
        if self._blobs.exists(digest):
            return None
        path = self._path(digest)
        return path.stat().st_size if path.exists() else 0

    def append(self, digest: str, chunks: Iterable[bytes], *, offset: int, size: int) -> int | None:
        """Add bytes at `offset`; says how many are here now, or None when that was the rest of `size` bytes.

        Raises:
            Conflict: when the upload stands elsewhere; send from there.
            Corrupt: when the bytes that were announced under `digest` have another one; the upload begins anew.
            Invalid: when there are more than `size` bytes.
        """
        if self._blobs.exists(digest):
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(digest)
        with path.open("ab") as target:
            here = target.tell()
            if here != offset:
                raise Conflict(
                    f"the upload stands at {here}", field="Upload-Offset", next_step=f"send from byte {here}"
                )
            for chunk in chunks:
                here += target.write(chunk)
                if here > size:
                    break
            target.flush()
            os.fsync(target.fileno())
        if here > size:
            path.unlink()
            raise Invalid(f"more than {size} bytes came", field="Upload-Length", next_step="announce the true length")
        if here < size:
            return here
        self._finish(digest, path)
        return None

    def _finish(self, digest: str, path: Path) -> None:
        hasher = blake3()
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
        if hasher.hexdigest() != digest:
            path.unlink()
            raise Corrupt("the bytes do not have the announced digest", field="digest", next_step="send them again")
        self._blobs.put_file(path)
        path.unlink()

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise Invalid(f"{digest!r:.80} is not a blob digest", field="digest", next_step="give 64 hex characters")
        return self._folder / digest
