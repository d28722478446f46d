"""Optional libraries, imported in the function that needs them."""

import importlib
from types import ModuleType

from homeostat.ground.errors import MissingExtra


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or say which extra brings it.

    Raises:
        MissingExtra: with the install line, when the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and module.partition(".")[0] != error.name.partition(".")[0]:
            raise
        raise MissingExtra(
            f"{module} is not installed", next_step=f"in a checkout of Homeostat, run: pip install -e '.[{extra}]'"
        ) from error
