"""What somebody who registers a model says of it, and what the model shows when it is asked."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec
import numpy as np

from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.ground.records import InputColumn, Signature
from homeostat.registry.formats.answers import class_name
from homeostat.registry.inference import infer_signature, look_at
from homeostat.registry.types import Package
from homeostat.registry.versions import NO_SIGNATURE


class Said(NamedTuple):
    """What was said, and a row that the model takes."""

    signature: Signature
    example: list[Any]
    is_exact: bool
    """Whether somebody said something that has to fit, or the model alone decides."""


def said_of(
    model: Any,
    *,
    inputs: Sequence[str] | None = None,
    example: Any = None,
    task: str = "",
    classes: Sequence[Any] = (),
    outputs: Sequence[str] = (),
) -> Said:
    """A signature as far as it was given; a booster's wrapper names the classes, which its file forgets.

    Raises:
        Invalid: when inputs and example do not fit together, or cannot be read.
    """
    columns, row = _columns_of(example) if example is not None else ([], [])
    if inputs is not None:
        columns = _renamed(list(inputs), columns)
    given = {"task": task, "outputs": tuple(outputs), "classes": tuple(map(class_name, classes))}
    is_exact = bool(columns or any(given.values()))
    given["classes"] = given["classes"] or _wrapped_classes(model)
    return Said(msgspec.structs.replace(NO_SIGNATURE, inputs=tuple(columns), **given), row, is_exact)


def found_out(package: Package, said: Said) -> Signature:
    """The signature of a package made in this process; with an obstacle when it cannot be served.

    Raises:
        Invalid: when what was said does not fit the model.
    """
    is_allowed = package.permission is not None
    if not said.is_exact:
        return look_at(package.flavor, package.files, said.signature, allow_pickle=is_allowed)
    try:
        found = infer_signature(
            package.flavor, package.files, said.signature, example=said.example, allow_pickle=is_allowed
        )
    except HomeostatError as error:
        if error.field in {"inputs", "classes", "task", "outputs"}:
            raise Invalid(error.message, field=error.field, next_step=error.next_step) from error
        return msgspec.structs.replace(NO_SIGNATURE, obstacle=str(error))
    if said.signature.outputs and found.outputs != said.signature.outputs:
        count = len(found.outputs) or 1
        raise Invalid(
            f"the model gives {count} values a row, {len(said.signature.outputs)} outputs are named",
            field="outputs",
            next_step="name one for each, or none",
        )
    return found


def _wrapped_classes(model: Any) -> tuple[str, ...]:
    families = {base.__module__.split(".")[0] for base in type(model).__mro__}
    named = getattr(model, "classes_", None) if families & {"lightgbm", "xgboost"} else None
    return () if named is None else tuple(class_name(label) for label in named)


def _renamed(names: list[str], columns: Sequence[InputColumn]) -> list[InputColumn]:
    if any(not isinstance(name, str) for name in names):
        raise Invalid("inputs are names of columns", field="inputs", next_step="give a list of texts")
    if columns and len(columns) != len(names):
        raise Invalid(
            f"{len(names)} inputs are named, the example has {len(columns)} columns",
            field="inputs",
            next_step="name each column of the example",
        )
    dtypes = [column.dtype for column in columns] or [""] * len(names)
    return [InputColumn(name=name, dtype=dtype) for name, dtype in zip(names, dtypes, strict=True)]


def _columns_of(example: Any) -> tuple[list[InputColumn], list[Any]]:
    """Columns and first row of a data frame, a dict of lists, a list of dicts or an array."""
    table = _as_dict(example)
    lengths = {len(values) for values in table.values()}
    if not table or len(lengths) != 1 or not lengths.pop():
        raise Invalid("the example has no rows", field="example", next_step="give a data frame with a row at least")
    has_names = not isinstance(example, np.ndarray)
    columns = [InputColumn(name=name if has_names else "", dtype=_dtype(values)) for name, values in table.items()]
    return columns, [_plain(values[0]) for values in table.values()]


def _as_dict(example: Any) -> dict[str, list[Any]]:
    if hasattr(example, "columns") and hasattr(example, "__getitem__"):  # pandas, Polars
        return {str(name): list(example[name]) for name in example.columns}
    if isinstance(example, Mapping):
        return {str(name): list(values) for name, values in example.items()}
    if isinstance(example, Sequence) and example and isinstance(example[0], Mapping):
        return {str(name): [row.get(name) for row in example] for name in example[0]}
    try:
        table = np.atleast_2d(np.asarray(example, dtype=None if isinstance(example, np.ndarray) else np.float64))
    except (TypeError, ValueError):
        table = np.empty((0, 0, 0))
    if table.ndim != 2:
        raise Invalid(
            "the example cannot be read", field="example", next_step="give a data frame, a dict of lists or an array"
        )
    return {f"x{place}": table[:, place].tolist() for place in range(table.shape[1])}


def _dtype(values: Sequence[Any]) -> str:
    for value in map(_plain, values):
        if value is None or value != value:  # noqa: PLR0124  NaN
            continue
        if isinstance(value, bool):
            return "boolean"
        return "string" if isinstance(value, str) else "time" if isinstance(value, date) else "number"
    return "number"


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if type(plain).__name__ in {"NAType", "NaTType"} else plain
