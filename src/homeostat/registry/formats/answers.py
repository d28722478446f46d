"""What all scorers share: what they are asked for, the matrix they take, and how they say that they cannot."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Refused
from homeostat.ground.records import FeatureColumn

Matrix = NDArray[np.float64]

BINARY, MULTICLASS, REGRESSION = TASKS = ("binary", "multiclass", "regression")

ONE_THREAD_BELOW = 10_000
"""Rows. Below, one thread: HGB takes 0.39 ms for a row on one thread and 0.68 ms on two. From 1,000 rows two idle cores
are up to 1.6x faster, but on two busy ones the threads wait for each other (18 ms instead of 2.8 ms)."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer is to answer; a model that cannot is refused when its scorer is made."""

    task: str = ""
    """Empty: whatever the model gives."""
    classes: tuple[str, ...] = ()
    """Names of a classifier's classes. A binary task without names wants the classes False and True."""
    outputs: tuple[str, ...] = ()
    """Names of what a regression gives, when that is more than one value a row."""
    columns: tuple[FeatureColumn, ...] = ()
    """Of the matrix; empty: as the model says itself."""
    text_of: Callable[[float], str | None] | None = None
    """What the codes of text columns stand for."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of itself."""

    task: str
    columns: tuple[FeatureColumn, ...] | None = None
    """In order, without names where it knows none; None when it does not say how many it takes."""
    classes: tuple[str, ...] = ()


def nameless(count: int) -> tuple[FeatureColumn, ...]:
    """That many numbers."""
    return (FeatureColumn(name="", kind="number"),) * count


def named(names: Sequence[Any]) -> tuple[FeatureColumn, ...]:
    """Numbers of these names."""
    return tuple(FeatureColumn(name=str(name), kind="number") for name in names)


def class_name(label: Any) -> str:
    """How a class is called: 1, 1.0 and True alike wherever they come from.

    >>> class_name(1.0), class_name(True), class_name("late")
    ('1', 'true', 'late')
    """
    plain = label.item() if hasattr(label, "item") else label
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)


def positive_column(classes: Sequence[Any]) -> int | None:
    """Where True (or 1) stands among the classes of a classifier; None when it knows only False.

    Raises:
        Refused: when the classes are not False and True.
    """
    try:
        known = [bool(label) if label in (0, 1) else None for label in classes]
    except (TypeError, ValueError):
        known = [None]
    if known and None not in known and len(set(known)) == len(known):
        return known.index(True) if True in known else None
    raise Refused(
        f"the model's classes are {[str(label) for label in classes][:5]}, not False and True",
        field="model",
        next_step="train on the label as it is given: True for the positive class",
    )


def check_classes(known: Sequence[str], asked: Asked) -> None:
    """See that as many classes are named as there are.

    Raises:
        Refused: when there are more or fewer.
    """
    if asked.classes and len(asked.classes) != len(known):
        raise Refused(
            f"{len(asked.classes)} classes are named, the model has {len(known)}",
            field="classes",
            next_step=f"name {len(known)}, in the order of the model's own: {', '.join(known[:10])}",
        )


def check_task(task: str, gives: str, model: Any, mend: str) -> None:
    """See that a model gives what is asked for.

    Raises:
        Refused: naming both.
    """
    if task != gives:
        raise cannot(model, f"gives {gives} answers, not {task} ones", mend)


def values_of(answer: Any, rows: int, asked: Asked) -> Matrix:
    """A regression's answer: float64, one a row; rows x k where several outputs are asked for.

    Raises:
        Refused: when the model gives more or fewer values a row.
    """
    table = np.asarray(answer, dtype=np.float64)
    if table.ndim != 1:
        table = table.reshape(rows, -1)
        table = table[:, 0] if table.shape[1] == 1 else table
    given = 1 if table.ndim == 1 else table.shape[1]
    if asked.task and given != max(1, len(asked.outputs)):
        raise Refused(f"the model gives {given} values a row", field="model", next_step="train for one label")
    return np.ascontiguousarray(table)


def column_of(answer: Any) -> Matrix:
    """One float64 a row, from a vector or a table of one column."""
    return values_of(answer, len(answer), Asked(task=REGRESSION))


def cannot(model: Any, what: str, mend: str) -> Refused:
    """The refusal of a model that cannot answer."""
    return Refused(f"the model ({type(model).__name__}) {what}", field="model", next_step=mend)
