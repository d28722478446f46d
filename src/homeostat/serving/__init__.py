"""Scorers, the data plane, routing, the prediction log; to users, `hs.serving.app(...)`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.sdk.serving import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    """`app` is the SDK's, which stands above this room, and is found when it is asked for."""
    if name == "app":
        return import_module("homeostat.sdk.serving").app
    raise AttributeError(name)
