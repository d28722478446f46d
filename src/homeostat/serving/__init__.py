"""Scorers, the data plane, routing, the prediction log; to users, `hs.serving.app(...)`."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.sdk.serving import app

__all__ = ["app"]


class _Room(ModuleType):
    """This package; `app` is the SDK's function, which stands above this room and is found when it is asked for."""

    @property
    def app(self) -> Any:
        return import_module("homeostat.sdk.serving").app

    @app.setter
    def app(self, submodule: ModuleType) -> None:
        """Importing `homeostat.serving.app` would put the submodule here; `from` finds it without."""


sys.modules[__name__].__class__ = _Room
