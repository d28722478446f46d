"""Models logged in MLflow's format: the one file that holds the model is found, and served when it is a safe one."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.extras import require
from homeostat.ground.records import Signature
from homeostat.registry import safe_sklearn
from homeostat.registry.formats.answers import class_name

DESCRIPTION = "MLmodel"
_EXAMPLE = "input_example.json"
_DATA = re.compile(r"^    (?:data|pickled_model|model_path): ['\"]?([^'\"\n]+?)['\"]?\s*$", re.MULTILINE)
_RUNS_CODE = (".pkl", ".pickle", ".cloudpickle", ".joblib", ".pth", ".pt", ".dill", ".h5", ".keras")
_LIGHTGBM = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    *(f"lightgbm.sklearn.LGBM{kind}" for kind in ("Classifier", "Model", "Ranker", "Regressor")),
)
"""What MLflow's own reader allows: a Booster reads its text in the native library, the wrappers only hold it."""


def main_file(files: Mapping[str, Any]) -> str:
    """The path of the file that holds the model.

    Raises:
        Corrupt: when MLmodel is missing or names no file of the package.
        Refused: naming a file that runs code when it is read.
    """
    if DESCRIPTION not in files:
        raise Corrupt(f"the package has no file {DESCRIPTION}", next_step="log the model again")
    description = bytes(files[DESCRIPTION]).decode("utf-8", "replace")
    named = dict.fromkeys(_DATA.findall(description))
    for path in named:
        if path.lower().endswith(_RUNS_CODE):
            raise Refused(
                f"{path} is a pickle, which runs code when it is read",
                field=path,
                next_step="log the model again with serialization_format='skops', or as LightGBM, XGBoost or ONNX",
            )
    held = [path for path in named if path in files]
    if not held:
        raise Corrupt(
            f"{DESCRIPTION} names no model file of the package ({', '.join(named) or 'none'})",
            next_step="log the model again",
        )
    return str(held[0])


class Found(NamedTuple):
    """The model within a package, in a flavor of ours."""

    flavor: str
    data: bytes
    classes: tuple[str, ...] = ()
    """Names that a wrapper gave to a booster's classes."""


def example_of(files: Mapping[str, Any], signature: Signature) -> list[Any]:
    """The first row of the input example, in the order of the signature's inputs; empty when there is none."""
    try:
        held = msgspec.json.decode(files.get(_EXAMPLE, b""))
        if isinstance(held, dict):
            row = dict(zip(held["columns"], held["data"][0], strict=True))
            return [row[column.name] for column in signature.inputs]
        return list(held[0]) if len(held[0]) == len(signature.inputs) else []
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        return []


def flavor_of(path: str, data: bytes) -> Found:
    """The safe flavor and the bytes of a model file of MLflow's.

    Raises:
        Refused: when it is of no format that can be served safely.
    """
    suffix = path.lower().rpartition(".")[2]
    if suffix == "skops":
        return _of_skops(data)
    if suffix in {"ubj", "json", "xgb"}:
        return Found("xgboost", data)
    if suffix in {"lgb", "txt"}:
        return Found("lightgbm", data)
    if suffix == "onnx":
        return Found("onnx", data)
    raise Refused(
        f"{path} is of no format that can be served safely",
        field=path,
        next_step="log the model with scikit-learn (skops), LightGBM, XGBoost or ONNX",
    )


def _of_skops(data: bytes) -> Found:
    if not any(name.startswith("lightgbm.") for name in safe_sklearn.types_in(data)):
        return Found("sklearn-skops", data)
    model = safe_sklearn.load(data, also=_LIGHTGBM)
    booster = getattr(model, "booster_", model)
    if type(booster) is not require("lightgbm", extra="lightgbm").Booster:
        raise Refused("the model is more than a LightGBM model", field="model", next_step="log the booster alone")
    classes = tuple(class_name(label) for label in getattr(model, "classes_", ()))
    return Found("lightgbm", str(booster.model_to_string()).encode(), classes)
