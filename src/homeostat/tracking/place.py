"""Where runs of this process are written to, and what is taken note of beside what they log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from homeostat.ground.clock import Clock
from homeostat.tracking.spool.target import Target


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A home folder for the spool, and the target that takes it in."""

    home: Path
    target: str
    """A server's URL; empty for the home itself."""
    open_target: Callable[[str], Target]
    """Opens the target of a spool by what its header says."""
    snapshots: Callable[[], tuple[dict[str, Any], dict[str, Any]]]
    """Code and environment, as they are when a run begins."""
    clock: Clock
    wait: float
    """Seconds that the end of a run waits for the last of it to arrive."""
    is_offline: bool = False
    cause: str = "person"
    system_every: float = 0.0
    """Seconds between looks at CPU, memory, disk, network and GPU; 0 takes none."""
    captures_output: bool = False
