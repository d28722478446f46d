"""scikit-learn estimators and pipelines, and whatever else predicts as they do."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from homeostat.ground.extras import require
from homeostat.registry import safe_sklearn
from homeostat.registry.formats.answers import (
    BINARY,
    MULTICLASS,
    ONE_THREAD_BELOW,
    REGRESSION,
    Asked,
    Facts,
    Matrix,
    cannot,
    check_classes,
    check_task,
    class_name,
    positive_column,
    values_of,
)
from homeostat.registry.formats.sklearn_columns import columns_of, last_step, takes_lines

_NO_PROBABILITIES = "use a classifier, or wrap it in CalibratedClassifierCV"


class SklearnScorer:
    """An estimator or a pipeline."""

    def __init__(self, model: Any, asked: Asked) -> None:
        # scikit-learn says this once a call from threads it did not start; no setting of ours has to travel there.
        warnings.filterwarnings("ignore", message=r"`sklearn\.utils\.parallel\.delayed`", category=UserWarning)
        self.facts = _facts(model)
        self._asked = asked
        self._task = asked.task or self.facts.task
        self._column = _checked_column(model, asked, self.facts, self._task)
        columns = asked.columns or self.facts.columns or ()
        self._texts = [place for place, column in enumerate(columns) if column.kind == "text"]
        self._lines = takes_lines(model)
        self._model = safe_sklearn.settle(model)
        self._openmp = require("threadpoolctl", extra="sklearn").ThreadpoolController().select(user_api="openmp")

    def score(self, matrix: Matrix) -> Matrix:
        rows = len(matrix)
        if not rows:
            return np.empty((0, len(self.facts.classes)) if self._task == MULTICLASS else 0)
        with self._threads(rows):
            taken = self._decoded(matrix) if self._texts else matrix
            if self._task == REGRESSION:
                return self._values(taken, rows)
            table = self._probabilities(taken)
        if self._task == MULTICLASS:
            return np.ascontiguousarray(table, dtype=np.float64)
        return np.zeros(rows) if self._column is None else np.ascontiguousarray(table[:, self._column], np.float64)

    def _values(self, taken: Any, rows: int) -> Matrix:
        if not self.facts.classes and hasattr(last_step(self._model), "classes_"):
            answer = self._model.predict_proba(taken)
            if isinstance(answer, list):  # one table for each of several labels
                answer = np.stack([table[:, 1] for table in answer], axis=1)
        else:
            answer = self._model.predict(taken)
        return values_of(answer, rows, self._asked)

    def _probabilities(self, taken: Any) -> Any:
        if hasattr(self._model, "predict_proba"):
            return self._model.predict_proba(taken)
        # All it says is which class: that one is certain.
        said = np.asarray(self._model.predict(taken)).reshape(-1, 1)
        return (said == np.asarray(self._model.classes_)).astype(np.float64)

    def _decoded(self, matrix: Matrix) -> Any:
        """Texts in the place of their codes; missing ones are NaN, as in a data frame."""
        text_of = self._asked.text_of or (lambda _code: None)
        table = matrix.astype(object)
        for place in self._texts:
            found = [None if code != code else text_of(code) for code in matrix[:, place].tolist()]  # noqa: PLR0124  NaN
            table[:, place] = [np.nan if text is None else text for text in found]
        return ["" if text != text else text for text in table[:, 0]] if self._lines else table  # noqa: PLR0124  NaN

    def _threads(self, rows: int) -> AbstractContextManager[Any]:
        return self._openmp.limit(limits=1) if rows < ONE_THREAD_BELOW else nullcontext()


def _facts(model: Any) -> Facts:
    columns = columns_of(model)
    classes = getattr(model, "classes_", None)
    if classes is None or _has_several_labels(model):
        return Facts(task=REGRESSION, columns=columns)
    names = tuple(class_name(label) for label in classes)
    return Facts(task=BINARY if len(names) <= 2 else MULTICLASS, columns=columns, classes=names)


def _has_several_labels(model: Any) -> bool:
    """Whether a classifier says yes or no to each of several labels."""
    last = last_step(model)
    return isinstance(last.classes_, list) or bool(getattr(last, "multilabel_", False))


def _checked_column(model: Any, asked: Asked, facts: Facts, task: str) -> int | None:
    """The column of the probabilities that is the score of a binary task."""
    if task == REGRESSION:
        if not hasattr(model, "predict") or facts.classes:
            raise cannot(model, "does not predict numbers", "use a regressor for a regression task")
        return None
    is_declared = asked.task == BINARY and not asked.classes
    if not hasattr(model, "predict_proba") and (is_declared or not hasattr(model, "classes_")):
        raise cannot(model, "has no predict_proba", _NO_PROBABILITIES)
    if is_declared:
        return positive_column(list(model.classes_))
    check_task(task, facts.task, model, "train for that task")
    check_classes(facts.classes, asked)
    if len(facts.classes) < 2:
        raise cannot(model, f"knows one class alone, {', '.join(facts.classes)}", "train on labels of both classes")
    return 1
