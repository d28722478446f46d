"""Values out of a Parquet page: levels, dictionaries, plain and delta encodings, into NumPy arrays and lists of bytes.

Ends of data are IndexErrors and ValueErrors, which the reader of the file takes for what they are.
"""

from typing import Any

import numpy as np

from homeostat.compat.thrift_compact import read_number
from homeostat.ground.errors import Invalid

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY = range(7)
PLAIN, PLAIN_DICTIONARY, RLE, DELTA_BINARY, DELTA_LENGTH, RLE_DICTIONARY, SPLIT = 0, 2, 3, 5, 6, 8, 9
_DTYPES = {INT32: "<i4", INT64: "<i8", FLOAT: "<f4", DOUBLE: "<f8"}
_JULIAN_1970 = 2_440_588
_NANOSECONDS_A_DAY = 86_400_000_000_000


def values_of(data: bytes, kind: int, encoding: int, count: int, dictionary: Any) -> Any:
    """`count` values: an array, or a list of bytes.

    Raises:
        Invalid: for an encoding or a type that is not read here.
    """
    if encoding in {PLAIN_DICTIONARY, RLE_DICTIONARY}:
        if dictionary is None:
            raise ValueError("a page without its dictionary")
        places = run_lengths(data[1:], data[0], count) if count else np.empty(0, np.int64)
        if isinstance(dictionary, list):
            return [dictionary[place] for place in places.tolist()]
        return dictionary[places]
    if encoding == PLAIN:
        return plain(data, kind, count)
    if encoding == RLE and kind == BOOLEAN:
        return run_lengths(data[4:], 1, count).astype(bool)
    if encoding == DELTA_BINARY and kind in {INT32, INT64}:
        return _deltas(data, count)[0]
    if encoding == DELTA_LENGTH and kind == BYTE_ARRAY:
        lengths, at = _deltas(data, count)
        return _cut(data, at, lengths.tolist())
    if encoding == SPLIT and kind in {FLOAT, DOUBLE}:
        dtype = np.dtype(_DTYPES[kind])
        planes = np.frombuffer(data, np.uint8, count * dtype.itemsize).reshape(dtype.itemsize, count)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
    raise Invalid(
        f"the Parquet file has a page in encoding {encoding}, which is not read here",
        field="body",
        next_step="write it with pandas' or Polars' defaults",
    )


def plain(data: bytes, kind: int, count: int) -> Any:
    """Values one after the other.

    Raises:
        Invalid: for a type that is not read here.
    """
    if kind in _DTYPES:
        return np.frombuffer(data, _DTYPES[kind], count)
    if kind == BOOLEAN:
        return _bits(data, count).astype(bool)
    if kind == BYTE_ARRAY:
        return _plain_bytes(data, count)
    if kind == INT96:  # nanoseconds of a day and a Julian day: how Spark used to write times
        parts = np.frombuffer(data, np.dtype([("ns", "<i8"), ("day", "<i4")]), count)
        return (parts["day"].astype(np.int64) - _JULIAN_1970) * _NANOSECONDS_A_DAY + parts["ns"]
    raise Invalid(
        "the Parquet file has a column of fixed-length bytes",
        field="body",
        next_step="send numbers, texts, times or booleans",
    )


def run_lengths(data: bytes, width: int, count: int) -> Any:
    """Whole numbers of `width` bits, in runs of one value and runs of packed bits."""
    if width > 32:
        raise ValueError("numbers over 32 bits")
    parts, found, at = [], 0, 0
    while found < count:
        head, at = read_number(data, at)
        left = count - found
        if head & 1:
            size = (head >> 1) * width
            part = _packed(data[at : at + size], width, min((head >> 1) * 8, left))
        else:
            size = (width + 7) // 8
            if at + size > len(data):
                raise ValueError("a run beyond the end")
            part = np.full(min(head >> 1, left), int.from_bytes(data[at : at + size], "little"), np.int64)
        at += size
        if len(part) == 0:
            raise ValueError("an empty run")
        parts.append(part)
        found += len(part)
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _packed(data: bytes, width: int, count: int) -> Any:
    """`count` numbers, or as many as there are bits for."""
    if not width:
        return np.zeros(count, np.int64)
    count = min(count, len(data) * 8 // width)
    bits = _bits(data[: (count * width + 7) // 8], count * width).reshape(count, width)
    weights: Any = np.left_shift(np.int64(1), np.arange(width, dtype=np.int64))
    return bits.astype(np.int64) @ weights


def _bits(data: bytes, count: int) -> Any:
    if count > len(data) * 8:
        raise ValueError("too few bits")
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count]


def _plain_bytes(data: bytes, count: int) -> list[bytes]:
    found, at = [], 0
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + size > len(data):
            raise ValueError("a text beyond the end")
        found.append(data[at : at + size])
        at += size
    return found


def _deltas(data: bytes, count: int) -> tuple[Any, int]:
    """DELTA_BINARY_PACKED: a first value, then blocks of differences; and the place behind them."""
    block, at = read_number(data, 0)
    minis, at = read_number(data, at)
    total, at = read_number(data, at)
    first, at = _zigzag(data, at)
    if total != count or not 0 < minis <= 512 or not 0 < block <= 1 << 16 or block % (minis * 32):
        raise ValueError("blocks that do not fit")
    values = np.empty(count, np.int64)
    values[:1] = _wrapped(first)
    found = 1
    while found < count:
        smallest, at = _zigzag(data, at)
        widths, at = data[at : at + minis], at + minis
        for width in widths:
            if found >= count:
                break
            size = block // minis * width // 8
            if width > 64 or at + size > len(data):
                raise ValueError("a block beyond the end")
            deltas = _wide(data[at : at + size], width, block // minis)[: count - found]
            values[found : found + len(deltas)] = deltas + np.int64(_wrapped(smallest))
            found, at = found + len(deltas), at + size
    return np.cumsum(values), at


def _wide(data: bytes, width: int, count: int) -> Any:
    """Numbers of up to 64 bits."""
    if not width:
        return np.zeros(count, np.int64)
    bits = _bits(data, count * width).reshape(count, width).astype(np.uint64)
    weights: Any = np.left_shift(np.uint64(1), np.arange(width, dtype=np.uint64))
    return (bits * weights).sum(axis=1, dtype=np.uint64).view(np.int64)


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_number(data, at)
    return (value >> 1) ^ -(value & 1), at


def _wrapped(value: int) -> int:
    """Into 64 bits, as the format counts."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _cut(data: bytes, at: int, lengths: list[int]) -> list[bytes]:
    found = []
    for size in lengths:
        if size < 0 or at + size > len(data):
            raise ValueError("a text beyond the end")
        found.append(data[at : at + size])
        at += size
    return found
