"""Transformers as graph nodes: the same operations in the same order as scikit-learn's, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.serving.compiling.graph import Graph
from homeostat.serving.compiling.models import as_dense, name_of, steps_of, theirs
from homeostat.serving.compiling.refused import CannotCompile


def add_step(graph: Graph, rows: str, step: Any) -> str:
    """What a fitted transformer makes of the rows.

    Raises:
        CannotCompile: naming the transformer, when it is not known here.
    """
    name = name_of(step)
    if not theirs(step):
        raise CannotCompile(f"{name} is no transformer of scikit-learn's")
    if name == "Pipeline":
        before, last = steps_of(step)
        for one in [*before, last]:
            rows = add_step(graph, rows, one)
        return rows
    if name in _STEPS:
        return _STEPS[name](graph, rows, step)
    if hasattr(step, "get_support"):
        return _taken(graph, rows, step.get_support(indices=True))
    raise CannotCompile(f"{name} is not known as a graph")


def _standard(graph: Graph, rows: str, step: Any) -> str:
    if step.with_mean:
        rows = graph.add("Sub", rows, graph.constant(step.mean_))
    return graph.add("Div", rows, graph.constant(step.scale_)) if step.with_std else rows


def _robust(graph: Graph, rows: str, step: Any) -> str:
    if step.with_centering:
        rows = graph.add("Sub", rows, graph.constant(step.center_))
    return graph.add("Div", rows, graph.constant(step.scale_)) if step.with_scaling else rows


def _min_max(graph: Graph, rows: str, step: Any) -> str:
    rows = graph.add("Add", graph.add("Mul", rows, graph.constant(step.scale_)), graph.constant(step.min_))
    if step.clip:
        low, high = (float(end) for end in step.feature_range)
        rows = graph.add("Max", graph.add("Min", rows, graph.constant(high)), graph.constant(low))
    return rows


def _max_abs(graph: Graph, rows: str, step: Any) -> str:
    if getattr(step, "clip", False):
        raise CannotCompile("MaxAbsScaler clips")
    return graph.add("Div", rows, graph.constant(step.scale_))


def _imputer(graph: Graph, rows: str, step: Any) -> str:
    check_imputer(step)
    fill, kept = fill_of(step), kept_by(step)
    missing = graph.add("IsNaN", rows)
    filled = graph.add("Where", missing, graph.constant(fill), rows)
    filled = _taken(graph, filled, kept) if len(kept) < len(fill) else filled
    if not step.add_indicator:
        return filled
    marks = graph.add("Cast", missing, to=graph.float64())
    return graph.add("Concat", filled, _taken(graph, marks, step.indicator_.features_), axis=1)


def _columns(graph: Graph, rows: str, step: Any) -> str:
    parts = [
        taken if inner is None else add_step(graph, taken, inner)
        for inner, places in parts_of(step)
        for taken in [_taken(graph, rows, places)]
    ]
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _one_hot(graph: Graph, rows: str, step: Any) -> str:
    if step.handle_unknown != "ignore" or step.min_frequency is not None or step.max_categories is not None:
        raise CannotCompile("OneHotEncoder raises on unknown values, or joins rare ones")
    known = [np.asarray(one) for one in step.categories_]
    if any(one.dtype.kind not in "fiub" for one in known):
        raise CannotCompile("OneHotEncoder reads texts")
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * len(known)
    kept = [np.delete(one, [] if out is None else [int(out)]) for one, out in zip(known, dropped, strict=True)]
    values = np.concatenate(kept).astype(np.float64)
    if np.isnan(values).any():
        raise CannotCompile("OneHotEncoder has a column for missing values")
    repeated = _taken(graph, rows, np.repeat(np.arange(len(kept)), [len(one) for one in kept]))
    return graph.add("Cast", graph.add("Equal", repeated, graph.constant(values)), to=graph.float64())


def _reduced(graph: Graph, rows: str, step: Any) -> str:
    if step.whiten:
        raise CannotCompile("PCA whitens")
    components = as_dense(step.components_)
    return graph.add(
        "Sub", graph.add("MatMul", rows, graph.constant(components.T)), graph.constant(step.mean_ @ components.T)
    )


def _polynomial(graph: Graph, rows: str, step: Any) -> str:
    """Products of columns, each power a factor; a factor that is missing is a column of ones."""
    powers = np.asarray(step.powers_)
    width = powers.shape[1]
    first = _taken(graph, rows, [0])
    ones = graph.add("Cast", graph.add("Equal", first, first), to=graph.float64())
    wider = graph.add("Concat", rows, ones, axis=1)
    factors = [np.repeat(np.arange(width), row) for row in powers]
    degree = max(1, *(len(one) for one in factors))
    places = np.array([np.pad(one, (0, degree - len(one)), constant_values=width) for one in factors])
    product = _taken(graph, wider, places[:, 0])
    for factor in range(1, degree):
        product = graph.add("Mul", product, _taken(graph, wider, places[:, factor]))
    return product


def _taken(graph: Graph, rows: str, places: Any) -> str:
    return graph.add("Gather", rows, graph.constant(places, np.int64), axis=1)


_STEPS: dict[str, Callable[[Graph, str, Any], str]] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "SimpleImputer": _imputer,
    "ColumnTransformer": _columns,
    "OneHotEncoder": _one_hot,
    "PCA": _reduced,
    "PolynomialFeatures": _polynomial,
}


def check_imputer(step: Any) -> None:
    """See that an imputer fills what is NaN, and nothing else.

    Raises:
        CannotCompile: when it takes another value for a missing one.
    """
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise CannotCompile(f"SimpleImputer takes {missing!r} for a missing value")


def fill_of(imputer: Any) -> Any:
    """What an imputer puts in place of a missing value, for each column."""
    return np.nan_to_num(np.asarray(imputer.statistics_, np.float64), nan=0.0)


def kept_by(imputer: Any) -> Any:
    """The columns an imputer keeps: those it saw a value in, if it was not told to keep all."""
    fill = np.asarray(imputer.statistics_, np.float64)
    return np.arange(len(fill)) if imputer.keep_empty_features else np.flatnonzero(~np.isnan(fill))


def parts_of(step: Any) -> list[tuple[Any, Any]]:
    """A ColumnTransformer's transformers (None passes columns on) with the places of their columns, in output order.

    Raises:
        CannotCompile: when it picks columns by name, or by a function.
    """
    if step.transformer_weights:
        raise CannotCompile("ColumnTransformer weighs its parts")
    places = step._transformer_to_input_indices  # noqa: SLF001  resolved from masks, slices and names
    found = [
        (None if _passes_on(inner) else inner, np.asarray(places[name], np.int64))
        for name, inner, _ in step.transformers_
        if not (isinstance(inner, str) and inner == "drop") and len(places[name])
    ]
    if not found:
        raise CannotCompile("ColumnTransformer keeps no column")
    return found


def _passes_on(inner: Any) -> bool:
    if isinstance(inner, str):
        return inner == "passthrough"
    return name_of(inner) == "FunctionTransformer" and inner.func is None
