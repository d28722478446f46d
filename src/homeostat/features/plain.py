"""Features of a version without declared ones: the request's own columns, laid side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.features.encoding import category_text, codebooks_of
from homeostat.features.texts import TextTable
from homeostat.ground.records import Signature

_NUMBERS = ("number", "boolean")


class PlainReader:
    """Columns as they were sent: numbers and booleans as numbers, categories and texts as their codes."""

    def __init__(self, signature: Signature, texts: TextTable) -> None:
        self._texts = texts
        named = zip(signature.inputs, signature.columns, codebooks_of(signature.columns), strict=True)
        self._columns = [(column.name, feature.kind, codes) for column, feature, codes in named]
        numeric = all(column.kind == "number" for column in signature.columns)
        are_numbers = numeric and all(column.dtype in _NUMBERS for column in signature.inputs)
        self.direct: tuple[int, ...] | None = tuple(range(len(signature.inputs))) if are_numbers else None
        """Place of each vector column among the request's, when all are numbers; else None."""

    def vectors(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> NDArray[np.float64]:
        """A float64 matrix, one row per request row, in signature order; NaN = missing."""
        matrix = np.empty((len(times), len(self._columns)), dtype=np.float64)
        for place, (name, kind, codes) in enumerate(self._columns):
            values = inputs[name]
            if kind == "category":
                matrix[:, place] = [codes.get(category_text(value), np.nan) for value in values]
            elif kind == "text":
                matrix[:, place] = self._texts.codes_of(values)
            else:
                matrix[:, place] = np.array(values, dtype=np.float64)  # reads None as NaN
        return matrix
