"""Compiled scorers at work: NumPy, ONNX Runtime or treelite, and nothing of the library the model was trained with."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, Invalid
from homeostat.ground.extras import require
from homeostat.ground.ports import Scorer
from homeostat.serving.compiling.artifact import Artifact, LinearForm, Matrix, OnnxForm, TreeliteForm, unpack
from homeostat.serving.compiling.refusing import Refusing
from homeostat.serving.compiling.tolerance import differing

_AGAIN = "homeostat model compile NAME@VERSION --force"


def scorer_of(artifact: Artifact) -> Scorer:
    """The scorer of an artifact, ready to answer.

    Raises:
        Corrupt: when its numbers do not fit together, or its graph cannot be read.
        MissingExtra: when the library that runs it is not installed.
    """
    form = artifact.form
    if isinstance(form, LinearForm):
        return LinearScorer(artifact, form)
    if isinstance(form, OnnxForm):
        return OnnxScorer(artifact, form)
    return TreeliteScorer(artifact, form)


def proven_scorer(artifact: Artifact) -> Scorer:
    """`scorer_of`, asked once for what the original answered when it was compiled.

    Raises:
        Corrupt: when it answers otherwise here.
    """
    scorer = scorer_of(artifact)
    rows = unpack(artifact.rows, -1, artifact.columns)
    shape = (len(rows), artifact.outputs) if artifact.outputs else (len(rows),)
    wanted = unpack(artifact.answers, *shape)
    found = np.asarray(scorer.score(rows))
    if found.shape != shape or differing(wanted, found, artifact.tolerance).any():
        made = ", ".join(f"{name} {version}" for name, version in artifact.made_with.items())
        raise Corrupt(
            f"the compiled scorer ({artifact.kind}) answers otherwise here than where it was made ({made})",
            next_step=_AGAIN,
        )
    return scorer


class LinearScorer:
    """One product and a link; a row costs two or three microseconds, one with missing values twice that."""

    def __init__(self, artifact: Artifact, form: LinearForm) -> None:
        outputs = max(artifact.outputs, 1)
        self._columns = artifact.columns
        weights = unpack(form.weights, artifact.columns, outputs)
        gaps = unpack(form.gaps, artifact.columns, outputs)
        bias = unpack(form.bias, outputs)
        # A vector's product gives a vector, as the original does.
        self._weights = weights if artifact.outputs else np.ascontiguousarray(weights[:, 0])
        self._gaps = gaps if artifact.outputs else np.ascontiguousarray(gaps[:, 0])
        self._bias: Any = bias if artifact.outputs else float(bias[0])
        shift = unpack(form.shift, artifact.columns)
        self._shift = shift if shift.any() else None
        self._fill = None if artifact.outputs else _fill(self._weights, self._gaps)
        self._unused = (weights == 0).all(axis=1) & (gaps == 0).all(axis=1)
        self._link = LINKS[form.link]
        self._refusing = Refusing(artifact.refusals, artifact.columns)

    def score(self, matrix: Matrix) -> Matrix:
        if matrix.shape[1] != self._columns:
            raise _wrong_width(self._columns, matrix)
        rows = matrix if self._shift is None else matrix - self._shift
        sums = rows.dot(self._weights)  # not silenced by np.errstate, which would cost as much again
        sums += self._bias
        # What is not finite in a row is not finite in its sum: asking the few sums is cheaper than the many values.
        if not np.vdot(sums, sums) < math.inf:
            sums = self._with_gaps(matrix, rows)
        return self._link(sums)

    def _with_gaps(self, matrix: Matrix, rows: Matrix) -> Matrix:
        missing = np.isnan(rows)
        self._refusing.look_at_missing(missing)
        if not np.vdot(rows := np.where(missing, 0.0, rows), rows) < math.inf:
            self._refusing.look(matrix)
            missing |= self._unused  # what the original never looks at may be infinite
        sums = self._filled(rows, missing)
        sums += self._bias
        return sums

    def _filled(self, rows: Matrix, missing: Any) -> Matrix:
        if self._fill is not None:
            return np.asarray(np.where(missing, self._fill, rows).dot(self._weights))
        known = np.where(missing, 0.0, rows).dot(self._weights)
        return np.asarray(known + missing.astype(np.float64).dot(self._gaps))


def _fill(weights: Matrix, gaps: Matrix) -> Matrix | None:
    """The value that stands for a missing one, if there is one in each column: then one product does it all."""
    if ((weights == 0) & (gaps != 0)).any():
        return None
    return np.asarray(np.divide(gaps, weights, out=np.zeros_like(gaps), where=weights != 0))


class OnnxScorer:
    """A graph in ONNX Runtime, on the thread that asks; no arena, which would hold on to the largest batch's memory."""

    def __init__(self, artifact: Artifact, form: OnnxForm) -> None:
        onnxruntime = require("onnxruntime", extra="onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # what is wrong is in the error; the log would say it in C++
        try:
            session = onnxruntime.InferenceSession(form.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own, all meaning this
            raise Corrupt(f"ONNX Runtime cannot read the compiled scorer: {error!s:.200}", next_step=_AGAIN) from error
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._wanted = [session.get_outputs()[-1].name]
        self._cast = _single if form.single else _double
        self._place = form.place
        self._columns, self._outputs = artifact.columns, artifact.outputs
        self._refusing = Refusing(artifact.refusals, artifact.columns)

    def score(self, matrix: Matrix) -> Matrix:
        if matrix.shape[1] != self._columns:
            raise _wrong_width(self._columns, matrix)
        if not len(matrix):
            return _nothing(self._outputs)
        self._refusing.check(matrix)
        (answer,) = self._run(self._wanted, {self._input: self._cast(matrix)})
        return _shaped(answer, self._place, self._outputs)


class TreeliteScorer:
    """An ensemble in treelite's own walker, in the precision it was trained in."""

    def __init__(self, artifact: Artifact, form: TreeliteForm) -> None:
        treelite = require("treelite", extra="compile")
        self._predict = require("treelite.gtil", extra="compile").predict
        try:
            self._model = treelite.Model.deserialize_bytes(form.model)
        except Exception as error:  # TreeliteError derives from Exception alone
            raise Corrupt(f"treelite cannot read the compiled scorer: {error!s:.200}", next_step=_AGAIN) from error
        self._cast = _single if form.single else _double
        self._place = form.place
        self._columns, self._outputs = artifact.columns, artifact.outputs
        self._refusing = Refusing(artifact.refusals, artifact.columns)

    def score(self, matrix: Matrix) -> Matrix:
        if matrix.shape[1] != self._columns:
            raise _wrong_width(self._columns, matrix)
        if not len(matrix):
            return _nothing(self._outputs)
        self._refusing.check(matrix)
        answer = self._predict(self._model, self._cast(matrix), nthread=1)
        return _shaped(answer.reshape(len(matrix), -1), self._place, self._outputs)


def _double(matrix: Matrix) -> Any:
    return np.ascontiguousarray(matrix, np.float64)


def _single(matrix: Matrix) -> Any:
    with np.errstate(over="ignore"):  # infinite, then, as in the original
        return np.ascontiguousarray(matrix, np.float32)


def _shaped(answer: Any, place: int | None, outputs: int) -> Matrix:
    if place is not None:
        answer = answer[:, place]
    elif not outputs:
        answer = answer.reshape(-1)
    return np.ascontiguousarray(answer, np.float64)


def _nothing(outputs: int) -> Matrix:
    return np.empty((0, outputs) if outputs else 0)


def _wrong_width(columns: int, matrix: Matrix) -> Invalid:
    return Invalid(
        f"the model takes {columns} columns, the matrix has {matrix.shape[1]}",
        field="matrix",
        next_step="give it those it was trained on",
    )


def _sigmoid(sums: Matrix) -> Matrix:
    if sums.shape == (1,):
        return np.array([1.0 / (1.0 + math.exp(min(-sums.item(), 709.0)))])
    return 1.0 / (1.0 + np.exp(np.minimum(-sums, 709.0)))  # beyond, exp overflows and warns; 1e-308 is 0 to anybody


def _exp(sums: Matrix) -> Matrix:
    with np.errstate(over="ignore"):
        return np.exp(sums)


def _softmax(sums: Matrix) -> Matrix:
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _share(sums: Matrix) -> Matrix:
    each = _sigmoid(sums)
    return np.asarray(each / each.sum(axis=1, keepdims=True))


LINKS: dict[str, Callable[[Matrix], Matrix]] = {
    "identity": lambda sums: sums,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "softmax": _softmax,
    "share": _share,
}
