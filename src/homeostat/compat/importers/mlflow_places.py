"""Where a store that is read from disk has its artifacts: a folder beside it, or one that was named; nothing else.

A database may have come from anybody, and a path in it may name any folder of this machine.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from homeostat.compat.importers.folder import files_below, is_inside
from homeostat.compat.importers.records import ImportedFile, Losses

_GIVE = "name its folder with --artifacts DIR, or import from the MLflow server"


class Places:
    """Finds the folder behind an artifact URI among folders that may be read."""

    def __init__(self, roots: list[Path], losses: Losses) -> None:
        self._roots = [root for root in roots if root.is_dir()]
        self._losses = losses

    def files(self, uri: str, *, subject: str) -> Iterator[ImportedFile]:
        """The files at a URI; a URI that leads elsewhere is reported."""
        folder = self.folder(uri)
        if folder is not None:
            yield from files_below(folder, subject=subject, losses=self._losses)
        elif self._may_hold(uri):
            self._losses.add(subject, "artifacts", f"{_shown(uri)} is not within a folder that may be read; {_GIVE}")

    def folder(self, uri: str) -> Path | None:
        """The folder a URI names, if it is there and may be read."""
        try:
            parts = urlsplit(uri)
            path = unquote(parts.path)
            if "\x00" in path or (parts.scheme == "file" and parts.netloc not in ("", "localhost")):
                return None
            tail = Path(path.lstrip("/"))
            candidates = [root / tail for root in self._roots]
            if parts.scheme in ("", "file"):
                candidates = [Path(path), *candidates, *self._moved(tail)]
            elif parts.scheme != "mlflow-artifacts":
                return None
        except ValueError:
            return None
        for candidate in candidates:
            if is_inside(candidate, self._roots) and candidate.is_dir():
                return candidate
        return None

    def _moved(self, tail: Path) -> Iterator[Path]:
        """Where a store that was copied from another machine has what its URIs place there."""
        for length in (3, 4, 2):  # EXPERIMENT/RUN/artifacts, EXPERIMENT/models/ID/artifacts, RUN/artifacts
            if len(tail.parts) >= length:
                yield from (root.joinpath(*tail.parts[-length:]) for root in self._roots)

    def _may_hold(self, uri: str) -> bool:
        """Whether something is lost: MLflow makes a local folder only with its first file."""
        parts = urlsplit(uri)
        if parts.scheme not in ("", "file"):
            return bool(uri)
        try:
            return Path(unquote(parts.path)).exists()
        except (OSError, ValueError):
            return True


def _shown(uri: str) -> str:
    """A URI without what may be a secret in it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:300] if parts.scheme else "its folder"
