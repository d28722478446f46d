"""XGBoost's trees, read from its own JSON."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from homeostat.serving.compiling.artifact import Link
from homeostat.serving.compiling.forest import Forest, Tree, below_in_single, check_size, from_nodes
from homeostat.serving.compiling.refused import CannotCompile


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _same(value: float) -> float:
    return value


_OBJECTIVES: dict[str, tuple[Link, Callable[[float], float]]] = {
    "binary:logistic": ("sigmoid", _logit),
    "reg:logistic": ("sigmoid", _logit),
    "count:poisson": ("exp", math.log),
    "reg:gamma": ("exp", math.log),
    "reg:tweedie": ("exp", math.log),
    "survival:aft": ("exp", math.log),
    "survival:cox": ("exp", math.log),
    "multi:softprob": ("softmax", _same),
    "multi:softmax": ("softmax", _same),  # it is served with its probabilities, too
    "reg:squarederror": ("identity", _same),
    "reg:absoluteerror": ("identity", _same),
    "reg:pseudohubererror": ("identity", _same),
    "reg:squaredlogerror": ("identity", _same),
    "reg:quantileerror": ("identity", _same),
}


def xgboost_forest(booster: Any) -> Forest:
    """The forest of a Booster, up to its best iteration.

    Raises:
        CannotCompile: for linear boosters, categories, vector leaves and objectives of unknown links.
    """
    learner = msgspec.json.decode(bytes(booster.save_raw("json")))["learner"]
    link, to_margin = _objective(learner)
    held = learner["gradient_booster"]
    weights = [float(value) for value in held.get("weight_drop", [])]
    model = (held["gbtree"] if held["name"] == "dart" else held).get("model")
    if model is None:
        raise CannotCompile("it is a linear booster")
    trees = model["trees"][: _used(booster, model)]
    check_size(sum(int(tree["tree_param"]["num_nodes"]) for tree in trees))
    target = [int(place) for place in model["tree_info"][: len(trees)]]
    sums = max(int(learner["learner_model_param"]["num_class"]), 1)
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise CannotCompile("it has several outputs")
    return Forest(
        trees=[_tree(tree, weights[place] if weights else 1.0) for place, tree in enumerate(trees)],
        target=target,
        bias=[to_margin(value) for value in _base(learner, sums)],
        link=link,
    )


def _objective(learner: dict[str, Any]) -> tuple[Link, Callable[[float], float]]:
    name = learner["objective"]["name"]
    if name not in _OBJECTIVES:
        raise CannotCompile(f"what its objective {name!r} makes of the sums is not known here")
    return _OBJECTIVES[name]


def _used(booster: Any, model: dict[str, Any]) -> int:
    best = booster.attr("best_iteration")
    if best is None or not best.isdecimal():
        return len(model["trees"])
    return int(model["iteration_indptr"][int(best) + 1])


def _base(learner: dict[str, Any], sums: int) -> list[float]:
    text = str(learner["learner_model_param"]["base_score"])
    values = [float(np.float32(part)) for part in text.strip("[]").split(",")]
    return values * sums if len(values) == 1 else values


def _tree(tree: dict[str, Any], weight: float) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise CannotCompile("its leaves are vectors")
    if any(tree.get("split_type", ())):
        raise CannotCompile("it splits on categories in XGBoost's own way")
    left = np.array(tree["left_children"], np.int64)
    conditions = np.array(tree["split_conditions"], np.float32)  # a leaf's value stands there, too
    return from_nodes(
        left == -1,
        tree["split_indices"],
        below_in_single(conditions),
        np.array(tree["default_left"]) != 0,
        left,
        tree["right_children"],
        conditions.astype(np.float64) * weight,
    )
