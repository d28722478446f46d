"""What is taken note of beside what a run logs: the machine, and what the script prints."""

from pathlib import Path

from homeostat.tracking.console import Console
from homeostat.tracking.files import FileLog
from homeostat.tracking.place import Place
from homeostat.tracking.spool.folder import CONSOLE
from homeostat.tracking.spool.leftovers import CONSOLE_ARTIFACT
from homeostat.tracking.system_metrics import SystemMetrics


class Observers:
    """Those of one run, from its beginning to its end."""

    def __init__(self, place: Place, run: FileLog, *, folder: Path) -> None:
        self._run = run
        self._system = SystemMetrics(run, every=place.system_every) if place.system_every else None
        self._console = Console(folder / CONSOLE) if place.captures_output else None

    def stop(self) -> None:
        """Stop, and keep what was printed as a file of the run."""
        if self._system:
            self._system.stop()
        if self._console:
            self._console.stop()
            if self._console.path.is_file():
                self._run.artifact(CONSOLE_ARTIFACT, self._console.path)

    def forked(self) -> None:
        """In a forked child: its threads are gone, and what it prints is its own."""
        if self._console:
            self._console.forked()
