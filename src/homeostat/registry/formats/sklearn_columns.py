"""Which columns a fitted scikit-learn model takes: their names, and which of them hold text, read from its encoders."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from homeostat.ground.records import FeatureColumn

LINES = "text"
"""What the one column of a model is called that takes texts instead of rows."""
_INNER = ("best_estimator_", "estimator_", "regressor_", "estimators_", "calibrated_classifiers_", "estimator")
"""Where meta-estimators keep those that see the same columns."""
_Seen = dict[int, tuple[str, ...]]
"""Place of a text column to the values it has seen, as far as the model keeps them."""


def columns_of(model: Any) -> tuple[FeatureColumn, ...] | None:
    """The columns in order, without names where the model saw none; None when it does not say how many."""
    if takes_lines(model):
        return (FeatureColumn(name=LINES, kind="text"),)
    count = getattr(model, "n_features_in_", None)
    if count is None:
        return None
    names = getattr(model, "feature_names_in_", None)
    names = [""] * int(count) if names is None else [str(name) for name in names]
    texts = _texts(model, range(int(count)))
    return tuple(
        FeatureColumn(name=name, kind="text", categories=texts[place])
        if place in texts
        else FeatureColumn(name=name, kind="number")
        for place, name in enumerate(names)
    )


def takes_lines(model: Any) -> bool:
    """Whether a model takes a list of texts, as one that begins with a vectorizer does."""
    for inner in _steps(model)[:1] or _inner(model):
        return takes_lines(inner)
    return _is_vectorizer(model)


def last_step(model: Any) -> Any:
    """The estimator that answers: the last of a pipeline, the best of a search."""
    for inner in [*_steps(model)[-1:], getattr(model, "best_estimator_", None)]:
        if inner is not None:
            return last_step(inner)
    return model


def _texts(part: Any, places: Sequence[int]) -> _Seen:
    """The text columns among those that a part of a model sees, given by their places in the request."""
    if (steps := _steps(part)) or (hasattr(part, "steps") and not steps):
        return _texts_of_steps(steps, places)
    found: _Seen = {}
    for inner, seen in _parts_by_column(part, places):
        found |= _texts(inner, seen)
    for values, place in zip(_values(part), places, strict=False):
        if any(isinstance(value, str) for value in values):
            found[place] = tuple(value for value in values if isinstance(value, str))
    if _is_vectorizer(part) and len(places) == 1:
        found[places[0]] = ()
    for inner in _inner(part):
        found |= _texts(inner, places)
    return found


def _texts_of_steps(steps: Sequence[Any], places: Sequence[int]) -> _Seen:
    """Of a pipeline: an imputer hands its columns on as they are; whatever else comes first has coded them."""
    found: _Seen = {}
    for step in steps:
        found |= _texts(step, places)
        kept = getattr(step, "statistics_", None)
        if step != "passthrough" and (kept is None or len(kept) != len(places) or getattr(step, "add_indicator", 0)):
            break
    return found


def _parts_by_column(part: Any, places: Sequence[int]) -> Iterable[tuple[Any, Sequence[int]]]:
    by_name = getattr(part, "_transformer_to_input_indices", None)
    if by_name is not None:
        for name, transformer, _columns in part.transformers_:
            yield transformer, [places[place] for place in by_name[name]]
    preprocessor = getattr(part, "_preprocessor", None)  # HistGradientBoosting's own, for columns of pandas categories
    if preprocessor is not None:
        yield preprocessor, places


def _values(part: Any) -> list[Any]:
    """The values of each column that an encoder (or an imputer of texts) has kept."""
    kept = getattr(part, "categories_", None)
    if isinstance(kept, list):
        return [np.asarray(values).tolist() for values in kept]
    filled = getattr(part, "statistics_", None)
    return [] if filled is None else [[value] for value in np.asarray(filled).tolist()]


def _is_vectorizer(part: Any) -> bool:
    return type(part).__module__ == "sklearn.feature_extraction.text" and hasattr(part, "build_analyzer")


def _steps(part: Any) -> list[Any]:
    return [step for _name, step in part.steps] if hasattr(part, "steps") else []


def _inner(part: Any) -> list[Any]:
    for attribute in _INNER:
        held = getattr(part, attribute, None)
        if held is not None and not isinstance(held, str):
            first = np.asarray(held, dtype=object).ravel()[0] if isinstance(held, list | tuple | np.ndarray) else held
            # A forest's trees see columns in another order, but they are no encoders either.
            return [first]
    return []
