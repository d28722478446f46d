"""Scorers, the data plane, routing, the prediction log; to users, `hs.serving.app(...)`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.sdk.serving import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # The door to users stands under the room's name; it is the SDK's, above this room, and found when it is asked for.
    if name != "app":
        raise AttributeError(f"module 'homeostat.serving' has no attribute {name!r}")
    value = globals()["app"] = import_module("homeostat.sdk.serving").app
    return value
