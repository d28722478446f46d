"""Thrift's compact protocol, as far as Parquet's headers need it: values by field number, nothing else."""

from typing import Any

_MAX_DEPTH = 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = frozenset({4, 5, 6})


def read_struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The struct at a place as a dict by field number, and the place behind it.

    Raises:
        ValueError: when it is not well made. IndexError: when it does not end.
    """
    return _struct(data, at, 0)


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    fields: dict[int, Any] = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(data, head & 15, at, depth)
    return fields, at + 1


def _value(data: bytes, kind: int, at: int, depth: int) -> tuple[Any, int]:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if kind == _BYTE:
        return data[at], at + 1
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        size, at = read_number(data, at)
        return data[at : at + size], at + size
    if kind in {_LIST, _SET}:
        return _list(data, at, depth)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    raise ValueError(f"type {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = data[at], at + 1
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = read_number(data, at)
    if size > len(data) - at:  # each element has a byte at least
        raise ValueError("a list beyond the end")
    values = []
    for _ in range(size):
        value, at = (data[at] == _TRUE, at + 1) if kind in {_TRUE, _FALSE} else _value(data, kind, at, depth + 1)
        values.append(value)
    return values, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A signed number, in zigzag form."""
    value, at = read_number(data, at)
    return (value >> 1) ^ -(value & 1), at


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of 7 bits a byte, and the place behind it.

    >>> read_number(bytes([0x96, 0x01]), 0)
    (150, 2)
    """
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number over 64 bits")
