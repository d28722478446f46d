"""Scorers: a stored package, verified and loaded, ready to answer rows."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from homeostat.ground.errors import Corrupt, Invalid, Refused
from homeostat.ground.ports import Scorer
from homeostat.registry import safe_sklearn
from homeostat.registry.formats import mlflow_model, network, pickled
from homeostat.registry.formats.answers import TASKS, Asked, Facts
from homeostat.registry.formats.lightgbm_model import LightgbmScorer
from homeostat.registry.formats.network import NetworkScorer
from homeostat.registry.formats.onnx_model import OnnxScorer
from homeostat.registry.formats.sklearn_model import SklearnScorer
from homeostat.registry.formats.torch_export import TorchScorer
from homeostat.registry.formats.xgboost_model import XgboostScorer
from homeostat.registry.types import PackageFile
from homeostat.store.blobs import BlobStore

FILES = {
    "sklearn-skops": "model.skops",
    "lightgbm": "model.txt",
    "onnx": "model.onnx",
    "xgboost": "model.ubj",
    "torch-export": "model.pt2",
    "pickle": "model.pkl",
}
"""Flavor to the one file it holds."""
FLAVORS = (*FILES, "network", "mlflow")


class Answering(Scorer, Protocol):
    """A scorer that says what its model is."""

    facts: Facts


def load_scorer(
    blobs: BlobStore, flavor: str, manifest: Mapping[str, PackageFile], task: str, *, allow_pickle: bool = False
) -> Answering:
    """Read a stored package (every byte verified against its digest) and make it ready, for a declared model.

    Raises:
        Corrupt: when a stored byte was changed or a file is missing from the manifest.
        Refused: when the flavor is not supported, a type in it is not allowed, or it cannot answer the task.
    """
    _check_flavor(flavor, allow_pickle=allow_pickle)
    files = {path: blobs.get(file.digest) for path, file in manifest.items()}
    return scorer_from(flavor, files, task, allow_pickle=allow_pickle)


def scorer_from(
    flavor: str, files: Mapping[str, bytes], asked: Asked | str, *, allow_pickle: bool = False
) -> Answering:
    """The scorer of a package's files. `allow_pickle`: a signed permission was seen, and this process is no server.

    `score(matrix)`: float64 rows x columns in; out the probability of the positive class (or of the second of the
    classes asked for) for 'binary', the value for 'regression', and rows x k for k classes or outputs. What is asked
    for may be a task alone, as a declared model has it.
    """
    _check_flavor(flavor, allow_pickle=allow_pickle)
    asked = _checked(asked)
    if flavor == "mlflow":
        path = mlflow_model.main_file(files)
        found = mlflow_model.flavor_of(path, files[path])
        if found.classes and not asked.task:
            asked = msgspec.structs.replace(asked, classes=asked.classes or found.classes)
        return scorer_of(found.flavor, found.data, asked)
    if flavor == "network":
        return NetworkScorer(_file(files, network.WEIGHTS), _file(files, network.PLAN), asked)
    return scorer_of(flavor, _file(files, FILES[flavor]), asked, allow_pickle=allow_pickle)


def scorer_of(flavor: str, data: bytes, asked: Asked | str, *, allow_pickle: bool = False) -> Answering:
    """The scorer of a package's one file."""
    _check_flavor(flavor, allow_pickle=allow_pickle)
    asked = _checked(asked)
    if flavor == "sklearn-skops":
        return SklearnScorer(safe_sklearn.load(data), asked)
    if flavor == "pickle":
        return SklearnScorer(pickled.load(data), asked)
    made: Mapping[str, Callable[[bytes, Asked], Answering]] = {
        "lightgbm": LightgbmScorer,
        "onnx": OnnxScorer,
        "xgboost": XgboostScorer,
        "torch-export": TorchScorer,
    }
    return made[flavor](data, asked)


def _checked(asked: Asked | str) -> Asked:
    asked = Asked(task=asked) if isinstance(asked, str) else asked
    if asked.task and asked.task not in TASKS:
        raise Invalid(f"{asked.task!r} is not a task", field="task", next_step=f"use {', '.join(TASKS)}")
    return asked


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise Corrupt(f"the package has no file {name}", next_step="package the model again")
    return files[name]


def _check_flavor(flavor: str, *, allow_pickle: bool) -> None:
    if flavor == "pickle" and not allow_pickle:
        raise Refused(
            "models of flavor 'pickle' run code when they are read, and nobody signed a permission for this one",
            field="flavor",
            next_step="package it in a safe format, or return hs.allow_pickle(model, reason=...) from the function",
        )
    if flavor == "safetensors":
        raise Refused(
            "safetensors alone are weights without a model",
            field="flavor",
            next_step="package an hs.Network: it says which steps a row walks through",
        )
    if flavor not in FLAVORS:
        raise Refused(
            f"models of flavor {flavor!r} cannot be served",
            field="flavor",
            next_step=f"package it as one of {', '.join(FLAVORS)}",
        )
