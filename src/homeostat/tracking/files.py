"""A run's files: kept beside the spool under their digest, sent when the server has not got them."""

import logging
import os
from pathlib import Path

from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking.open_run import OpenRun
from homeostat.tracking.ops import Files
from homeostat.tracking.spool.staging import stage_bytes, stage_file
from homeostat.tracking.values import check_path

_log = logging.getLogger("homeostat")


class FileLog(OpenRun):
    """The part of a run that takes files."""

    def artifact(self, path: str, content: bytes | Path) -> str:
        """Keep bytes, or the file at a path as it is now, as the run's file `path`; returns the digest.

        The same path again replaces the file; the same bytes again cost nothing.

        Raises:
            Invalid: when `path` leads outside the run, or `content` is neither bytes nor a path.
            NotFound: when there is no such file.
        """
        check_path(path)
        if not isinstance(content, bytes | os.PathLike):
            raise Invalid(
                f"artifact {path!r} is a {type(content).__name__}", field=path, next_step="give bytes or a pathlib.Path"
            )
        source = None if isinstance(content, bytes) else Path(content)
        if source is not None and not source.is_file():
            raise NotFound(f"there is no file {source}", field=path, next_step="a folder is kept with run.artifacts")
        outlet = self._begun()
        folder = outlet.writer.folder
        try:
            if source is None:
                assert isinstance(content, bytes)
                digest, size = stage_bytes(folder, content), len(content)
            else:
                digest, size = stage_file(folder, source)
        except OSError as error:
            if source is not None and error.filename == str(source):
                raise
            _log.warning("run %s: %s is not kept: %s", self.id, path, error.strerror)
            outlet.writer.lost += 1
            return ""
        outlet.write(Files(self.id, path, digest, size))
        return digest

    def artifacts(self, folder: str | Path, *, below: str = "") -> list[str]:
        """Keep every file of a folder, under their paths in it (`below` a path of your choice); returns those paths.

        Links that lead out of the folder are left out.
        """
        root = Path(folder)
        if not root.is_dir():
            raise NotFound(f"there is no folder {root}", field="folder", next_step="a file is kept with run.artifact")
        kept = []
        for file in sorted(found for found in root.rglob("*") if found.is_file()):
            if not file.resolve().is_relative_to(root.resolve()):
                _log.warning("run %s: %s leads out of the folder and is left out", self.id, file)
                continue
            name = "/".join(part for part in (below.strip("/"), file.relative_to(root).as_posix()) if part)
            self.artifact(name, file)
            kept.append(name)
        return kept
