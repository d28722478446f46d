"""What compiling asks a fitted scikit-learn model: is it theirs and not a subclass, which class is the positive one."""

from typing import Any

import numpy as np

from homeostat.serving.compiling.refused import CannotCompile


def theirs(model: Any, library: str = "sklearn") -> bool:
    """Whether a library made the class itself; a subclass may answer anything."""
    return type(model).__module__.split(".")[0] == library


def name_of(model: Any) -> str:
    """The class's own name."""
    return type(model).__name__


def positive_place(model: Any) -> int:
    """Where the positive one stands among a classifier's two classes: True, or whichever is the second.

    Raises:
        CannotCompile: when there are not two.
    """
    classes = list(model.classes_)
    if len(classes) != 2:
        raise CannotCompile(f"it knows {len(classes)} classes, not two")
    return 1


def steps_of(model: Any) -> tuple[list[Any], Any]:
    """The transformers before a pipeline's last step, and that step; other models have none before them."""
    if name_of(model) != "Pipeline" or not theirs(model):
        return [], model
    *before, last = [step for _, step in model.steps]
    inner, final = steps_of(last)
    return [step for step in before if step is not None and step != "passthrough"] + inner, final


def as_dense(values: Any) -> Any:
    """A coefficient table as an array, also where it was made sparse."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)
