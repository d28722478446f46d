"""scikit-learn's trees: single ones, forests, gradient boosting, histogram gradient boosting."""

from typing import Any

import numpy as np

from homeostat.serving.compiling.artifact import Link, Matrix
from homeostat.serving.compiling.forest import (
    Forest,
    Tree,
    at_most_in_single,
    check_size,
    from_nodes,
)
from homeostat.serving.compiling.models import positive_place
from homeostat.serving.compiling.refused import CannotCompile

_LINKS: dict[str, tuple[Link, float]] = {
    "IdentityLink": ("identity", 1.0),
    "LogLink": ("exp", 1.0),
    "LogitLink": ("sigmoid", 1.0),
    "HalfLogitLink": ("sigmoid", 2.0),
    "MultinomialLogit": ("softmax", 1.0),
}
_SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
_AVERAGED = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


def sklearn_forest(model: Any, task: str) -> Forest:
    """The forest of a fitted estimator.

    Raises:
        CannotCompile: when it is none of scikit-learn's trees, or answers what this shape does not hold.
    """
    name = type(model).__name__
    if name in _SINGLE:
        return _averaged([model], model, task)
    if name in _AVERAGED:
        return _averaged(list(model.estimators_), model, task)
    if name in _BOOSTED:
        return _boosted(model)
    if name in _HISTOGRAM:
        return _histogram(model)
    raise CannotCompile(f"{name} is no ensemble of trees")


def _averaged(trees: list[Any], model: Any, task: str) -> Forest:
    """Leaves hold a share for each class, or a value for each output; a tree is written once for each of them."""
    places = [(0, positive_place(model))] if task == "binary" else _places(model)
    check_size(len(places) * sum(tree.tree_.node_count for tree in trees))
    read, target = [], []
    for one in trees:
        for sum_, (output, place) in enumerate(places):
            read.append(_tree(one.tree_, one.tree_.value[:, output, place] / len(trees)))
            target.append(sum_)
    return Forest(trees=read, target=target, bias=[0.0] * len(places))


def _places(model: Any) -> list[tuple[int, int]]:
    if not hasattr(model, "classes_"):
        return [(output, 0) for output in range(model.n_outputs_)]
    if model.n_outputs_ != 1:
        raise CannotCompile("it knows classes of several outputs")
    return [(0, place) for place in range(len(model.classes_))]


def _boosted(model: Any) -> Forest:
    check_size(sum(tree.tree_.node_count for tree in model.estimators_.ravel()))
    sums = model.estimators_.shape[1]
    read, target = [], []
    for stage in model.estimators_:
        for place, one in enumerate(stage):
            read.append(_tree(one.tree_, one.tree_.value[:, 0, 0] * model.learning_rate))
            target.append(place)
    link, slope = _link(model)
    return Forest(trees=read, target=target, bias=_start(model, sums), link=link, slope=slope)


def _start(model: Any, sums: int) -> list[float]:
    """Where boosting begins; `init` may be any estimator, of which only constant ones are numbers."""
    if isinstance(model.init_, str):  # 'zero'
        return [0.0] * sums
    if type(model.init_).__name__ not in {"DummyClassifier", "DummyRegressor"}:
        raise CannotCompile(f"boosting begins with a {type(model.init_).__name__}")
    begun = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_))))  # noqa: SLF001  it has no other name
    return [float(value) for value in begun[0]]


def _histogram(model: Any) -> Forest:
    stages = model._predictors  # noqa: SLF001  scikit-learn's own exporters read it, too
    check_size(sum(len(one.nodes) for stage in stages for one in stage))
    source, values = _columns(model)
    read, target = [], []
    for stage in stages:
        for place, one in enumerate(stage):
            read.append(_histogram_tree(one, source, values))
            target.append(place)
    link, slope = _link(model)
    bias = [float(value) for value in np.ravel(model._baseline_prediction)]  # noqa: SLF001  likewise
    return Forest(trees=read, target=target, bias=bias, link=link, slope=slope)


def _columns(model: Any) -> tuple[Any, dict[int, Matrix]]:
    """Which column of the matrix each split column is (categories are moved to the front), and their categories."""
    mask = model.is_categorical_
    if mask is None:
        return np.arange(model.n_features_in_), {}
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001  likewise
    source = np.concatenate([np.flatnonzero(mask), np.flatnonzero(~mask)])
    known = {place: np.asarray(one, np.float64) for place, one in enumerate(encoder.categories_)}
    return source, known


def _histogram_tree(predictor: Any, source: Any, values: dict[int, Matrix]) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"] != 0
    on_categories = np.flatnonzero(~is_leaf & (nodes["is_categorical"] != 0))
    gap_left = nodes["missing_go_to_left"] != 0
    # A value that is no known category goes where a missing one goes, which is right once the sides are turned.
    turned = np.zeros(len(nodes), np.bool_)
    turned[on_categories] = gap_left[on_categories]
    members = {int(node): _members(predictor, nodes[node], values) for node in on_categories}
    return from_nodes(
        is_leaf,
        source[np.where(is_leaf, 0, nodes["feature_idx"])],
        nodes["num_threshold"],
        gap_left & ~turned,
        np.where(turned, nodes["right"], nodes["left"]),
        np.where(turned, nodes["left"], nodes["right"]),
        nodes["value"],
        members,
    )


def _members(predictor: Any, node: Any, values: dict[int, Matrix]) -> tuple[float, ...]:
    """The known categories that do not go where missing values go."""
    bits = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
    known = values[int(node["feature_idx"])]
    places = np.arange(len(known))
    goes_left = (bits[places // 32] >> (places % 32).astype(np.uint32)) & 1 != 0
    chosen = known[goes_left != bool(node["missing_go_to_left"])]
    return tuple(float(value) for value in chosen if not np.isnan(value))


def _tree(tree: Any, value: Matrix) -> Tree:
    return from_nodes(
        tree.children_left == -1,
        tree.feature,
        at_most_in_single(tree.threshold),  # scikit-learn rounds every value to float32 first
        tree.missing_go_to_left != 0,
        tree.children_left,
        tree.children_right,
        value,
    )


def _link(model: Any) -> tuple[Link, float]:
    loss = model._loss  # noqa: SLF001  nothing public says it
    name = type(loss.link).__name__
    if type(loss).__name__ == "ExponentialLoss":
        name = "HalfLogitLink"
    if name not in _LINKS:
        raise CannotCompile(f"its link {name} is none of {', '.join(_LINKS)}")
    return _LINKS[name]
