"""Tracking's door: what `hs.run(...)` makes of settings, for a home or for a server."""

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from homeostat.datasets.snapshot import code_snapshot, environment_snapshot
from homeostat.ground.clock import SECOND, SystemClock, parse_duration
from homeostat.ground.settings import Settings
from homeostat.tracking.client import ActiveRun
from homeostat.tracking.place import Place
from homeostat.tracking.spool.http_target import HttpTarget
from homeostat.tracking.spool.target import Target


def make_run(settings: Settings, project: str, *, system_metrics: bool, **options: Any) -> ActiveRun:
    """A run that has not begun yet."""
    place = Place(
        home=settings.home_path,
        target=settings.url,
        open_target=lambda url: open_target(settings, url),
        snapshots=_snapshots,
        clock=SystemClock(),
        wait=parse_duration(settings.run_wait, field="run_wait") / SECOND,
        is_offline=settings.offline,
        cause="ci" if os.environ.get("CI") else "person",
        system_every=parse_duration(settings.system_metrics, field="system_metrics") / SECOND
        if system_metrics
        else 0.0,
        captures_output=settings.capture_output,
    )
    return ActiveRun(place, project, **options)


def open_target(settings: Settings, url: str) -> Target:
    """A server, or the home itself when `url` is empty; what the home needs (SQL) is loaded only then."""
    if url:
        return HttpTarget(url, token=settings.token)
    home: Target = import_module("homeostat.sdk.home_target").open_home(settings)
    return home


def _snapshots() -> tuple[dict[str, Any], dict[str, Any]]:
    return code_snapshot(Path.cwd()), _environment()


@cache
def _environment() -> dict[str, Any]:
    # Looking through the installed packages takes a tenth of a second; a sweep of short runs pays it once.
    return environment_snapshot()
