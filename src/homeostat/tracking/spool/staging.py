"""Files of a run on their way: copied beside its log under their digest, so that they outlive the process too."""

import os
from pathlib import Path

from blake3 import blake3

from homeostat.tracking.spool.folder import FILES

_CHUNK = 1 << 20


def stage_bytes(folder: Path, data: bytes) -> str:
    """Keep bytes with a spool; returns their digest."""
    digest = blake3(data).hexdigest()
    path = _place(folder, digest)
    if not path.exists():
        temporary = path.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.replace(path)
    return digest


def stage_file(folder: Path, source: Path) -> tuple[str, int]:
    """Keep a copy of a file as it is now; returns its digest and size."""
    hasher, size = blake3(), 0
    temporary = _place(folder, f"copy-{os.getpid()}-{id(hasher):x}.part")
    with source.open("rb") as origin, temporary.open("wb") as copy:
        while chunk := origin.read(_CHUNK):
            hasher.update(chunk)
            copy.write(chunk)
            size += len(chunk)
    digest = hasher.hexdigest()
    temporary.replace(temporary.with_name(digest))
    return digest, size


def _place(folder: Path, name: str) -> Path:
    path = folder / FILES / name
    path.parent.mkdir(exist_ok=True)
    return path
