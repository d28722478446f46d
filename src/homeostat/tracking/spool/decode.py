"""From the records of a spool to the operations that a server takes in; points are gathered by series."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.tracking.ops import Op, Series
from homeostat.tracking.spool.records import HEAD, KEYS, OP, POINT, POINT_HEAD, SERIES, SERIES_HEAD

_SAME_FROM = 4
"""From so many records of one shape in a row on it is cheaper to read them as a table."""
_TABLE_ROWS = 1 << 15
_decode_op = msgspec.msgpack.Decoder(Op).decode

Column = NDArray[Any]
Arrays = tuple[Column, Column, Column]


class Decoder:
    """Reads records in order; it has to have seen the keys of a shape before points of that shape."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._shapes: dict[int, list[str]] = {}

    def decode(self, data: bytes) -> list[Op]:
        """The operations of whole records, a `Series` for each key last."""
        ops: list[Op] = []
        gathered: dict[str, list[Arrays]] = {}
        single: dict[int, list[int]] = {}
        position, size = 0, len(data)
        while position < size:
            length = HEAD.unpack_from(data, position)[1]
            start, end = position + HEAD.size, position + HEAD.size + length
            kind = data[start : start + 1]
            if kind == POINT:
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
        for shape, positions in single.items():
            self._gather(data, shape, np.array(positions), gathered)
        return ops + [self._joined(key, parts) for key, parts in gathered.items()]

    def _read_points(
        self,
        data: bytes,
        position: int,
        length: int,
        gathered: dict[str, list[Arrays]],
        single: dict[int, list[int]],
    ) -> int:
        """Take in the record at `position` and those of its shape that follow it; returns where they end."""
        start, size = position + HEAD.size, HEAD.size + length
        shape = POINT_HEAD.unpack_from(data, start)[1]
        rows = _same_shape(data, position, size, start)
        if rows < _SAME_FROM:
            single.setdefault(shape, []).extend(range(position, position + rows * size, size))
        else:
            block = np.frombuffer(data, np.uint8, rows * size, position).reshape(rows, size)
            self._gather_columns(shape, lambda at, kind: _column(block[:, at : at + 8], kind), gathered)
        return position + rows * size

    def _gather(self, data: bytes, shape: int, positions: Column, gathered: dict[str, list[Arrays]]) -> None:
        """Take in points of one shape that lie scattered between others."""
        whole, eight = np.frombuffer(data, np.uint8), np.arange(8)
        self._gather_columns(
            shape, lambda at, kind: _column(whole[(positions + at)[:, np.newaxis] + eight], kind), gathered
        )

    def _gather_columns(
        self, shape: int, column: Callable[[int, type[np.generic]], Column], gathered: dict[str, list[Arrays]]
    ) -> None:
        at = HEAD.size + POINT_HEAD.size
        steps, times = column(at - 16, np.int64), column(at - 8, np.int64)
        for index, key in enumerate(self._shapes[shape]):
            gathered.setdefault(key, []).append((steps, times, column(at + 8 * index, np.float64)))

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


def _column(eights: NDArray[np.uint8], kind: type[np.generic]) -> Column:
    return np.ascontiguousarray(eights).view(kind).reshape(-1)


def _series_of(data: bytes, start: int) -> tuple[str, Arrays]:
    _, name, points = SERIES_HEAD.unpack_from(data, start)
    at = start + SERIES_HEAD.size
    key, at = data[at : at + name].decode(), at + name
    steps = np.frombuffer(data, np.int64, points, at)
    times = np.frombuffer(data, np.int64, points, at + 8 * points)
    return key, (steps, times, np.frombuffer(data, np.float64, points, at + 16 * points))
