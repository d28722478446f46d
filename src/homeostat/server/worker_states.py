"""The serving workers of this machine: how large they are, and what they could not load."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable

import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from homeostat.loop.workers import WorkerState
from homeostat.serving.routes import WORKER_KEY


def failures_of(url: str, key: str) -> dict[str, str]:
    """Endpoints that the worker which answers at `url` could not load, with the reason; none when it does not answer.

    Of several workers one answers; they load the same packages.
    """
    request = urllib.request.Request(f"{url}/v2/health/live", headers={WORKER_KEY: key})  # noqa: S310  our own worker
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310  likewise
            failures = json.load(answer).get("failures", {})
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
        return {}
    return {str(name): str(why) for name, why in failures.items()}


def states_of(pids: Iterable[int], failures: dict[str, str]) -> list[WorkerState]:
    """The state of each process that is still there; what could not be loaded is said of the first."""
    found: list[WorkerState] = []
    for pid in pids:
        try:
            state = WorkerState(pid=pid, rss=psutil.Process(pid).memory_info().rss)
            found.append(msgspec.structs.replace(state, failures={} if found else failures))
        except psutil.Error:  # it has just ended; the one that follows it is seen at the next look
            continue
    return found
