"""The two doors: `hs.connect(...)` to a home or a server, `hs.run(...)` to track a run. Light until they are used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeostat.sdk.client import Client
    from homeostat.tracking.client import ActiveRun


def connect(home: str | None = None, *, url: str | None = None) -> Client:
    """A client of a home folder (embedded) or of a running server (`url`); both have the same verbs.

    Without arguments HOMEOSTAT_URL, then HOMEOSTAT_HOME, then `.homeostat` decide.
    """
    settings = import_module("homeostat.ground.settings").load_settings(home=home, url=url)
    if settings.url:
        remote: Client = import_module("homeostat.sdk.remote").Remote(settings.url)
        return remote
    embedded: Client = import_module("homeostat.sdk.embedded").Embedded(settings)
    return embedded


def run(project: str, *, name: str = "", home: str | None = None) -> ActiveRun:
    """Track a run: `with hs.run("exp") as r: r.log(loss=.3)`."""
    embedded = import_module("homeostat.sdk.embedded")
    active: ActiveRun = embedded.start_tracked_run(project, name=name, home=home)
    return active
