"""XGBoost's files, UBJSON or JSON, as plain data: read within their own bounds before the native reader sees them.

The native reader follows nested values by recursion and sizes as they are declared; a crafted file would take the
process down with it.
"""

from typing import Any

import msgspec
import numpy as np

from homeostat.ground.errors import Corrupt

DEEPEST = 64
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}


def read_document(data: bytes) -> dict[str, Any]:
    """The document of a `.ubj` or `.json` file; typed arrays come as NumPy arrays.

    Raises:
        Corrupt: when it is cut off, declares more than it holds, or nests deeper than models do.
    """
    try:
        is_text = data[:2].rstrip()[:1] == b"{" and data[1:2] in b' \n\r\t"'
        document = msgspec.json.decode(data) if is_text else _Reader(data).document()
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        raise Corrupt(
            f"the XGBoost file cannot be read: {error!s:.200}", next_step="package the model again"
        ) from error
    if not isinstance(document, dict):
        raise Corrupt("the XGBoost file holds no model", next_step="package the model again")
    return document


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def document(self) -> Any:
        value = self._value(self._mark(), 0)
        if self._at != len(self._data):
            raise ValueError("there is more after its end")
        return value

    def _take(self, count: int) -> bytes:
        if count < 0 or count > len(self._data) - self._at:
            raise ValueError("it is cut off, or declares more than it holds")
        self._at += count
        return self._data[self._at - count : self._at]

    def _mark(self) -> str:
        return self._take(1).decode("latin-1")

    def _number(self, mark: str) -> Any:
        kind = np.dtype(_NUMBERS[mark])
        return np.frombuffer(self._take(kind.itemsize), kind)[0].item()

    def _size(self) -> int:
        mark = self._mark()
        if mark not in "iUIlL":
            raise ValueError("a size is no whole number")
        return int(self._number(mark))

    def _text(self) -> str:
        return self._take(self._size()).decode()

    def _value(self, mark: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("it nests too deep")
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._array(depth)
        if mark == "S":
            return self._text()
        if mark in "ZTF":
            return {"Z": None, "T": True, "F": False}[mark]
        return self._number(mark)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._text()
            if name in found:
                raise ValueError("a name stands twice")
            found[name] = self._value(self._mark(), depth + 1)
        self._at += 1
        return found

    def _array(self, depth: int) -> Any:
        if self._peek() == "$":
            self._at += 1
            kind = np.dtype(_NUMBERS[self._mark()])
            if self._mark() != "#":
                raise ValueError("a typed array has no size")
            return np.frombuffer(self._take(self._size() * kind.itemsize), kind)
        if self._peek() == "#":
            self._at += 1
            return [self._value(self._mark(), depth + 1) for _ in range(self._bounded(self._size()))]
        found = []
        while self._peek() != "]":
            found.append(self._value(self._mark(), depth + 1))
        self._at += 1
        return found

    def _bounded(self, count: int) -> int:
        if count < 0 or count > len(self._data) - self._at:  # every value takes a byte at least
            raise ValueError("it declares more than it holds")
        return count

    def _peek(self) -> str:
        return self._data[self._at : self._at + 1].decode("latin-1") or self._take(1).decode()
