"""From the records of a spool to the operations that a server takes in; points are gathered by series."""

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.tracking.ops import Op, Series
from homeostat.tracking.spool.records import APART, APART_HEAD, HEAD, KEYS, OP, POINT, POINT_HEAD, SERIES, SERIES_HEAD

_SAME_FROM = 4
"""From so many records of one shape in a row on it is cheaper to read them as a table."""
_TABLE_ROWS = 1 << 15
_KIND_AND_SHAPE = struct.Struct("<cI")
_decode_op = msgspec.msgpack.Decoder(Op).decode

Column = NDArray[Any]
Arrays = tuple[Column, Column, Column]
Gathered = dict[str, list[Arrays]]
Scattered = dict[tuple[bytes, int], list[int]]


class Decoder:
    """Reads records in order; it has to have seen the keys of a shape before points of that shape."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._shapes: dict[int, list[str]] = {}
        self.unnamed = 0
        """Records whose keys were lost with a damaged stretch."""

    def decode(self, data: bytes) -> list[Op]:
        """The operations of whole records, a `Series` for each key last."""
        ops: list[Op] = []
        gathered: Gathered = {}
        single: Scattered = {}
        position, size = 0, len(data)
        while position < size:
            length = HEAD.unpack_from(data, position)[1]
            start, end = position + HEAD.size, position + HEAD.size + length
            kind = data[start : start + 1]
            if kind in (POINT, APART):
                end = self._read_points(data, position, length, gathered, single)
            elif kind == SERIES:
                key, arrays = _series_of(data, start)
                gathered.setdefault(key, []).append(arrays)
            elif kind == KEYS:
                number, keys = msgspec.msgpack.decode(data[start + 1 : end])
                self._shapes[number] = keys
            elif kind == OP:
                ops.append(_decode_op(data[start + 1 : end]))
            position = end
        whole, eight = np.frombuffer(data, np.uint8), np.arange(8)
        for (kind, shape), found in single.items():
            places = np.array(found)[:, np.newaxis] + eight
            self._gather_columns(kind, self._shapes[shape], _scattered(whole, places), gathered)
        return ops + [self._joined(key, parts) for key, parts in gathered.items()]

    def _read_points(
        self,
        data: bytes,
        position: int,
        length: int,
        gathered: Gathered,
        single: Scattered,
    ) -> int:
        """Take in the record at `position` and those of its shape that follow it; returns where they end."""
        start, size = position + HEAD.size, HEAD.size + length
        kind, shape = _KIND_AND_SHAPE.unpack_from(data, start)
        rows = _same_shape(data, position, size, start)
        if shape not in self._shapes:
            self.unnamed += rows
        elif rows < _SAME_FROM:
            single.setdefault((kind, shape), []).extend(range(position, position + rows * size, size))
        else:
            block = np.frombuffer(data, np.uint8, rows * size, position).reshape(rows, size)
            self._gather_columns(kind, self._shapes[shape], lambda at, of: _column(block[:, at : at + 8], of), gathered)
        return position + rows * size

    def _gather_columns(
        self, kind: bytes, keys: list[str], column: Callable[[int, type[np.generic]], Column], gathered: Gathered
    ) -> None:
        is_apart = kind == APART
        head = HEAD.size + (APART_HEAD if is_apart else POINT_HEAD).size
        times, steps = column(head - 8, np.int64), None if is_apart else column(head - 16, np.int64)
        first = head + 8 * len(keys) if is_apart else head
        for index, key in enumerate(keys):
            of_key = column(head + 8 * index, np.int64) if steps is None else steps
            gathered.setdefault(key, []).append((of_key, times, column(first + 8 * index, np.float64)))

    def _joined(self, key: str, parts: list[Arrays]) -> Series:
        steps, at, values = (b"".join(part[column].tobytes() for part in parts) for column in range(3))
        return Series(self._run, key, steps, at, values)


def _same_shape(data: bytes, position: int, size: int, start: int) -> int:
    """How many records from `position` on are points of one shape."""
    prefix, skip = data[start : start + 5], HEAD.size  # kind and shape; equal ones are equally long
    most = min((len(data) - position) // size, _TABLE_ROWS)
    for row in range(1, min(most, _SAME_FROM)):
        at = position + row * size + skip
        if data[at : at + 5] != prefix:
            return row
    if most < _SAME_FROM:
        return most
    table = np.frombuffer(data, np.uint8, most * size, position).reshape(most, size)[:, skip : skip + 5]
    differs = np.flatnonzero((table != np.frombuffer(prefix, np.uint8)).any(axis=1))
    return int(differs[0]) if len(differs) else most


def _scattered(whole: NDArray[np.uint8], places: NDArray[np.int64]) -> Callable[[int, type[np.generic]], Column]:
    """How a column is read from records that lie between others."""
    return lambda at, of: _column(whole[places + at], of)


def _column(eights: NDArray[np.uint8], kind: type[np.generic]) -> Column:
    return np.ascontiguousarray(eights).view(kind).reshape(-1)


def _series_of(data: bytes, start: int) -> tuple[str, Arrays]:
    _, name, points = SERIES_HEAD.unpack_from(data, start)
    at = start + SERIES_HEAD.size
    key, at = data[at : at + name].decode(), at + name
    steps = np.frombuffer(data, np.int64, points, at)
    times = np.frombuffer(data, np.int64, points, at + 8 * points)
    return key, (steps, times, np.frombuffer(data, np.float64, points, at + 16 * points))
