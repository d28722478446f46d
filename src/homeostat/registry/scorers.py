"""Scorers: a stored package, verified and loaded, ready to answer rows."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, Invalid, Refused
from homeostat.ground.extras import require
from homeostat.ground.ports import Scorer
from homeostat.registry import safe_sklearn
from homeostat.registry.formats import mlflow_model, network, pickled
from homeostat.registry.formats.answers import ONE_THREAD_BELOW, Matrix, cannot, column_of, positive_column
from homeostat.registry.formats.network import NetworkScorer
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
TASKS = ("binary", "regression")

_BINARY_OBJECTIVES = {"binary", "cross_entropy"}
_CLASS_OBJECTIVES = _BINARY_OBJECTIVES | {"multiclass", "multiclassova", "cross_entropy_lambda"}


def load_scorer(
    blobs: BlobStore, flavor: str, manifest: Mapping[str, PackageFile], task: str, *, allow_pickle: bool = False
) -> Scorer:
    """Read a stored package (every byte verified against its digest) and make it ready.

    `score(matrix)`: float64 rows x columns in, one float64 a row out: the probability of the positive class (True or
    1) for 'binary', the value for 'regression'.

    Raises:
        Corrupt: when a stored byte was changed or a file is missing from the manifest.
        Refused: when the flavor is not supported, a type in it is not allowed, or it cannot answer the task.
    """
    _check_flavor(flavor, allow_pickle=allow_pickle)
    files = {path: blobs.get(file.digest) for path, file in manifest.items()}
    return scorer_from(flavor, files, task, allow_pickle=allow_pickle)


def scorer_from(flavor: str, files: Mapping[str, bytes], task: str, *, allow_pickle: bool = False) -> Scorer:
    """The scorer of a package's files. `allow_pickle`: a signed permission was seen, and this process is no server."""
    _check_flavor(flavor, allow_pickle=allow_pickle)
    if flavor == "mlflow":
        path = mlflow_model.main_file(files)
        return scorer_of(*mlflow_model.flavor_of(path, files[path]), task)
    if flavor == "network":
        return NetworkScorer(_file(files, network.WEIGHTS), _file(files, network.PLAN), _checked_task(task))
    return scorer_of(flavor, _file(files, FILES[flavor]), task, allow_pickle=allow_pickle)


def scorer_of(flavor: str, data: bytes, task: str, *, allow_pickle: bool = False) -> Scorer:
    """The scorer of a package's one file."""
    _check_flavor(flavor, allow_pickle=allow_pickle)
    _checked_task(task)
    if flavor == "sklearn-skops":
        return SklearnScorer(safe_sklearn.load(data), task)
    if flavor == "pickle":
        return SklearnScorer(pickled.load(data), task)
    made: Mapping[str, Callable[[bytes, str], Scorer]] = {
        "lightgbm": LightgbmScorer,
        "onnx": OnnxScorer,
        "xgboost": XgboostScorer,
        "torch-export": TorchScorer,
    }
    return made[flavor](data, task)


class SklearnScorer:
    """A scikit-learn estimator or pipeline."""

    def __init__(self, model: Any, task: str) -> None:
        # scikit-learn says this once a call from threads it did not start; no setting of ours has to travel there.
        warnings.filterwarnings("ignore", message=r"`sklearn\.utils\.parallel\.delayed`", category=UserWarning)
        self._model = safe_sklearn.settle(model)
        self._column: int | None = None
        self._binary = task == "binary"
        self._openmp = require("threadpoolctl", extra="sklearn").ThreadpoolController().select(user_api="openmp")
        if self._binary:
            if not hasattr(model, "predict_proba"):
                raise cannot(model, "has no predict_proba", "use a classifier, or wrap it in CalibratedClassifierCV")
            self._column = positive_column(list(model.classes_))
        elif not hasattr(model, "predict") or hasattr(model, "classes_"):
            raise cannot(model, "does not predict numbers", "use a regressor for a regression task")

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty(0)
        with self._threads(len(matrix)):
            if not self._binary:
                return column_of(self._model.predict(matrix))
            table = self._model.predict_proba(matrix)
        return np.zeros(len(matrix)) if self._column is None else column_of(table[:, self._column])

    def _threads(self, rows: int) -> AbstractContextManager[Any]:
        return self._openmp.limit(limits=1) if rows < ONE_THREAD_BELOW else nullcontext()


class LightgbmScorer:
    """A LightGBM booster, read from its own text format."""

    def __init__(self, data: bytes, task: str) -> None:
        lightgbm = require("lightgbm", extra="lightgbm")
        try:
            self._booster = lightgbm.Booster(model_str=data.decode())
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise Corrupt(f"the LightGBM text cannot be read: {error}", next_step="package the model again") from error
        objective = _objective(data)
        if task == "binary" and objective not in _BINARY_OBJECTIVES:
            raise cannot(self._booster, f"has objective {objective!r}", "train with objective 'binary'")
        if task == "regression" and objective in _CLASS_OBJECTIVES:
            raise cannot(self._booster, f"has objective {objective!r}", "train with a regression objective")

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty(0)
        threads = {"num_threads": 1} if len(matrix) < ONE_THREAD_BELOW else {}
        return column_of(self._booster.predict(matrix, **threads))


class OnnxScorer:
    """An ONNX model in ONNX Runtime, one thread a request."""

    def __init__(self, data: bytes, task: str) -> None:
        onnxruntime = require("onnxruntime", extra="onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong with a file is in the error; the log would say it in C++
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own, all meaning this
            raise Corrupt(
                f"this is no model that ONNX Runtime can read: {error!s:.200}",
                next_step="package the model again, as one file without external data",
            ) from error
        self._binary = task == "binary"
        taken = self._session.get_inputs()[0]
        self._input = taken.name
        self._dtype = np.float64 if "double" in taken.type else np.float32
        # A classifier gives (label, probabilities), a regressor one output: the last one in both.
        self._output = self._session.get_outputs()[-1].name

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty(0)
        (answer,) = self._session.run([self._output], {self._input: np.ascontiguousarray(matrix, self._dtype)})
        if isinstance(answer, list):  # skl2onnx's ZipMap: one {class: probability} a row
            return np.array([_of_positive(row) for row in answer], dtype=np.float64)
        table = np.asarray(answer, dtype=np.float64).reshape(len(matrix), -1)
        return column_of(table[:, -1] if self._binary else table)


def _of_positive(row: Mapping[Any, float]) -> float:
    return next((value for label, value in row.items() if label in (1, "1", "True")), float("nan"))


def _objective(text: bytes) -> str:
    for line in text[:4_000].splitlines():
        if line.startswith(b"objective="):
            return line.removeprefix(b"objective=").split()[0].decode()
    return "none"


def _checked_task(task: str) -> str:
    if task not in TASKS:
        raise Invalid(f"{task!r} is not a task", field="task", next_step=f"use {' or '.join(TASKS)}")
    return task


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
