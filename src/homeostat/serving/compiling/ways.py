"""The ways a model may be compiled, in the order of what they promise."""

from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.serving.compiling import converters
from homeostat.serving.compiling.artifact import Form, OnnxForm
from homeostat.serving.compiling.ensembles import ensemble_of
from homeostat.serving.compiling.forest import Forest
from homeostat.serving.compiling.forest_lightgbm import lightgbm_forest
from homeostat.serving.compiling.forest_sklearn import sklearn_forest
from homeostat.serving.compiling.forest_xgboost import xgboost_forest
from homeostat.serving.compiling.graph import INPUT, Graph, add_forest, add_linear
from homeostat.serving.compiling.graph_steps import add_step
from homeostat.serving.compiling.linear import fold, linear_of
from homeostat.serving.compiling.models import steps_of, theirs
from homeostat.serving.compiling.questions import Thresholds
from homeostat.serving.compiling.refused import CannotCompile

MOST_THRESHOLDS = 100_000


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted model to compile."""

    library: str
    """'sklearn', 'lightgbm', 'xgboost' or 'torch'; of others there is no way."""
    model: Any
    """The estimator, the Booster or the exported program."""
    task: str
    """'binary', 'multiclass' or 'regression'."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way; `make` raises whatever stands in it."""

    name: str
    kind: str
    make: Callable[[], Form]
    exact: bool = False
    """It does the original's own sums in float64; once one of these agrees, the others are not tried."""


def ways_of(subject: Subject, columns: int) -> list[Way]:
    """Every way for this kind of model."""
    model, library = subject.model, subject.library
    if library == "sklearn":
        return [
            Way(name="folded product", kind="linear", make=lambda: fold(model, columns), exact=True),
            Way(name="float64 graph", kind="onnx", make=lambda: own_graph(subject, columns), exact=True),
            Way(name="skl2onnx float64", kind="onnx", make=lambda: _by_skl2onnx(model, columns, single=False)),
            Way(name="skl2onnx float32", kind="onnx", make=lambda: _by_skl2onnx(model, columns, single=True)),
            Way(name="treelite", kind="treelite", make=lambda: _in_treelite(model, library)),
        ]
    if library in {"lightgbm", "xgboost"}:
        convert = {"lightgbm": converters.converted_lightgbm, "xgboost": converters.converted_xgboost}[library]
        return [
            Way(name="float64 graph", kind="onnx", make=lambda: own_graph(subject, columns), exact=True),
            Way(name="onnxmltools float32", kind="onnx", make=lambda: convert(model, columns)),
            Way(name="treelite", kind="treelite", make=lambda: _in_treelite(model, library)),
        ]
    if library == "torch":
        return [Way(name="torch.onnx", kind="onnx", make=lambda: converters.converted_torch(model))]
    return []


def forest_of(subject: Subject) -> Forest:
    """The trees of a model that is nothing else.

    Raises:
        CannotCompile: when it is something else.
    """
    if subject.library == "lightgbm":
        return lightgbm_forest(subject.model)
    if subject.library == "xgboost":
        return xgboost_forest(subject.model)
    if subject.library == "sklearn" and theirs(subject.model):
        return sklearn_forest(subject.model, subject.task)
    raise CannotCompile("it has no trees")


def thresholds_of(subject: Subject) -> Thresholds:
    """Where a model's own trees split; nothing when they split something else than the columns."""
    try:
        forest = forest_of(subject)
    except Exception:  # noqa: BLE001  the way that needs the trees will say what is wrong with them
        return []
    found = {
        (int(column), float(value))
        for tree in forest.trees
        for column, value in zip(tree.feature, tree.threshold, strict=True)
        if abs(value) < 1e300
    }
    for tree in forest.trees:
        found |= {(int(tree.feature[node]), value) for node, values in tree.members.items() for value in values}
    return sorted(found)[:MOST_THRESHOLDS]


def own_graph(subject: Subject, columns: int) -> OnnxForm:
    """A graph of our own: known transformers, then trees or a linear model, in float64 from end to end.

    Raises:
        CannotCompile: naming the part that is not known.
    """
    graph, rows = Graph(columns), INPUT
    if subject.library != "sklearn":
        return OnnxForm(model=graph.model(add_forest(graph, rows, forest_of(subject))), single=False)
    steps, last = steps_of(subject.model)
    for step in steps:
        rows = add_step(graph, rows, step)
    if hasattr(last, "coef_"):
        linear = linear_of(last)
        answer = add_linear(graph, rows, linear.weights, linear.bias, linear.link)
    else:
        answer = add_forest(graph, rows, forest_of(Subject(library="sklearn", model=last, task=subject.task)))
    return OnnxForm(model=graph.model(answer), single=False)


def _by_skl2onnx(model: Any, columns: int, *, single: bool) -> OnnxForm:
    return converters.converted_sklearn(model, columns, single=single)


def _in_treelite(model: Any, library: str) -> Form:
    return ensemble_of(model, library)
