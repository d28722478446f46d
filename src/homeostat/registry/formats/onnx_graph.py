"""What an ONNX file says of itself, without ONNX: the operator behind each output, and the names of classes.

A file is a protobuf message; only the few fields that answer these questions are walked, and no tensor is read.
"""

from collections.abc import Iterator

import msgspec

_GRAPH, _NODE = 7, 1
_OUTPUT, _OPERATOR, _ATTRIBUTE = 2, 4, 5
_NAME, _INTEGERS, _STRINGS = 1, 8, 9


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a graph, as far as it says what comes out."""

    operators: dict[str, str] = {}
    """Name of a value to the operator that made it."""
    classes: tuple[str, ...] = ()


def read_graph(data: bytes) -> Graph:
    """The graph of a model; an empty one when the bytes are no such message."""
    operators: dict[str, str] = {}
    classes: tuple[str, ...] = ()
    try:
        for graph in _members(memoryview(data), _GRAPH):
            for node in _members(graph, _NODE):
                operator = _text(*_members(node, _OPERATOR))
                operators |= {_text(output): operator for output in _members(node, _OUTPUT)}
                classes = _labels(node) or classes
    except (ValueError, IndexError):
        return Graph()
    return Graph(operators=operators, classes=classes)


def _labels(node: memoryview) -> tuple[str, ...]:
    for attribute in _members(node, _ATTRIBUTE):
        name = _text(*_members(attribute, _NAME))
        if name in {"classlabels_strings", "classlabels_int64s", "classlabels_ints"}:
            texts = [_text(text) for text in _members(attribute, _STRINGS)]
            return tuple(texts or [str(number) for number in _integers(attribute)])
    return ()


def _integers(attribute: memoryview) -> Iterator[int]:
    for number, value in _fields(attribute):
        if number != _INTEGERS:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        at = 0
        while at < len(value):
            one, at = _varint(value, at)
            yield _signed(one)


def _text(*parts: memoryview) -> str:
    return b"".join(parts).decode()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _members(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Each field's number, with its bytes or its whole number; those of a fixed width are passed over.

    Raises:
        ValueError: when it is cut off or of a kind that protobuf has not.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = _varint(message, at)
            if size > len(message) - at:
                raise ValueError("it is cut off")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("a kind of field that there is not")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")
