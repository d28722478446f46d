"""The fitted model inside a package, for whoever looks into it: a compiler, never a server."""

import io
from collections.abc import Mapping
from typing import Any

import msgspec

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.extras import require
from homeostat.registry import safe_sklearn
from homeostat.registry.formats import mlflow_model, pickled, ubjson, xgboost_model
from homeostat.registry.formats.zips import check_zip
from homeostat.registry.scorers import FILES


class Fitted(msgspec.Struct, frozen=True):
    """A model and the library that made it: 'sklearn', 'lightgbm', 'xgboost', 'torch', else the flavor's name."""

    library: str
    model: Any


def fitted_model(flavor: str, files: Mapping[str, bytes], *, allow_pickle: bool = False) -> Fitted:
    """The model in a package's files, read as safely as its scorer is.

    Raises:
        Corrupt: when the file cannot be read.
        Refused: when it is a pickle that nobody permitted.
    """
    if flavor == "mlflow":
        path = mlflow_model.main_file(files)
        found = mlflow_model.flavor_of(path, files[path])
        return _read(found.flavor, found.data, allow_pickle=allow_pickle)
    name = FILES.get(flavor)
    if name is None:
        return Fitted(flavor, None)
    if name not in files:
        raise Corrupt(f"the package has no file {name}", next_step="package the model again")
    return _read(flavor, files[name], allow_pickle=allow_pickle)


def _read(flavor: str, data: bytes, *, allow_pickle: bool) -> Fitted:
    if flavor == "sklearn-skops":
        return Fitted("sklearn", safe_sklearn.settle(safe_sklearn.load(data)))
    if flavor == "lightgbm":
        return Fitted("lightgbm", require("lightgbm", extra="lightgbm").Booster(model_str=data.decode()))
    if flavor == "xgboost":
        xgboost_model.check(ubjson.read_document(data))
        booster = require("xgboost", extra="xgboost").Booster({"nthread": 1})
        booster.load_model(bytearray(data))
        return Fitted("xgboost", booster)
    if flavor == "torch-export":
        check_zip(data, what="torch.export file")
        return Fitted("torch", require("torch.export", extra="torch").load(io.BytesIO(data)))
    if flavor == "pickle":
        if not allow_pickle:
            raise Refused("nobody signed a permission for this pickle", field="flavor", next_step="serve it as it is")
        return _of_pickle(pickled.load(data))
    return Fitted(flavor, data)


def _of_pickle(model: Any) -> Fitted:
    """Boosters hide in scikit-learn wrappers; classes of somebody's own are of their own library."""
    library = type(model).__module__.split(".")[0]
    if library == "lightgbm" and hasattr(model, "booster_"):
        return Fitted("lightgbm", model.booster_)
    if library == "xgboost" and hasattr(model, "get_booster"):
        return Fitted("xgboost", model.get_booster())
    return Fitted(library, model)
