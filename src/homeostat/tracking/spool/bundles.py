"""Small files go by the dozen: a request, and a wait for the disk, cost more than they do."""

from collections.abc import Iterable, Iterator
from pathlib import Path

SMALL = 1 << 16
"""Bytes."""
_BUNDLE = 4 << 20
_MOST = 1000


def is_small(path: Path) -> bool:
    """Whether a file goes with others."""
    return path.stat().st_size <= SMALL


def bundles_of(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """The small ones among some files, in bundles of at most 4 MB."""
    bundle: list[Path] = []
    size = 0
    for path in filter(is_small, paths):
        bundle.append(path)
        size += path.stat().st_size
        if size >= _BUNDLE or len(bundle) == _MOST:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle
