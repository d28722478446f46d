"""Texts in a matrix of numbers: each is coded by its hash, and what a code stands for is known while it is needed.

A model that was registered by hand may take texts, and a row is float64 all the way from request to scorer. The code of
a text is the same in every process; which text it is, only the process that coded it knows, and not for ever.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

KEPT_BYTES = 64 << 20
"""What is remembered before a new page is begun; the page before stays readable. A request is at most a quarter."""
_ENTRY = 150
"""Bytes that an entry takes beside its text."""
_BITS = 53
"""Whole numbers up to here are exact in a float64."""


class TextTable:
    """Codes of texts and back, in two pages: what was coded lately is found, what is older than both is forgotten."""

    def __init__(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._texts: dict[int, str] = {}
        self._before: dict[int, str] = {}
        self._size = 0

    def codes_of(self, values: Iterable[Any]) -> list[float]:
        """A code for each value; NaN for None."""
        if self._size > self._kept_bytes:  # between requests, so that all of one are on one page
            self._before, self._texts, self._size = self._texts, {}, 0
        return [np.nan if value is None else self._code(value) for value in values]

    def text_of(self, code: float) -> str | None:
        """The text that a code stands for; None when it was forgotten."""
        number = int(code)
        text = self._texts.get(number)
        return self._before.get(number) if text is None else text

    def _code(self, text: str) -> float:
        code = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> (64 - _BITS)
        while self._texts.get(code, text) != text:  # two texts of one hash: once in 10^8 of full pages
            code = (code + 1) % (1 << _BITS)
        if code not in self._texts:
            self._texts[code] = text
            self._size += len(text) + _ENTRY
        return float(code)
