"""Checking what a caller sent against a signature: every refusal names the column, and the row where it can.

Columns named `request_id` and `request_time` belong to serving: each row's id and its event time.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.ground.clock import SECOND, from_iso, to_iso
from homeostat.ground.errors import Invalid, TooLarge
from homeostat.ground.ids import new_id, new_ids
from homeostat.ground.records import InputColumn, Signature
from homeostat.serving.types import PredictRequest

REQUEST_ID = "request_id"
REQUEST_TIME = "request_time"
RESERVED = frozenset({REQUEST_ID, REQUEST_TIME})
MAX_ROWS = 10_000
MAX_ID = 128
CLOCK_SKEW = 5 * SECOND
"""A request time this far ahead of our clock is still taken: two machines' clocks never agree."""

_FIRST, _LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND  # years 1 to 9999
_NUMBERS = frozenset({"number", "boolean"})
_TIME = "a time (ISO 8601 text, or microseconds since 1970 UTC)"


def row_count(inputs: dict[str, list[Any]]) -> int:
    """How many rows the columns hold.

    Raises:
        Invalid: when there are none, or columns differ in length.
        TooLarge: over 10,000 rows.
    """
    if not inputs:
        raise Invalid("the request has no columns", field="inputs", next_step="send one column per model input")
    first, count = next(iter((name, len(values)) for name, values in inputs.items()))
    for name, values in inputs.items():
        if len(values) != count:
            raise Invalid(
                f"column {name!r} has {len(values)} rows, {first!r} has {count}",
                field=name,
                next_step="send columns of one length",
            )
    if count == 0:
        raise Invalid("the request has no rows", field=first, next_step="send at least one row")
    if count > MAX_ROWS:
        raise TooLarge(
            f"the request has {count} rows, the limit is {MAX_ROWS}", field=first, next_step="send it in parts"
        )
    return count


def request_ids(request: PredictRequest, count: int) -> list[str]:
    """The rows' ids: given ones checked, missing ones minted.

    Raises:
        Invalid: for an id that is not a short text, or comes twice.
    """
    given = request.request_ids
    if given is None and (not request.inputs or (given := request.inputs.get(REQUEST_ID)) is None):
        return new_ids(count)
    ids = [new_id() if value is None or (request.is_text and value == "") else value for value in given]
    _check_length(ids, count, REQUEST_ID)
    for row, value in enumerate(ids):
        if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
            raise _wrong(REQUEST_ID, row, value, f"an id: text of 1 to {MAX_ID} characters")
    if len(set(ids)) != count:
        twice = next(value for row, value in enumerate(ids) if value in ids[:row])
        raise Invalid(
            f"request id {twice!r} comes twice in the request", field=REQUEST_ID, next_step="give each row its own id"
        )
    return ids


def request_times(request: PredictRequest, count: int, *, now: int, latest: int | None) -> list[int]:
    """The rows' event times in microseconds; a row without one happens now.

    Raises:
        Invalid: for something that is not a time, or one after `latest`.
    """
    given = request.times if request.times is not None else request.inputs.get(REQUEST_TIME)
    if given is None:
        return [now] * count
    column = InputColumn(name=REQUEST_TIME, dtype="time")
    times = [now if at is None else at for at in check_column(column, given, is_text=request.is_text)]
    _check_length(times, count, REQUEST_TIME)
    if latest is not None and max(times) > latest:
        raise Invalid(
            f"request time {to_iso(max(times))} lies in the future of the server's clock ({to_iso(now)})",
            field=REQUEST_TIME,
            next_step="send the time of the request, in UTC, or leave it out",
        )
    return times


def check_known(inputs: dict[str, list[Any]], known: frozenset[str]) -> None:
    """Refuse a column that no live version reads: more often a misspelling than a surplus.

    Raises:
        Invalid: naming the column.
    """
    for name in inputs:
        if name not in known and name not in RESERVED:
            raise Invalid(
                f"unknown input column {name!r}",
                field=name,
                next_step=f"inputs are {', '.join(sorted(known))}; {REQUEST_ID} and {REQUEST_TIME} are optional",
            )


def check_columns(signature: Signature, inputs: dict[str, list[Any]], *, is_text: bool = False) -> dict[str, list[Any]]:
    """The signature's columns, and the keys that are there, as the features room reads them; times are microseconds.

    Raises:
        Invalid: naming a column that is missing or of another type.
    """
    checked: dict[str, list[Any]] = {}
    for column in signature.inputs:
        if column.name not in inputs:
            raise Invalid(
                f"input column {column.name!r} is missing",
                field=column.name,
                next_step=f"send it ({column.dtype}), with null where it is not known"
                if column.nullable
                else f"send it ({column.dtype})",
            )
        checked[column.name] = check_column(column, inputs[column.name], is_text=is_text)
    for key in signature.keys:
        if key.name in inputs:
            checked[key.name] = check_column(key, inputs[key.name], is_text=is_text)
    return checked


def check_matrix(signature: Signature, matrix: Any) -> None:
    """Refuse what a matrix of numbers may not hold.

    Raises:
        Invalid: naming the column and the row of an infinity, or of NaN where a value must not be missing.
    """
    needed = [place for place, column in enumerate(signature.inputs) if not column.nullable]
    if not np.isinf(matrix).any() and not np.isnan(matrix[:, needed]).any():
        return
    for place, column in enumerate(signature.inputs):
        check_column(InputColumn(name=column.name, dtype="number", nullable=column.nullable), matrix[:, place].tolist())


def check_width(signature: Signature, matrix: Any) -> int:
    """How many rows a matrix holds, which must have one column for each of the signature's inputs.

    Raises:
        Invalid: when it has another shape, no rows, or an input is no number. TooLarge: over 10,000 rows.
    """
    wanted = signature.inputs
    named = next((column for column in wanted if column.dtype not in _NUMBERS), None)
    if named is not None:
        raise Invalid(
            f"input column {named.name!r} is a {named.dtype}, so the columns cannot come as one tensor",
            field=named.name,
            next_step="send one tensor or list a column, by name",
        )
    if matrix.ndim != 2 or matrix.shape[1] != len(wanted):
        raise Invalid(
            f"the tensor has shape {list(matrix.shape)}, the model takes [rows, {len(wanted)}]",
            field="inputs",
            next_step=f"columns in order: {', '.join(column.name for column in wanted)}"[:400],
        )
    count = len(matrix)
    if count == 0:
        raise Invalid("the request has no rows", field="inputs", next_step="send at least one row")
    if count > MAX_ROWS:
        raise TooLarge(
            f"the request has {count} rows, the limit is {MAX_ROWS}", field="inputs", next_step="send it in parts"
        )
    return count


def columns_of_matrix(signature: Signature, matrix: Any) -> dict[str, list[Any]]:
    """A matrix as columns by the signature's names; NaN is a missing value, and booleans are true and false again."""
    columns: dict[str, list[Any]] = {}
    for place, column in enumerate(signature.inputs):
        values = [None if value != value else value for value in matrix[:, place].tolist()]  # noqa: PLR0124  NaN
        if column.dtype == "boolean":
            values = [bool(value) if value in {0.0, 1.0} else value for value in values]
        columns[column.name] = values
    return columns


def check_column(column: InputColumn, values: list[Any], *, is_text: bool = False) -> list[Any]:
    """The values of one column, read by its type.

    Raises:
        Invalid: naming the column and the row.
    """
    if is_text:
        values = _from_text(column, values)
    kinds = set(map(type, values))  # one pass in C; rows are looked at one by one only when something is wrong
    if type(None) in kinds:
        if not column.nullable:
            raise _wrong(column.name, values.index(None), None, f"a {column.dtype}, which must not be missing")
        kinds.discard(type(None))
    return _READ_BY_TYPE[column.dtype](column, values, kinds)


def _numbers(column: InputColumn, values: list[Any], kinds: set[type]) -> list[Any]:
    if not kinds <= {int, float}:
        raise _wrong_type(column, values, (int, float), "a number")
    if math.inf in values or -math.inf in values:
        row = next(row for row, value in enumerate(values) if value in {math.inf, -math.inf})
        raise _wrong(column.name, row, values[row], "a finite number")
    if int in kinds:
        for row, value in enumerate(values):
            if type(value) is int and not -(1 << 63) <= value < (1 << 64):
                raise _wrong(column.name, row, value, "a number of at most 64 bits")
    if not column.nullable and float in kinds and any(map(math.isnan, values)):
        raise _wrong(column.name, next(row for row, value in enumerate(values) if math.isnan(value)), "NaN", "a number")
    return values


def _strings(column: InputColumn, values: list[Any], kinds: set[type]) -> list[Any]:
    if not kinds <= {str}:
        raise _wrong_type(column, values, (str,), "a string")
    return values


def _booleans(column: InputColumn, values: list[Any], kinds: set[type]) -> list[Any]:
    if not kinds <= {bool}:
        raise _wrong_type(column, values, (bool,), "true or false")
    return values


def _times(column: InputColumn, values: list[Any], kinds: set[type]) -> list[Any]:
    if not kinds <= {int, str}:
        raise _wrong_type(column, values, (int, str), _TIME)
    return [_time(column, row, value) if value is not None else None for row, value in enumerate(values)]


def _time(column: InputColumn, row: int, value: int | str) -> int:
    try:
        at = from_iso(value) if isinstance(value, str) else value
    except Invalid as error:
        raise _wrong(column.name, row, value, _TIME) from error
    if not _FIRST <= at < _LAST:
        raise _wrong(column.name, row, value, _TIME)
    return at


_READ_BY_TYPE: dict[str, Callable[[InputColumn, list[Any], set[type]], list[Any]]] = {
    "number": _numbers,
    "string": _strings,
    "boolean": _booleans,
    "time": _times,
}


def _from_text(column: InputColumn, values: list[Any]) -> list[Any]:
    if column.dtype == "string":
        return [value if value != "" else None for value in values]
    read = {"number": _read_number, "boolean": _read_boolean, "time": _read_time}[column.dtype]
    return [None if value == "" else read(value) for value in values]


def _read_number(text: str) -> Any:  # text that is no number stays text and is refused with its row
    try:
        return float(text)
    except ValueError:
        return text


def _read_boolean(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)


def _read_time(text: str) -> Any:
    return int(text) if text.removeprefix("-").isdecimal() else text


def _check_length(values: list[Any], count: int, name: str) -> None:
    if len(values) != count:
        raise Invalid(
            f"column {name!r} has {len(values)} rows, the request has {count}",
            field=name,
            next_step="send columns of one length",
        )


def _wrong_type(column: InputColumn, values: list[Any], wanted: tuple[type, ...], what: str) -> Invalid:
    row = next(row for row, value in enumerate(values) if value is not None and type(value) not in wanted)
    return _wrong(column.name, row, values[row], what)


def _wrong(name: str, row: int, value: Any, wanted: str) -> Invalid:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return Invalid(f"column {name!r}, row {row}: {shown} is not {wanted}", field=name, next_step="mend the value")
