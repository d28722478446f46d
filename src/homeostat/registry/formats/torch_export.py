"""Programs of `torch.export` (`model.pt2`): a graph of operators and its weights, run by PyTorch in the worker."""

import io
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, MissingExtra
from homeostat.ground.extras import require
from homeostat.registry.formats.answers import BINARY, MULTICLASS, REGRESSION, Asked, Facts, Matrix, cannot, values_of
from homeostat.registry.formats.zips import check_zip


def dump(program: Any) -> bytes:
    """The archive of an exported program."""
    target = io.BytesIO()
    _torch().export.save(program, target)
    return target.getvalue()


class TorchScorer:
    """An exported program that takes float32 rows and gives one value, or a column a class, for each."""

    def __init__(self, data: bytes, asked: Asked) -> None:
        check_zip(data, what="torch.export file")
        self._torch = _torch()
        try:
            self._module = self._torch.export.load(io.BytesIO(data)).module()
        except Exception as error:  # PyTorch has many, all meaning this
            raise Corrupt(
                f"the torch.export file cannot be read: {error!s:.200}", next_step="package the model again"
            ) from error
        self._asked = asked
        self._task = asked.task or REGRESSION
        self.facts = Facts(task=REGRESSION)  # a program does not say whether its numbers are probabilities

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty((0, len(self._asked.classes)) if self._task == MULTICLASS else 0)
        with self._torch.no_grad():
            answer = self._module(self._torch.from_numpy(matrix.astype(np.float32))).numpy()
        table = answer.reshape(len(matrix), -1)
        if self._task != REGRESSION and (table.min() < 0 or table.max() > 1):
            raise cannot(self._module, "does not answer with probabilities", "end the program in a sigmoid or softmax")
        if self._task == MULTICLASS:
            return np.ascontiguousarray(table, np.float64)
        return values_of(table[:, -1] if self._task == BINARY else table, len(table), self._asked)


def _torch() -> Any:
    try:
        return require("torch", extra="torch")
    except MissingExtra as error:
        raise MissingExtra(
            "torch is not installed", next_step="install PyTorch beside Homeostat: pip install torch"
        ) from error
