"""XGBoost boosters in XGBoost's own formats (`model.ubj`, `model.json`): checked tree by tree, then loaded."""

import json
import math
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.extras import require
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
    named,
    nameless,
    values_of,
)
from homeostat.registry.formats.ubjson import read_document

_PROBABILITIES = {"binary:logistic", "binary:hinge", "reg:logistic"}
_CLASSES = {"multi:softprob", "multi:softmax"}
_VALUES = ("reg:", "count:", "rank:", "survival:aft", "survival:cox")
_MENDS = {
    BINARY: "train with objective 'binary:logistic'",
    MULTICLASS: "train with objective 'multi:softprob'",
    REGRESSION: "train with a regression objective, as reg:...",
}
_AGAIN = "package the model again"


def dump(model: Any) -> bytes:
    """The UBJSON of a Booster or a scikit-learn wrapper.

    Raises:
        Refused: when its answers would be others here: another mark for missing values.
    """
    missing = getattr(model, "missing", None)
    if missing is not None and not math.isnan(missing):
        raise cannot(model, f"takes {missing!r} for a missing value", "train with missing=nan, which is what is served")
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    return bytes(booster.save_raw(raw_format="ubj"))


def check(document: dict[str, Any]) -> None:
    """See that every tree of a model is a tree inside its arrays.

    Raises:
        Corrupt: when the parts of a model are not there, or a node points outside or backwards.
    """
    try:
        learner = document["learner"]
        columns = int(learner["learner_model_param"]["num_feature"])
        booster = learner["gradient_booster"]
        sound = all(_is_sound(tree, columns) for tree in _trees(booster))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise Corrupt("the XGBoost file is not that of a model", next_step=_AGAIN) from error
    if not sound:
        raise Corrupt("a tree of the XGBoost model points outside its arrays", next_step=_AGAIN)


class XgboostScorer:
    """A booster on one thread; from many rows on, a copy that takes all of them."""

    def __init__(self, data: bytes, asked: Asked) -> None:
        xgboost = require("xgboost", extra="xgboost")
        check(read_document(data))
        self._wide: Any = None
        try:
            self._booster = xgboost.Booster({"nthread": 1})
            self._booster.load_model(bytearray(data))
            learner = json.loads(self._booster.save_config())["learner"]
            objective = str(learner["objective"]["name"])
            count = int(learner["learner_model_param"]["num_class"])
        except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
            raise Corrupt(f"the XGBoost file cannot be read: {error!s:.200}", next_step=_AGAIN) from error
        self.facts = _facts(self._booster, objective, count)
        if (asked.task and asked.task != self.facts.task) or not self.facts.task:
            mend = _MENDS[asked.task or REGRESSION]
            raise cannot(self._booster, f"has objective {objective!r}", mend)
        check_classes(self.facts.classes, asked)
        self._asked = asked
        self._says_margins = objective == "multi:softmax"
        best = self._booster.attr("best_iteration")
        self._range = (0, int(best) + 1) if best is not None and best.isdecimal() else (0, 0)

    def score(self, matrix: Matrix) -> Matrix:
        rows, several = len(matrix), self.facts.task == MULTICLASS
        if not rows:
            return np.empty((0, len(self.facts.classes)) if several else 0)
        booster = self._booster if rows < ONE_THREAD_BELOW else self._all_threads()
        if matrix.shape[1] != booster.num_features():
            raise cannot(booster, f"takes {booster.num_features()} columns", "give it those it was trained on")
        wanted = "margin" if self._says_margins else "value"
        answer = booster.inplace_predict(
            matrix, iteration_range=self._range, predict_type=wanted, validate_features=False
        )
        if self._says_margins:
            answer = _softmax(answer)
        return np.ascontiguousarray(answer, np.float64) if several else values_of(answer, rows, self._asked)

    def _all_threads(self) -> Any:
        if self._wide is None:
            wide = self._booster.copy()
            wide.set_param({"nthread": 0})
            self._wide = wide
        return self._wide


def _facts(booster: Any, objective: str, count: int) -> Facts:
    names = booster.feature_names
    columns = named(names) if names else nameless(booster.num_features())
    if objective in _CLASSES:
        return Facts(task=MULTICLASS, columns=columns, classes=tuple(str(number) for number in range(count)))
    if objective in _PROBABILITIES:
        return Facts(task=BINARY, columns=columns, classes=("0", "1"))
    return Facts(task=REGRESSION if objective.startswith(_VALUES) else "", columns=columns)


def _softmax(margins: Any) -> Any:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _trees(booster: dict[str, Any]) -> list[dict[str, Any]]:
    kind = booster.get("name", "gbtree")
    if kind == "gblinear":
        raise Refused(
            "XGBoost's linear booster cannot be served",
            field="model",
            next_step="train with booster gbtree, or a linear model of scikit-learn",
        )
    held = booster["gbtree"] if kind == "dart" else booster
    return list(held["model"]["trees"])


def _is_sound(tree: dict[str, Any], columns: int) -> bool:
    left, right = (np.asarray(tree[side], np.int64) for side in ("left_children", "right_children"))
    used = np.asarray(tree["split_indices"], np.int64)
    count = int(tree["tree_param"]["num_nodes"])
    lengths = {len(tree[name]) for name in ("split_conditions", "default_left", "split_type")}
    if not count or {len(left), len(right), len(used), *lengths} != {count}:
        return False
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    return (
        bool(np.all((children > 0) & (children < count)))
        and len(set(children.tolist())) == len(children)  # each has one parent, and none is the root: no circle
        and bool(np.all((used[inner] >= 0) & (used[inner] < columns)))
        and _categories_are_sound(tree, count)
    )


def _categories_are_sound(tree: dict[str, Any], count: int) -> bool:
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    nodes, segments, sizes = (np.asarray(tree[name], np.int64) for name in names)
    categories = np.asarray(tree["categories"], np.int64)
    if not len(nodes) == len(segments) == len(sizes):
        return False
    within = (nodes >= 0) & (nodes < count) & (segments >= 0) & (sizes > 0) & (segments + sizes <= len(categories))
    return bool(np.all(within)) and bool(np.all((categories >= 0) & (categories < 1 << 24)))
