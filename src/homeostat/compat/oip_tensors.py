"""Tensors to rows: one tensor a column, or one of two dimensions as a matrix without column names.

The matrix goes to NumPy as it came: a request of one tensor is the hot path, and no Python code touches its values.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from homeostat.compat.oip_types import DATATYPES, FLOATS, FloatTensor, Tensor
from homeostat.ground.errors import Invalid
from homeostat.serving.inputs import REQUEST_ID, RESERVED
from homeostat.serving.types import Decoded

_NO_MATRIX = frozenset({"BOOL", "BYTES"})
_FLAT = frozenset({float, type(None)})


def rows_of(tensors: Sequence[Tensor], wish: Any) -> Decoded:
    """The rows the tensors hold; beside a matrix only the two reserved columns may stand.

    Raises:
        Invalid: naming the tensor that is wrong.
    """
    if len(tensors) == 1 and _is_matrix(tensors[0]):
        return Decoded(matrix=matrix_of(tensors[0]), wish=wish)
    matrices: list[Tensor] = []
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if _is_matrix(tensor):
            matrices.append(tensor)
        else:
            columns[tensor.name] = column_of(tensor)
    if len(columns) + len(matrices) != len(tensors):
        names = [tensor.name for tensor in tensors]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"input {twice!r:.80} comes twice", field=twice, next_step="send each column once")
    if not matrices:
        return Decoded(inputs=columns, wish=wish)
    if len(matrices) > 1 or not columns.keys() <= RESERVED:
        raise _invalid(
            matrices[0],
            f"has shape {_shown(matrices[0].shape)} beside other inputs",
            "send one tensor a column, shape [n] or [n, 1], or one tensor [n, columns] alone",
        )
    ids = columns.pop(REQUEST_ID, None)
    return Decoded(matrix=matrix_of(matrices[0]), inputs=columns, request_ids=ids, wish=wish)


def matrix_of(tensor: Tensor) -> Any:
    """A tensor of two dimensions as float64; JSON null and NaN are missing values.

    Raises:
        Invalid: naming the tensor, when shape, datatype and data do not agree, or it holds no numbers.
    """
    rows, width = tensor.shape
    data = tensor.data
    if rows < 1 or width < 1:
        raise _invalid(tensor, f"has shape {_shown(tensor.shape)}", "send at least one row and one column")
    if tensor.datatype in _NO_MATRIX or tensor.datatype not in DATATYPES:
        raise _invalid(
            tensor,
            f"has datatype {tensor.datatype!r:.40} and two dimensions",
            "send numbers, or one tensor a column, shape [n] or [n, 1]",
        )
    if isinstance(data, np.ndarray):
        with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
            matrix = data.astype(np.float64, copy=False)
    else:
        matrix = _matrix_of_json(tensor, data)
    if matrix.size != rows * width or (matrix.ndim == 2 and matrix.shape != (rows, width)):
        count = matrix.size if matrix.ndim == 1 else _shown(list(matrix.shape))
        raise _invalid(tensor, f"holds {count} values, its shape says {_shown(tensor.shape)}", "mend shape or data")
    return matrix.reshape(rows, width)


def column_of(tensor: Tensor) -> list[Any]:
    """A tensor's values as one column; JSON null and NaN are missing values.

    Raises:
        Invalid: naming the tensor, when shape, datatype and data do not agree.
    """
    shape, data = tensor.shape, tensor.data
    if (
        type(tensor) is FloatTensor
        and type(data) is list
        and shape == [len(data)]
        and _FLAT.issuperset(map(type, data))
    ):
        return data  # JSON has no NaN, and all else was checked when it was read
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise _invalid(
            tensor,
            f"has shape {_shown(shape)}",
            "send one tensor a column, shape [n] or [n, 1], or one tensor [n, columns] alone",
        )
    if tensor.datatype not in DATATYPES:
        raise _invalid(tensor, f"has datatype {tensor.datatype!r:.40}", f"use {', '.join(DATATYPES)}")
    if isinstance(data, np.ndarray):
        values = _without_nan(data.tolist()) if data.dtype.kind == "f" else data.tolist()
    else:
        values = _column_of_json(tensor, data)
    if len(values) != shape[0]:
        raise _invalid(tensor, f"holds {len(values)} values, its shape says {_shown(shape)}", "mend shape or data")
    return values


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2 and tensor.shape[1] != 1


def _matrix_of_json(tensor: Tensor, data: Any) -> Any:
    if not isinstance(data, list):
        raise _invalid(tensor, "has no data", "send a flat or nested list")
    if type(tensor) is not FloatTensor:  # then nobody has looked at the values yet
        nested = bool(data) and isinstance(data[0], list)
        if nested and not all(isinstance(row, list) for row in data):
            raise _invalid(tensor, "nests lists unevenly", "send [[a, b], [c, d]] or [a, b, c, d]")
        _check(tensor, list(chain.from_iterable(data)) if nested else data)
    try:
        return np.array(data, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise _invalid(tensor, "nests lists unevenly", "send [[a, b], [c, d]] or [a, b, c, d]") from error


def _column_of_json(tensor: Tensor, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise _invalid(tensor, "has no data", "send a flat or nested list")
    if data and isinstance(data[0], list):
        if any(not isinstance(row, list) or len(row) != 1 for row in data):
            raise _invalid(tensor, "nests rows of another length than 1", "send [[a], [b], ...] or [a, b, ...]")
        data = [row[0] for row in data]
    _check(tensor, data)
    return _without_nan(data) if tensor.datatype in FLOATS else data


def _check(tensor: Tensor, data: list[Any]) -> None:
    wanted = DATATYPES[tensor.datatype]
    if not wanted.kinds:
        raise _invalid(tensor, f"is {tensor.datatype}, which has no form in JSON", "send it in binary, or as FP32")
    kinds = set(map(type, data)) - {type(None)}
    if not kinds <= wanted.kinds:
        wrong = next(value for value in data if value is not None and type(value) not in wanted.kinds)
        raise _invalid(tensor, f"is {tensor.datatype} but holds {wrong!r:.60}", "mend datatype or data")
    if wanted.low is not None and any(value is not None and not wanted.low <= value <= wanted.high for value in data):
        raise _invalid(tensor, f"holds a value outside {tensor.datatype}", "use a wider datatype")


def _without_nan(data: list[Any]) -> list[Any]:
    if any(type(value) is float and math.isnan(value) for value in data):
        return [None if type(value) is float and math.isnan(value) else value for value in data]
    return data


def _shown(shape: list[int]) -> str:
    # A number of thousands of digits is no text Python would make.
    text = ", ".join(str(size) if abs(size) < 1 << 63 else f"over 2^{size.bit_length() - 1}" for size in shape[:5])
    return f"[{text}, ...]" if len(shape) > 5 else f"[{text}]"


def _invalid(tensor: Tensor, what: str, next_step: str) -> Invalid:
    return Invalid(f"input {tensor.name!r:.80} {what}", field=tensor.name, next_step=next_step)
