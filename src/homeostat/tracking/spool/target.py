"""Where spools are shipped to: a server or a catalogue, behind one small contract."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from homeostat.tracking.ops import IngestBatch, IngestReply


class KnownRun(msgspec.Struct, frozen=True):
    """What a process has to know of a run to go on with it."""

    project: str = ""
    params: dict[str, str] = {}
    steps: dict[str, int] = {}
    """The step that the next point of each series gets."""


class Target(Protocol):
    """Takes in stretches and files. Every method may raise `Unavailable`: then it is tried again later."""

    def position(self, spool: str) -> int:
        """How much of a spool has been taken in."""
        ...

    def ship(self, batch: IngestBatch) -> IngestReply:
        """Hand over a stretch; Conflict says that it does not begin at `position`."""
        ...

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Make sure that the bytes of files are stored under their digests."""
        ...

    def run(self, run_id: str) -> KnownRun | None:
        """What is known of a run, None when there is none."""
        ...

    def close(self) -> None: ...
