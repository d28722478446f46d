"""treelite ensembles: every split as the library that trained it made it, walked in C++ without that library."""

from typing import Any

from homeostat.ground.extras import require
from homeostat.serving.compiling.artifact import TreeliteForm
from homeostat.serving.compiling.refused import CannotCompile


def ensemble_of(model: Any, library: str) -> TreeliteForm:
    """A model's trees as treelite reads them.

    Raises:
        CannotCompile: when it reads no models of that library.
    """
    treelite = require("treelite", extra="compile")
    if library == "lightgbm":
        read = treelite.frontend.from_lightgbm(model)
    elif library == "xgboost":
        read = treelite.frontend.from_xgboost(model)
    elif library == "sklearn":
        read = require("treelite.sklearn", extra="compile").import_model(model)
    else:
        raise CannotCompile(f"treelite reads no models of {library}")
    return TreeliteForm(model=bytes(read.serialize_bytes()), single=read.input_type == "float32")
