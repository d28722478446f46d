"""Scorers: a stored package, verified and loaded, ready to answer rows."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Corrupt, Invalid, Refused
from homeostat.ground.extras import require
from homeostat.ground.ports import Scorer
from homeostat.registry import safe_sklearn
from homeostat.registry.types import PackageFile
from homeostat.store.blobs import BlobStore

Matrix = NDArray[np.float64]

FILES = {"sklearn-skops": "model.skops", "lightgbm": "model.txt", "onnx": "model.onnx"}
"""Flavor to the one file it holds."""
TASKS = ("binary", "regression")

ONE_THREAD_BELOW = 10_000
"""Rows. Below, one thread: HGB takes 0.39 ms for a row on one thread and 0.68 ms on two. From 1,000 rows two idle cores
are up to 1.6x faster, but on two busy ones the threads wait for each other (18 ms instead of 2.8 ms)."""

_BINARY_OBJECTIVES = {"binary", "cross_entropy"}
_CLASS_OBJECTIVES = _BINARY_OBJECTIVES | {"multiclass", "multiclassova", "cross_entropy_lambda"}


def load_scorer(blobs: BlobStore, flavor: str, manifest: Mapping[str, PackageFile], task: str) -> Scorer:
    """Read a stored package (every byte verified against its digest) and make it ready.

    `score(matrix)`: float64 rows x columns in, one float64 a row out: the probability of the positive class (True or
    1) for 'binary', the value for 'regression'.

    Raises:
        Corrupt: when a stored byte was changed or a file is missing from the manifest.
        Refused: when the flavor is not supported, a type in it is not allowed, or it cannot answer the task.
    """
    name = _file_of(flavor)
    if name not in manifest:
        raise Corrupt(f"the package has no file {name}", next_step="package the model again")
    return scorer_of(flavor, blobs.get(manifest[name].digest), task)


def scorer_of(flavor: str, data: bytes, task: str) -> Scorer:
    """The scorer of a package's one file."""
    _file_of(flavor)
    if task not in TASKS:
        raise Invalid(f"{task!r} is not a task", field="task", next_step=f"use {' or '.join(TASKS)}")
    if flavor == "sklearn-skops":
        return SklearnScorer(safe_sklearn.load(data), task)
    if flavor == "lightgbm":
        return LightgbmScorer(data, task)
    return OnnxScorer(data, task)


def positive_column(classes: Sequence[Any]) -> int | None:
    """Where True (or 1) stands among the classes of a classifier; None when it knows only False.

    Raises:
        Refused: when the classes are not False and True.
    """
    try:
        known = [bool(label) if label in (0, 1) else None for label in classes]
    except (TypeError, ValueError):
        known = [None]
    if known and None not in known and len(set(known)) == len(known):
        return known.index(True) if True in known else None
    raise Refused(
        f"the model's classes are {[str(label) for label in classes][:5]}, not False and True",
        field="model",
        next_step="train on the label as it is given: True for the positive class",
    )


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
                raise _cannot(model, "has no predict_proba", "use a classifier, or wrap it in CalibratedClassifierCV")
            self._column = positive_column(list(model.classes_))
        elif not hasattr(model, "predict") or hasattr(model, "classes_"):
            raise _cannot(model, "does not predict numbers", "use a regressor for a regression task")

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty(0)
        with self._threads(len(matrix)):
            if not self._binary:
                return _column_of(self._model.predict(matrix))
            table = self._model.predict_proba(matrix)
        return np.zeros(len(matrix)) if self._column is None else _column_of(table[:, self._column])

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
            raise _cannot(self._booster, f"has objective {objective!r}", "train with objective 'binary'")
        if task == "regression" and objective in _CLASS_OBJECTIVES:
            raise _cannot(self._booster, f"has objective {objective!r}", "train with a regression objective")

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty(0)
        threads = {"num_threads": 1} if len(matrix) < ONE_THREAD_BELOW else {}
        return _column_of(self._booster.predict(matrix, **threads))


class OnnxScorer:
    """An ONNX model in ONNX Runtime, one thread a request."""

    def __init__(self, data: bytes, task: str) -> None:
        onnxruntime = require("onnxruntime", extra="onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
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
        return _column_of(table[:, -1] if self._binary else table)


def _of_positive(row: Mapping[Any, float]) -> float:
    return next((value for label, value in row.items() if label in (1, "1", "True")), float("nan"))


def _column_of(answer: Any) -> Matrix:
    values = np.asarray(answer, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise Refused(f"the model gives {values.shape[1]} values a row", field="model", next_step="train for one label")
    return np.ascontiguousarray(values)


def _objective(text: bytes) -> str:
    for line in text[:4_000].splitlines():
        if line.startswith(b"objective="):
            return line.removeprefix(b"objective=").split()[0].decode()
    return "none"


def _file_of(flavor: str) -> str:
    if flavor in FILES:
        return FILES[flavor]
    raise Refused(
        f"models of flavor {flavor!r} cannot be served",
        field="flavor",
        next_step=f"package it as one of {', '.join(FILES)}; pickle is never used",
    )


def _cannot(model: Any, what: str, mend: str) -> Refused:
    return Refused(f"the model ({type(model).__name__}) {what}", field="model", next_step=mend)
