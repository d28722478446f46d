"""Parquet to rows: flat tables, bounded before anything is unpacked.

An own reader, because a damaged file must cost its caller an error and nobody else anything: Polars' ends the process
on some (a thread of Rust's that panics), and any reader believes what a file of a kilobyte says about its size. It also
keeps a worker from loading a data-frame library for this alone.
"""

from typing import Any, NamedTuple

import numpy as np

from homeostat.compat import parquet_pages as pages
from homeostat.compat.parquet_codecs import unpacked
from homeostat.compat.thrift_compact import read_struct
from homeostat.ground.errors import HomeostatError, Invalid, TooLarge
from homeostat.serving.inputs import MAX_ROWS
from homeostat.serving.types import Decoded

MAX_FOOTER = 256 << 10
MAX_UNPACKED = 128 << 20
"""Bytes of all pages together, unpacked; and of all texts, which a dictionary makes many of few."""

_MAGIC = b"PAR1"
_UTF8, _DATE, _MILLIS, _MICROS = 0, 6, 9, 10
_UNSIGNED = frozenset({11, 12, 13, 14})
_DAY = 86_400_000_000


class Column(NamedTuple):
    """A leaf of the schema: what parquet.thrift calls SchemaElement, as far as flat tables need it."""

    name: str
    kind: int
    is_optional: bool
    converted: int
    logical: dict[int, Any]


class Budget:
    """How much may still be unpacked."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Take a part of it.

        Raises:
            TooLarge: when it does not suffice.
        """
        if size < 0:
            raise ValueError("a negative size")
        self._left -= size
        if self._left < 0:
            raise TooLarge(
                f"the Parquet file unpacks to over {MAX_UNPACKED} bytes", field="body", next_step="send fewer rows"
            )


def rows_of_parquet(body: bytes) -> Decoded:
    """Columns by name; times as microseconds.

    Raises:
        Invalid: when it is no Parquet file, is damaged, or holds what is not read here.
        TooLarge: when it has more rows or becomes larger than a request may.
    """
    try:
        return Decoded(inputs=_columns(body))
    except HomeostatError:
        raise
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise Invalid("the Parquet file is damaged", field="body", next_step="write it anew") from error


def _columns(body: bytes) -> dict[str, list[Any]]:
    footer = _footer(body)
    columns = _schema(footer[2])
    rows, groups = footer[3], footer[4]
    if not 0 <= rows <= MAX_ROWS:
        raise TooLarge(f"the file has {rows} rows, the limit is {MAX_ROWS}", field="body", next_step="send it in parts")
    budget = Budget(MAX_UNPACKED)
    found: dict[str, list[Any]] = {column.name: [] for column in columns}
    for group in groups:
        if len(group[1]) != len(columns) or not 0 <= group[3] <= rows:
            raise ValueError("a group of other columns")
        for column, chunk in zip(columns, group[1], strict=True):
            found[column.name] += _chunk(body, column, chunk[3], group[3], budget)
    if any(len(values) != rows for values in found.values()):
        raise ValueError("columns of other lengths")
    found.pop("__index_level_0__", None)  # what pandas calls an index without a name
    return found


def _footer(body: bytes) -> dict[int, Any]:
    size = int.from_bytes(body[-8:-4], "little")
    if not (len(body) >= 12 and body.startswith(_MAGIC) and body.endswith(_MAGIC)) or size > len(body) - 12:
        raise Invalid("the body is no Parquet file", field="body", next_step="send what to_parquet() writes")
    if size > MAX_FOOTER:
        raise TooLarge(f"the Parquet file's footer is over {MAX_FOOTER} bytes", field="body", next_step="send less")
    return read_struct(body[-8 - size : -8] + b"\0", 0)[0]


def _schema(elements: list[dict[int, Any]]) -> list[Column]:
    columns = []
    for element in elements[1:]:
        name = element[4].decode()
        if element.get(5) or element.get(3) == 2:
            raise Invalid(f"column {name!r:.80} is nested", field=name, next_step="send flat columns")
        logical = element.get(10, {})
        columns.append(Column(name, element[1], element.get(3) == 1, element.get(6, -1), logical))
    if len({column.name for column in columns}) != len(columns):
        raise Invalid("two columns have one name", field="body", next_step="send each column once")
    return columns


def _chunk(body: bytes, column: Column, chunk: dict[int, Any], rows: int, budget: Budget) -> list[Any]:
    """A column's values of one group of rows."""
    at = min(offset for offset in (chunk[9], chunk.get(11) or chunk[9]) if offset >= len(_MAGIC))
    end = at + chunk[7]
    dictionary: Any = None
    found: list[Any] = []
    while at < end:
        head, start = read_struct(body, at)
        at = start + head[3]
        if at > end or end > len(body) or head[3] < 0:
            raise ValueError("a page beyond the end")
        budget.take(head[2])
        data = body[start:at]
        if head[1] == 2:
            plain = unpacked(data, chunk[4], head[2])
            budget.take(head[7][1])
            dictionary = pages.plain(plain, column.kind, head[7][1])
        elif head[1] in {0, 3}:
            values = _page(column, head, data, chunk[4], dictionary, rows - len(found))
            found += _meaning(column, values, budget)
    return found


def _page(column: Column, head: dict[int, Any], data: bytes, codec: int, dictionary: Any, left: int) -> Any:
    """A data page's values, with None where there is none; `left` bounds how many there may be."""
    is_second = head[1] == 3
    told = head[8 if is_second else 5]
    count = told[1]
    if not 0 <= count <= left:
        raise ValueError("more values than rows")
    levels = b""
    if is_second:
        cut = told[6] + told[5]
        if told[6] or told[5] < 0:
            raise ValueError("repeated values")
        levels, rest = data[:cut], data[cut:]
        plain = unpacked(rest, codec, head[2] - cut) if told.get(7, True) else rest
    else:
        plain = unpacked(data, codec, head[2])
        if column.is_optional:
            size = int.from_bytes(plain[:4], "little")
            levels, plain = plain[4 : 4 + size], plain[4 + size :]
    if not column.is_optional:
        return pages.values_of(plain, column.kind, told[4 if is_second else 2], count, dictionary)
    present = pages.run_lengths(levels, 1, count).astype(bool)
    values = pages.values_of(plain, column.kind, told[4 if is_second else 2], int(present.sum()), dictionary)
    if present.all():
        return values
    given = iter(values if isinstance(values, list) else _numbers(column, values))
    return _Sparse([next(given) if there else None for there in present.tolist()])


class _Sparse(list[Any]):
    """Values among which some are missing; numbers have their meaning already."""


def _meaning(column: Column, values: Any, budget: Budget) -> list[Any]:
    """Values as they would come in JSON."""
    if not isinstance(values, list):
        return _numbers(column, values)
    if column.kind != pages.BYTE_ARRAY:
        return values
    budget.take(sum(len(value) for value in values if value is not None))
    known: dict[bytes, str] = {}
    return [None if value is None else _text(column, value, known) for value in values]


def _text(column: Column, value: bytes, known: dict[bytes, str]) -> str:
    text = known.get(value)
    if text is None:
        try:
            text = known[value] = value.decode()
        except UnicodeDecodeError as error:
            raise Invalid(
                f"column {column.name!r:.80} holds bytes that are not UTF-8", field=column.name, next_step="send text"
            ) from error
    return text


def _numbers(column: Column, values: Any) -> list[Any]:
    """Numbers, times as microseconds; NaN is a missing value."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
            listed = values.astype(np.float64).tolist()
        return [None if value != value else value for value in listed] if np.isnan(values).any() else listed  # noqa: PLR0124  NaN
    if column.converted == 5 or 5 in column.logical:
        raise Invalid(f"column {column.name!r:.80} is decimal", field=column.name, next_step="send it as float")
    if column.kind == pages.INT96:
        return list((values // 1_000).tolist())
    if column.converted == _DATE or 6 in column.logical:
        return list((values.astype(np.int64) * _DAY).tolist())
    unit = column.logical.get(8, {}).get(2, {})
    if column.converted == _MILLIS or 1 in unit:
        return list((values * 1_000).tolist())
    if 3 in unit:
        return list((values // 1_000).tolist())
    whole = column.logical.get(10, {})
    if values.dtype.kind == "i" and (column.converted in _UNSIGNED or whole.get(2) is False):
        values = values.view(f"<u{values.dtype.itemsize}")
    return list(values.tolist())
