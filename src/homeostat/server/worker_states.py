"""How large the serving workers of this machine are, asked of the operating system."""

from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]  # it ships none

from homeostat.loop.workers import WorkerState


def states_of(pids: Iterable[int]) -> list[WorkerState]:
    """The state of each process that is still there."""
    found = []
    for pid in pids:
        try:
            found.append(WorkerState(pid=pid, rss=psutil.Process(pid).memory_info().rss))
        except psutil.Error:  # it has just ended; the one that follows it is seen at the next look
            continue
    return found
