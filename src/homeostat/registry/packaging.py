"""Packaging: a fitted model becomes files in a format that cannot run code when it is read; a pickle only on request.

| model | flavor | file |
|---|---|---|
| scikit-learn estimator or pipeline | sklearn-skops | model.skops |
| LightGBM Booster or LGBMModel | lightgbm | model.txt, LightGBM's own text |
| XGBoost Booster or XGBModel | xgboost | model.ubj, XGBoost's own UBJSON |
| ONNX ModelProto, its bytes, or a path to NAME.onnx | onnx | model.onnx |
| hs.Network: weights and steps | network | model.safetensors, network.json |
| torch.export's ExportedProgram | torch-export | model.pt2 |
| hs.allow_pickle(model, reason=...) | pickle | model.pkl, which only a signed permission opens |
| a path to a file of one of these libraries, or to a model's folder that MLflow wrote | as what is in it | |
"""

import hashlib
from pathlib import Path
from typing import Any

from homeostat.ground.errors import Corrupt, Refused
from homeostat.registry import safe_sklearn
from homeostat.registry.formats import network, pickled, torch_export, xgboost_model
from homeostat.registry.formats.answers import positive_column
from homeostat.registry.formats.mlflow_model import DESCRIPTION, flavor_of, main_file
from homeostat.registry.formats.network import Network
from homeostat.registry.formats.pickled import Pickled
from homeostat.registry.scorers import FILES, scorer_from, scorer_of
from homeostat.registry.types import Package, PackageFile, StoredPackage
from homeostat.store.blobs import BlobStore

SUPPORTED = "a fitted scikit-learn estimator or pipeline, a LightGBM, XGBoost or ONNX model, or an hs.Network"


def package_model(model: Any, *, task: str | None = None) -> Package:
    """The files of a fitted model, read back once to see that they can be served.

    With the `task` of a declared model ('binary' or 'regression') one that cannot answer it is refused here, not when
    it is served.

    Raises:
        Refused: when the kind is not supported, or a part is of a type that may run code; the message names it.
    """
    package = _package_of(model)
    if task is not None:
        _check_positive(model, task)
        scorer_from(package.flavor, package.files, task, allow_pickle=package.permission is not None)
    return package


def store_package(blobs: BlobStore, package: Package) -> StoredPackage:
    """Write the files as blobs; what comes back is small and is what `register_version` takes."""
    files = {path: _stored(blobs, data) for path, data in package.files.items()}
    return StoredPackage(package.flavor, files, package.permission)


def _stored(blobs: BlobStore, data: bytes) -> PackageFile:
    return PackageFile(blobs.put(data), len(data), hashlib.sha256(data).hexdigest())


def _package_of(model: Any) -> Package:
    if isinstance(model, Pickled):
        return Package("pickle", {FILES["pickle"]: pickled.dump(model.model)}, model.permission)
    if isinstance(model, Network):
        return Package("network", network.dump(model))
    flavor, data = _files_of(model)
    return Package(flavor, {FILES[flavor]: data})


def _files_of(model: Any) -> tuple[str, bytes]:
    kind = type(model)
    families = {base.__module__.split(".")[0] for base in kind.__mro__}
    if "lightgbm" in families:  # before scikit-learn: its wrappers are estimators too
        return "lightgbm", _lightgbm_text(model)
    if "xgboost" in families:
        return "xgboost", xgboost_model.dump(model)
    if "torch" in families and hasattr(model, "graph_module"):  # an ExportedProgram
        return "torch-export", torch_export.dump(model)
    if "onnx" in families and hasattr(model, "SerializeToString"):
        return "onnx", bytes(model.SerializeToString())
    if isinstance(model, bytes):
        return "onnx", _checked_onnx(model)
    if isinstance(model, Path):
        return _of_path(model)
    if "sklearn" in families and hasattr(model, "get_params"):
        return "sklearn-skops", safe_sklearn.dump(model)
    raise Refused(
        f"a model of type {kind.__module__}.{kind.__qualname__} cannot be packaged",
        field="model",
        next_step=f"return {SUPPORTED}; as a last resort hs.allow_pickle(model, reason=...)",
    )


_SUFFIXES = {
    ".onnx": "onnx",
    ".skops": "sklearn-skops",
    ".txt": "lightgbm",
    ".lgb": "lightgbm",
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".xgb": "xgboost",
    ".pt2": "torch-export",
}


def _of_path(path: Path) -> tuple[str, bytes]:
    """Flavor and bytes of a saved model."""
    if path.is_dir():
        held = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        described = {name: file.read_bytes() if name == DESCRIPTION else b"" for name, file in held.items()}
        main = main_file(described)
        found = flavor_of(main, held[main].read_bytes())
        return found.flavor, found.data
    flavor = _SUFFIXES.get(path.suffix.lower())
    if flavor is None or not path.is_file():
        raise Refused(
            f"{path.name} is no saved model" if path.is_file() else f"there is no file {path.name}",
            field="model",
            next_step=f"name one that ends in {', '.join(_SUFFIXES)}, or a folder with MLmodel",
        )
    data = path.read_bytes()
    if flavor == "onnx":
        return flavor, _checked_onnx(data)
    scorer_of(flavor, data, "")
    return flavor, data


def _check_positive(model: Any, task: str) -> None:
    """A booster's file has forgotten which class is the positive one, so its wrapper has to say it."""
    families = {base.__module__.split(".")[0] for base in type(model).__mro__}
    classes = getattr(model, "classes_", None) if families & {"lightgbm", "xgboost"} else None
    if task == "binary" and classes is not None and positive_column(list(classes)) != 1:
        raise Refused(
            f"the positive class must be the second of classes_, which is {list(classes)!r}",
            field="model",
            next_step="train with labels False and True (or 0 and 1), both of them present",
        )


def _lightgbm_text(model: Any) -> bytes:
    booster = model if hasattr(model, "model_to_string") else model.booster_
    return str(booster.model_to_string()).encode()


def _checked_onnx(data: bytes) -> bytes:
    """`data` if ONNX Runtime can read it: bytes carry no type that would tell."""
    try:
        scorer_of("onnx", data, "regression")
    except Corrupt as error:
        raise Refused(
            f"these bytes are not a model: {error.message}",
            field="model",
            next_step=f"return {SUPPORTED}",
        ) from error
    return data
