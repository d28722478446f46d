"""The two doors: `hs.connect(...)` to a home or a server, `hs.run(...)` to track a run. Light until they are used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeostat.sdk.client import Client
    from homeostat.tracking.client import ActiveRun


def connect(home: str | None = None, *, url: str | None = None) -> Client:
    """A client of a home folder (embedded) or of a running server (`url`); both have the same verbs.

    Without arguments HOMEOSTAT_URL, then HOMEOSTAT_HOME, then `.homeostat` decide.
    """
    settings = import_module("homeostat.ground.settings").load_settings(home=home, url=url)
    if settings.url:
        remote: Client = import_module("homeostat.sdk.remote").Remote(settings.url, token=settings.token)
        return remote
    embedded: Client = import_module("homeostat.sdk.embedded").Embedded(settings)
    return embedded


def run(
    project: str = "",
    *,
    name: str = "",
    home: str | None = None,
    url: str | None = None,
    offline: bool | None = None,
    resume: str | None = None,
    parent: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    note: str = "",
    system_metrics: bool = True,
    capture_output: bool | None = None,
) -> ActiveRun:
    """Track a run: `with hs.run("exp") as r: r.log(loss=.3)`, or as a decorator `@hs.run("exp")`.

    Inside another run it is nested in it, and in its project unless one is named. `resume` is the id of a run to go on
    with, or "auto": the newest of this project (and name) that began here and did not finish.
    """
    settings = import_module("homeostat.ground.settings").load_settings(
        home=home, url=url, offline=offline, capture_output=capture_output
    )
    active: ActiveRun = import_module("homeostat.sdk.tracking").make_run(
        settings,
        project,
        name=name,
        resume=resume,
        parent=parent,
        params=params,
        tags=tags,
        note=note,
        system_metrics=system_metrics,
    )
    return active


def current_run() -> ActiveRun | None:
    """The run that this code runs in: the innermost that is open, None when there is none."""
    found: ActiveRun | None = import_module("homeostat.tracking.client").current_run()
    return found


def log(step: int | None = None, **values: Any) -> None:
    """Log numbers to the current run; without one it does nothing, so that a function logs wherever it is called."""
    import_module("homeostat.tracking.client").log(step, **values)
