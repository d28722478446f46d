"""MLflow's four JSON forms to rows: `dataframe_split`, `dataframe_records`, `instances`, `inputs`.

Lists of lists without names become a matrix, whose columns are the model's inputs in their order.
"""

import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from homeostat.ground.errors import Invalid
from homeostat.serving.types import Decoded

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

# What other servers of this protocol take beside the rows; it does not change the answer.
_BESIDE = frozenset({"params", "signature_name", "client_request_id", "databricks_options", "usage_context"})
_NUMBERS = frozenset({int, float, type(None)})


def read_json(body: bytes) -> Any:
    """The value in the body; NaN and Infinity are read too, for MLflow's own client writes them.

    Raises:
        Invalid: when it is no JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_lenient(body)
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", field="body", next_step="send flat columns") from error


def rows_of_json(body: Any) -> Decoded:
    """Rows of the one form the object holds.

    Raises:
        Invalid: when it holds none or several, or the form is not well made.
    """
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object", field="body", next_step=f"send one of {', '.join(FORMS)}")
    found = [form for form in FORMS if form in body]
    if len(found) != 1:
        raise Invalid(
            f"the body holds {' and '.join(found) if found else 'none of the input forms'}",
            field=found[0] if found else "body",
            next_step=f"send exactly one of {', '.join(FORMS)}",
        )
    unknown = body.keys() - {found[0]} - _BESIDE
    if unknown:
        raise Invalid(f"unknown key {min(unknown)!r:.80}", field=min(unknown), next_step="leave it out")
    return _READERS[found[0]](body[found[0]], found[0])


def rows_of_lists(rows: list[Any], form: str) -> Decoded:
    """A matrix of `[[number, ...], ...]`; `[number, ...]` is one column.

    Raises:
        Invalid: when rows differ in length, or hold anything but numbers and null.
    """
    if not rows:
        raise Invalid(f"{form} has no rows", field=form, next_step="send at least one row")
    nested = isinstance(rows[0], list)
    if nested and not all(isinstance(row, list) for row in rows):
        raise _malformed(form, "[[number, ...], ...]")
    if nested:
        _check_widths(len(rows[0]), rows, form)
    kinds = set(map(type, chain.from_iterable(rows) if nested else rows))
    if not kinds <= _NUMBERS:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - _NUMBERS))
        raise Invalid(
            f"{form}: rows without column names hold {names}",
            field=form,
            next_step="send numbers, or name the columns",
        )
    try:
        matrix = np.array(rows, dtype=np.float64)
    except OverflowError as error:
        raise Invalid(f"{form} holds a number over 64 bits", field=form, next_step="mend the value") from error
    return Decoded(matrix=matrix if nested else matrix.reshape(-1, 1))


def columns_of_records(rows: list[dict[str, Any]], form: str) -> dict[str, list[Any]]:
    """Columns of `[{column: value, ...}, ...]`.

    Raises:
        Invalid: when rows differ in their columns.
    """
    keys = rows[0].keys()
    for number, row in enumerate(rows):
        if row.keys() != keys:
            wrong = min(row.keys() ^ keys)
            raise Invalid(
                f"{form}: row {number} and row 0 differ in column {wrong!r:.80}",
                field=wrong,
                next_step="give every row the same columns",
            )
    return {name: [row[name] for row in rows] for name in keys}


def rows_of_columns(columns: Mapping[str, list[Any]], form: str) -> Decoded:
    """Columns of `{column: [values], ...}`; one entry alone may hold all columns as `{name: [[number, ...], ...]}`."""
    if len(columns) == 1:
        [values] = columns.values()
        if values and isinstance(values[0], list) and len(values[0]) != 1:
            return rows_of_lists(values, form)
    return Decoded(inputs={name: _unnested(values) for name, values in columns.items()})


def named_columns(names: list[Any], rows: list[list[Any]], form: str) -> dict[str, list[Any]]:
    """Rows as columns by name.

    Raises:
        Invalid: when a name is no text or comes twice, or a row has another number of values.
    """
    if not all(isinstance(name, str) for name in names):
        raise _malformed(form, "column names that are text")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"{form}: column {twice!r:.80} comes twice", field=twice, next_step="send each column once")
    _check_widths(len(names), rows, form)
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _split(value: Any, form: str) -> Decoded:
    if not isinstance(value, dict) or not value.keys() <= {"columns", "data", "index"}:
        raise _malformed(form, '{"columns": [...], "data": [[...], ...]}')
    names, rows = value.get("columns"), value.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise _malformed(form, "a list of rows under data")
    if names is not None and not isinstance(names, list):
        raise _malformed(form, "a list of names under columns")
    if names is None or (names and names == list(range(len(names)))):  # pandas numbers columns that have no names
        return rows_of_lists(rows, form)
    return Decoded(inputs=named_columns(names, rows, form))


def _records(value: Any, form: str) -> Decoded:
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise _malformed(form, "[{column: value, ...}, ...]")
    return rows_of_columns(columns_of_records(value, form), form)


def _tensors(value: Any, form: str) -> Decoded:
    if isinstance(value, list):
        return _records(value, form) if value and isinstance(value[0], dict) else rows_of_lists(value, form)
    if not isinstance(value, dict) or not value or not all(isinstance(values, list) for values in value.values()):
        raise _malformed(form, "{column: [values], ...}")
    return rows_of_columns(value, form)


_READERS: dict[str, Callable[[Any, str], Decoded]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensors,
    "inputs": _tensors,
}


def _unnested(values: list[Any]) -> list[Any]:
    """`[[a], [b]]` as `[a, b]`: a tensor of shape [n, 1]."""
    if values and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values


def _check_widths(width: int, rows: list[list[Any]], form: str) -> None:
    for number, row in enumerate(rows):
        if len(row) != width:
            raise Invalid(
                f"{form}: row {number} has {len(row)} values for {width} columns",
                field=form,
                next_step="give every row one value a column",
            )


def _read_lenient(body: bytes) -> Any:
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # it also lets half surrogates through, which nothing can store
        return value
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}", field="body", next_step="send JSON in UTF-8") from error


def _malformed(form: str, wanted: str) -> Invalid:
    return Invalid(f"{form} is not well made", field=form, next_step=f"send {wanted}")
