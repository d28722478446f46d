"""ONNX models in ONNX Runtime, one thread a request."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.extras import require
from homeostat.ground.records import FeatureColumn
from homeostat.registry.formats.answers import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    Asked,
    Facts,
    Matrix,
    cannot,
    check_classes,
    class_name,
    values_of,
)
from homeostat.registry.formats.onnx_graph import read_graph

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_TEXT = "tensor(string)"
_LABELS = ("tensor(int64)", "tensor(string)")
_AGAIN = "package the model again, as one file without external data"


class OnnxScorer:
    """A model that takes rows, as one table or as a tensor for each column, and gives numbers for each."""

    def __init__(self, data: bytes, asked: Asked) -> None:
        onnxruntime = require("onnxruntime", extra="onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong with a file is in the error; the log would say it in C++
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own, all meaning this
            raise Corrupt(f"this is no model that ONNX Runtime can read: {error!s:.200}", next_step=_AGAIN) from error
        self._inputs = self._session.get_inputs()
        self._outputs = _answering(self._session.get_outputs())
        self._asked = asked
        self.facts = self._facts(data)
        self._task = asked.task or self.facts.task
        if self._task != REGRESSION and self.facts.classes:
            check_classes(self.facts.classes, asked)
        self._is_single = _first_dimension(self._inputs) == 1

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            count = len(self._asked.classes or self.facts.classes)
            return np.empty((0, count) if self._task == MULTICLASS else 0)
        if self._is_single and len(matrix) > 1:  # exported for one row at a time
            return np.concatenate([self._answer(matrix[row : row + 1]) for row in range(len(matrix))])
        return self._answer(matrix)

    def _answer(self, matrix: Matrix) -> Matrix:
        answers = self._session.run(self._outputs, dict(self._taken(matrix)))
        if isinstance(answers[-1], list):  # skl2onnx's ZipMap: one {class: probability} a row
            table = _from_maps(answers[-1])
        else:
            table = np.concatenate([np.asarray(one, np.float64).reshape(len(matrix), -1) for one in answers], axis=1)
        if self._task == BINARY:
            return np.ascontiguousarray(table[:, -1])
        if self._task == MULTICLASS:
            return table
        return values_of(table, len(matrix), self._asked)

    def _taken(self, matrix: Matrix) -> Iterator[tuple[str, Any]]:
        """The tensors a run takes, by name, each with its share of the columns."""
        at = 0
        for taken in self._inputs:
            width = matrix.shape[1] if len(self._inputs) == 1 else _width(taken) or 1
            part = matrix[:, at : at + width]
            at += width
            shape = (len(matrix),) if len(taken.shape) == 1 else part.shape
            yield taken.name, self._typed(part, taken).reshape(shape)

    def _typed(self, part: Matrix, taken: Any) -> Any:
        if taken.type == _TEXT:
            text_of = self._asked.text_of or (lambda _code: None)
            return np.array([text_of(code) or "" for code in part.ravel().tolist()], dtype=object)
        kind = _DTYPES[taken.type]
        if not np.issubdtype(kind, np.floating) and np.isnan(part).any():
            raise cannot(self, f"takes no missing values in {taken.name}", "send a number for every row")
        return np.ascontiguousarray(part, kind)

    def _facts(self, data: bytes) -> Facts:
        columns = _columns(self._inputs)
        given = self._session.get_outputs()
        if len(self._outputs) == 1 and len(given) > 1:
            classes = tuple(map(class_name, read_graph(data).classes)) or _counted(given[-1])
            return Facts(task=BINARY if len(classes) == 2 else MULTICLASS, columns=columns, classes=classes)
        made_by = read_graph(data).operators.get(given[0].name, "") if len(given) == 1 else ""
        classes = _counted(given[0])
        if made_by == "Softmax" and len(classes) > 1:
            return Facts(task=BINARY if len(classes) == 2 else MULTICLASS, columns=columns, classes=classes)
        if made_by == "Sigmoid" and len(classes) == 1:
            return Facts(task=BINARY, columns=columns, classes=("0", "1"))
        return Facts(task=REGRESSION, columns=columns)


def _answering(outputs: list[Any]) -> list[str]:
    """The outputs that hold the answer: a classifier gives (label, probabilities), of which the last says more."""
    if len(outputs) > 1 and (outputs[0].type in _LABELS or "map(" in outputs[-1].type):
        return [outputs[-1].name]
    return [output.name for output in outputs]


def _columns(inputs: list[Any]) -> tuple[FeatureColumn, ...] | None:
    columns: list[FeatureColumn] = []
    for taken in inputs:
        if len(taken.shape) not in {1, 2} or taken.type not in {*_DTYPES, _TEXT}:
            raise Refused(
                f"the model's input {taken.name} is a {taken.type} of shape {taken.shape}",
                field="model",
                next_step="export a model that takes rows x columns of numbers or strings",
            )
        width = _width(taken)
        if width is None and len(inputs) == 1:
            return None
        names = [""] * (width or 1)
        if len(inputs) > 1:
            names = [taken.name] if width == 1 else [f"{taken.name}_{place}" for place in range(width or 1)]
        kind = "text" if taken.type == _TEXT else "number"
        columns += [FeatureColumn(name=name, kind=kind) for name in names]
    return tuple(columns)


def _width(taken: Any) -> int | None:
    """How many columns a tensor holds; None when it does not say."""
    if len(taken.shape) == 1:
        return 1
    return taken.shape[1] if isinstance(taken.shape[1], int) else None


def _first_dimension(inputs: list[Any]) -> Any:
    return inputs[0].shape[0] if inputs and inputs[0].shape else None


def _counted(output: Any) -> tuple[str, ...]:
    """Classes 0, 1, ... as many as an output has columns; none when it does not say."""
    shape = getattr(output, "shape", None) or []
    count = shape[-1] if len(shape) == 2 and isinstance(shape[-1], int) else 0
    return tuple(str(number) for number in range(count))


def _from_maps(rows: list[Mapping[Any, float]]) -> Matrix:
    labels = list(rows[0])
    return np.array([[row[label] for label in labels] for row in rows], dtype=np.float64)
