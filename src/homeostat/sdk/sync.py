"""`homeostat sync`: what is left in the spools of a home goes to where it was meant to, or to another server."""

from collections.abc import Callable

from homeostat.ground.settings import Settings
from homeostat.sdk.tracking import open_target
from homeostat.tracking.spool.leftovers import Shipped, ship_leftovers


def sync(settings: Settings, *, on_shipped: Callable[[Shipped], None] = lambda _: None) -> list[Shipped]:
    """Ship every spool whose writer is gone; a URL in the settings goes before what a spool says itself."""
    return ship_leftovers(
        settings.home_path, lambda url: open_target(settings, settings.url or url), on_shipped=on_shipped
    )
