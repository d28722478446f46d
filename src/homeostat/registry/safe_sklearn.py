"""scikit-learn models in skops files: which types may be in one, and that their trees stay inside their arrays.

skops builds only types it knows; a few more that fitted models hold are reviewed and listed here. Tree nodes are not
trusted by skops because scikit-learn follows their indices without looking (scikit-learn#34558): they are allowed
here, and looked at before the first score.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.extras import require
from homeostat.registry.formats.zips import check_zip

_LOSSES = (
    "AbsoluteError",
    "ExponentialLoss",
    "HalfBinomialLoss",
    "HalfGammaLoss",
    "HalfMultinomialLoss",
    "HalfPoissonLoss",
    "HalfSquaredError",
    "HuberLoss",
    "PinballLoss",
)
_KERNELS = (
    "ConstantKernel",
    "DotProduct",
    "ExpSineSquared",
    "Exponentiation",
    "Matern",
    "Product",
    "RBF",
    "RationalQuadratic",
    "Sum",
    "WhiteKernel",
)
_SELECTIONS = ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression")
_LINKS = ("HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit")

ALLOWED = frozenset(
    {
        # Data holders without behaviour at load time.
        "numpy.dtype",
        "sklearn.utils._bunch.Bunch",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        # Trees; `check_trees` looks inside.
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        # HistGradientBoosting with categorical_features holds partial(check_array, ...); every function that a
        # partial wraps is itself checked against this list.
        "functools.partial",
        "sklearn.utils.validation.check_array",
        # Trusted by skops 0.16 itself, not yet by 0.13.
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        *(f"sklearn._loss.loss.{name}" for name in _LOSSES),
        *(f"sklearn._loss.link.{name}" for name in _LINKS),
        # Parameters without behaviour at load time; statistics that are asked for when a selection is fitted.
        *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
        *(f"sklearn.feature_selection._univariate_selection.{name}" for name in _SELECTIONS),
    }
)
"""Types beyond skops' own list; found by packaging each kind of estimator in tests/registry, then reviewed."""

_MEND = "use scikit-learn's own estimators (no lambdas, no classes of your own), LightGBM or ONNX; pickle is never used"


def dump(model: Any) -> bytes:
    """The skops bytes of a fitted model, read back once.

    Raises:
        Refused: when it is not fitted, or holds a type that is not allowed; the message names it.
    """
    skops = require("skops.io", extra="sklearn")
    _check_fitted(model)
    # A search answers as the best that it found; the rest of it says how.
    model = getattr(model, "best_estimator_", model)
    try:
        data = bytes(skops.dumps(model))
    except TypeError as error:
        raise Refused(f"the model cannot be packaged: {error!s:.300}", field="model", next_step=_MEND) from error
    load(data)
    return data


def types_in(data: bytes) -> set[str]:
    """The types a skops file would need that skops itself does not allow.

    Raises:
        Corrupt: when it is not a readable skops file.
        Refused: when the archive leads out of itself or unpacks to far more than its size.
    """
    check_zip(data, what="skops file")
    try:
        return set(require("skops.io", extra="sklearn").get_untrusted_types(data=data))
    except Exception as error:  # a malformed file can fail anywhere in the reader
        raise _unreadable(error) from error


def load(data: bytes, *, also: Iterable[str] = ()) -> Any:
    """The model in a skops file; `also` are types allowed beyond the reviewed list.

    Raises:
        Refused: when the file names a type that is not allowed, or a tree points outside its arrays.
        Corrupt: when it is not a readable skops file.
    """
    skops = require("skops.io", extra="sklearn")
    check_zip(data, what="skops file")
    allowed = ALLOWED | set(also)
    try:
        model = skops.loads(data, trusted=sorted(allowed))  # audits the whole file before it builds anything
    except require("skops.io.exceptions", extra="sklearn").UntrustedTypesFoundException as error:
        names = ", ".join(sorted(set(skops.get_untrusted_types(data=data)) - allowed))
        raise Refused(f"the model holds types that may run code: {names}", field="model", next_step=_MEND) from error
    except Exception as error:  # a malformed file can fail anywhere in the reader
        raise _unreadable(error) from error
    check_trees(model)
    return model


def _unreadable(error: Exception) -> Corrupt:
    return Corrupt(f"the skops file cannot be read: {error!s:.300}", next_step="package the model again")


def settle(model: Any) -> Any:
    """Fit a loaded model for serving: matrices carry no column names, and one request is one thread's work."""
    for part, _ in _parts(model):
        state = getattr(part, "__dict__", {})
        state.pop("feature_names_in_", None)  # else scikit-learn warns on every call
        if "_transformer_to_input_indices" in state:
            _take_columns_by_place(part)
        if state.get("n_jobs") is not None:
            state["n_jobs"] = 1  # starting threads costs a hundred times what one row costs
    return model


def _take_columns_by_place(transformer: Any) -> None:
    """A ColumnTransformer that was fitted on a data frame looks for names, and a matrix has none."""
    places = transformer._transformer_to_input_indices  # noqa: SLF001  there is no other place that says which they are
    transformer.transformers_ = [
        (name, inner, places[name][0] if isinstance(columns, str) else places[name])
        for name, inner, columns in transformer.transformers_
    ]


def check_trees(model: Any) -> None:
    """See that every tree in a model is a tree inside its arrays.

    Raises:
        Refused: when a node points outside, backwards, or at a column that is not there.
    """
    for part, columns in _parts(model):
        name = type(part).__name__
        if name == "Tree" and type(part).__module__ == "sklearn.tree._tree":
            _check(name, _tree_is_sound(part, columns))
        elif name == "TreePredictor":
            _check(name, _predictor_is_sound(part, columns))
        elif name == "_BinMapper":
            _check(name, _bins_are_sound(part, columns))


def _check(name: str, sound: bool) -> None:  # noqa: FBT001  a finding, not a switch
    if not sound:
        raise Refused(
            f"a {name} of the model points outside its arrays", field="model", next_step="package the model again"
        )


def _tree_is_sound(tree: Any, columns: int) -> bool:
    if not 1 <= tree.node_count <= tree.capacity:  # first: the arrays below are cut to node_count unseen
        return False
    leaf = tree.children_left == -1
    return _nodes_are_sound(leaf, tree.children_left, tree.children_right, tree.feature, columns)


def _predictor_is_sound(predictor: Any, columns: int) -> bool:
    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    if nodes.ndim != 1 or bitsets.ndim != 2 or bitsets.shape[1] != 8:
        return False
    leaf = nodes["is_leaf"] != 0
    categorical = ~leaf & (nodes["is_categorical"] != 0)
    return _nodes_are_sound(leaf, nodes["left"], nodes["right"], nodes["feature_idx"], columns) and bool(
        np.all(nodes["bitset_idx"][categorical] < len(bitsets))
    )


def _nodes_are_sound(leaf: Any, left: Any, right: Any, feature: Any, columns: int) -> bool:
    count = len(leaf)
    inner = np.flatnonzero(~leaf)
    children = np.stack([left[inner], right[inner]]).astype(np.int64)
    columns_used = feature[inner]
    return (
        count > 0
        and bool(np.all((children > inner) & (children < count)))  # forward only: no circle either
        and bool(np.all((columns_used >= 0) & (columns_used < columns)))
    )


def _bins_are_sound(bins: Any, columns: int) -> bool:
    if len(bins.is_categorical_) != columns or len(bins.bin_thresholds_) != columns:
        return False
    known = [values for values, is_one in zip(bins.bin_thresholds_, bins.is_categorical_, strict=True) if is_one]
    return all(bool(np.all((values >= 0) & (values < 256))) for values in known)


def _parts(model: Any) -> Iterator[tuple[Any, int]]:
    """Every object a model is made of, with the number of columns the estimator around it takes."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Any, int]] = [(model, 0)]
    while waiting:
        part, columns = waiting.pop()
        if (id(part), columns) in seen or isinstance(part, str | bytes | int | float | type):
            continue
        seen.add((id(part), columns))
        state = getattr(part, "__dict__", None) or {}
        columns = state.get("n_features_in_", columns)
        yield part, columns
        waiting.extend((inner, columns) for inner in _inside(part, state))


def _inside(part: Any, state: dict[str, Any]) -> list[Any]:
    inner = list(state.values())
    if isinstance(part, dict):
        inner += part.values()
    elif isinstance(part, list | tuple | set | frozenset):
        inner += part
    elif isinstance(part, np.ndarray) and part.dtype == object:
        inner += part.ravel().tolist()
    return inner


def _check_fitted(model: Any) -> None:
    validation = require("sklearn.utils.validation", extra="sklearn")
    try:
        validation.check_is_fitted(model)
    except (TypeError, ValueError, AttributeError) as error:  # NotFittedError is the last two
        raise Refused(
            f"the model is not fitted: {error!s:.200}", field="model", next_step="return it fitted"
        ) from error
