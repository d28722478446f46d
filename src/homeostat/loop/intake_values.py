"""From values that somebody sent to the float64 vector of a feature; what cannot be one is told by its row.

A value outside a category's vocabulary has the code after the last, which falls into the bin of other values: a new
category in a feed is to be seen, not to look like a missing value.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.features.encoding import category_text, codebooks_of
from homeostat.ground.clock import parse_moment
from homeostat.ground.errors import Invalid
from homeostat.ground.records import FeatureColumn

Vector = NDArray[np.float64]
Bad = dict[int, tuple[str, str]]
"""By row: the field, and what is wrong with it."""

MAX_TEXT = 1_000
_WORDS = {"true": 1.0, "false": 0.0}
_PLAIN = {int, float, bool}


def vector_of(column: FeatureColumn, values: Sequence[Any], *, is_text: bool, is_time: bool, bad: Bad) -> Vector:
    """One value a row, NaN where it is missing; rows that cannot be read are added to `bad`."""
    if column.kind == "category":
        return _codes(column, values, bad)
    if column.kind == "text":  # a code that only the process that scores knows
        return np.full(len(values), np.nan)
    if is_time:
        return _each(column.name, values, _time, "a time", bad)
    if is_text:
        return _each(column.name, values, _parsed, "a number", bad)
    if set(map(type, values)) - {type(None)} <= _PLAIN:
        try:
            return np.array(values, dtype=np.float64)  # reads None as NaN
        except OverflowError:
            pass
    return _each(column.name, values, _number, "a number", bad)


def _each(name: str, values: Sequence[Any], read: Any, what: str, bad: Bad) -> Vector:
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        number = read(value)
        if number is None:
            bad.setdefault(row, (name, f"{value!r:.60} is not {what}"))
        else:
            found[row] = number
    return found


def _codes(column: FeatureColumn, values: Sequence[Any], bad: Bad) -> Vector:
    (codes,) = codebooks_of([column])
    other = float(len(column.categories))
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None or value != value:  # noqa: PLR0124  NaN
            continue
        text = category_text(value) if isinstance(value, str | int | float) else None
        if text is None or len(text) > MAX_TEXT:
            bad.setdefault(row, (column.name, f"{value!r:.60} is no category"))
        else:
            found[row] = codes.get(text, other)
    return found


def _number(value: Any) -> float | None:
    if type(value) not in _PLAIN:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _parsed(value: Any) -> float | None:
    try:
        return float(value)
    except ValueError:
        return _WORDS.get(str(value).lower())


def _time(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return float(parse_moment(value))
    except Invalid:
        return None
