"""Following a cycle until it has ended or waits for its rollout."""

import time
from collections.abc import Callable
from typing import Any

from homeostat.sdk.client import Progress


def follow_cycle(read: Callable[[], dict[str, Any]], *, progress: Progress | None) -> dict[str, Any]:
    """Poll `read` until the cycle no longer needs compute; `progress` hears of every step once."""
    told: set[str] = set()
    while True:
        cycle = read()
        for step in cycle["steps"]:
            if step not in told and progress is not None:
                progress(step)
            told.add(step)
        if cycle["state"] not in ("queued", "running"):
            return cycle
        time.sleep(0.1)
