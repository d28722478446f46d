"""The files of a folder somebody else filled: plain files below it and nothing else, whatever links say."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from homeostat.compat.importers.records import ImportedFile, Losses
from homeostat.ground.errors import HomeostatError, Refused
from homeostat.tracking.values import check_path


def files_below(root: Path, *, subject: str, losses: Losses, prefix: str = "") -> Iterator[ImportedFile]:
    """Every plain file below `root`, by path; links, devices and names that no artifact can have are reported."""
    for path in sorted(_walk(root, subject=subject, losses=losses)):
        relative = path.relative_to(root).as_posix()
        try:
            name = check_path(prefix + relative)
        except HomeostatError as error:
            losses.add(subject, f"file {relative!r:.200}", error.message)
            continue
        yield ImportedFile(name, lambda path=path: open_plain(path))  # type: ignore[misc]


def open_plain(path: Path) -> IO[bytes]:
    """Open a plain file; a link or a device that took its place meanwhile is refused.

    Raises:
        Refused: when it is no plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    source = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        source.close()
        raise Refused("this is no plain file", field="path", next_step="copy it beside the others")
    return source


def is_inside(path: Path, roots: list[Path]) -> bool:
    """Whether `path`, links followed, lies in one of the folders."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return any(real.is_relative_to(root.resolve()) for root in roots)


def _walk(folder: Path, *, subject: str, losses: Losses) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        losses.add(subject, f"folder {folder.name!r:.200}", f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        if entry.is_symlink():
            losses.add(subject, f"file {entry.name!r:.200}", "is a symbolic link; links are not followed")
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), subject=subject, losses=losses)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            losses.add(subject, f"file {entry.name!r:.200}", "is a device or a pipe")
