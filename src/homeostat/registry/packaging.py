"""Packaging: a fitted model becomes files in a format that cannot run code when it is read. No pickle anywhere.

| model | flavor | file |
|---|---|---|
| scikit-learn estimator or pipeline | sklearn-skops | model.skops |
| LightGBM Booster or LGBMModel | lightgbm | model.txt, LightGBM's own text |
| ONNX ModelProto, its bytes, or a path to NAME.onnx | onnx | model.onnx |
"""

from pathlib import Path
from typing import Any

from homeostat.ground.errors import HomeostatError, Refused
from homeostat.registry import safe_sklearn
from homeostat.registry.scorers import FILES, positive_column, scorer_of
from homeostat.registry.types import Package, PackageFile, StoredPackage
from homeostat.store.blobs import BlobStore

SUPPORTED = "a fitted scikit-learn estimator or pipeline, a LightGBM model, or an ONNX model"


def package_model(model: Any, *, task: str | None = None) -> Package:
    """The files of a fitted model, read back once to see that they can be served.

    With a `task` ('binary' or 'regression') a model that cannot answer it is refused here, not when it is served.

    Raises:
        Refused: when the kind is not supported, or a part is of a type that may run code; the message names it.
    """
    flavor, data = _files_of(model)
    package = Package(flavor, {FILES[flavor]: data})
    if task is not None:
        scorer_of(flavor, data, task)
    return package


def store_package(blobs: BlobStore, package: Package) -> StoredPackage:
    """Write the files as blobs; what comes back is small and is what `register_version` takes."""
    files = package.files.items()
    return StoredPackage(package.flavor, {path: PackageFile(blobs.put(data), len(data)) for path, data in files})


def _files_of(model: Any) -> tuple[str, bytes]:
    kind = type(model)
    families = {base.__module__.split(".")[0] for base in kind.__mro__}
    if "lightgbm" in families:  # before scikit-learn: its wrappers are estimators too
        return "lightgbm", _lightgbm_text(model)
    if "onnx" in families and hasattr(model, "SerializeToString"):
        return "onnx", bytes(model.SerializeToString())
    if isinstance(model, bytes):
        return "onnx", _checked_onnx(model)
    if isinstance(model, Path) and model.suffix == ".onnx":
        return "onnx", _checked_onnx(model.read_bytes())
    if "sklearn" in families and hasattr(model, "get_params"):
        return "sklearn-skops", safe_sklearn.dump(model)
    raise Refused(
        f"a model of type {kind.__module__}.{kind.__qualname__} cannot be packaged",
        field="model",
        next_step=f"return {SUPPORTED}; pickle is never used",
    )


def _lightgbm_text(model: Any) -> bytes:
    classes = getattr(model, "classes_", None)
    if classes is not None and positive_column(list(classes)) != 1:
        raise Refused(
            f"the positive class must be the second of classes_, which is {list(classes)!r}",
            field="model",
            next_step="train with labels False and True (or 0 and 1), both of them present",
        )
    booster = model if hasattr(model, "model_to_string") else model.booster_
    return str(booster.model_to_string()).encode()


def _checked_onnx(data: bytes) -> bytes:
    """`data` if ONNX Runtime can read it: bytes carry no type that would tell."""
    try:
        scorer_of("onnx", data, "regression")
    except HomeostatError:
        raise
    except Exception as error:  # onnxruntime has a dozen of its own, all meaning this
        raise Refused(
            f"these bytes are not a model that ONNX Runtime can read: {error!s:.200}",
            field="model",
            next_step=f"return {SUPPORTED}; pickle is never used",
        ) from error
    return data
