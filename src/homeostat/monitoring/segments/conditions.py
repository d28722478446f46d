"""Conditions that rows may meet: a value of a column, a range of a number, or none at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from homeostat.monitoring.segments.types import Condition, Floats, Mask

PARTS = 5
"""Quantile bins of a number."""
FEW_VALUES = 20
"""A number with no more values is taken value by value."""
MOST_VALUES = 50


def conditions_of(columns: Mapping[str, Sequence[Any]], *, least: int) -> list[tuple[Condition, Mask]]:
    """Each condition that at least `least` rows meet and at least as many do not, with the rows that meet it."""
    found = [one for name, values in sorted(columns.items()) for one in _of_column(name, values)]
    return [(condition, mask) for condition, mask in found if least <= mask.sum() <= len(mask) - least]


def _of_column(name: str, values: Sequence[Any]) -> list[tuple[Condition, Mask]]:
    missing = np.array([value is None or value != value for value in values])  # noqa: PLR0124  NaN is not itself
    found = [(Condition(column=name, text=f"{name} is missing"), missing)]
    known = [value for value, gone in zip(values, missing.tolist(), strict=True) if not gone]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        numbers = np.array(
            [np.nan if gone else float(value) for value, gone in zip(values, missing.tolist(), strict=True)]
        )
        if len(np.unique(numbers[~missing])) > FEW_VALUES:
            return found + _ranges(name, numbers)
    return found + _values(name, values, missing)


def _ranges(name: str, numbers: Floats) -> list[tuple[Condition, Mask]]:
    """Each bin, and everything above and below each edge: what is broken seldom keeps to bins."""
    edges = np.unique(np.nanquantile(numbers, np.arange(1, PARTS) / PARTS, method="inverted_cdf"))
    place = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="left"))
    last = len(edges)
    spans = [(part, part) for part in range(last + 1)]
    spans += [(0, part) for part in range(1, last)] + [(part, last) for part in range(1, last)]
    found = []
    for first, end in spans:
        low = "" if first == 0 else f"over {edges[first - 1]:.4g}"
        high = "" if end == last else f"up to {edges[end]:.4g}"
        text = f"{name} {' '.join(filter(None, (low, high)))}"
        found.append((Condition(column=name, text=text), (place >= first) & (place <= end)))
    return found


def _values(name: str, values: Sequence[Any], missing: Mask) -> list[tuple[Condition, Mask]]:
    texts = np.array([_text(value) for value in values], dtype=object)
    known, places, counts = np.unique(texts[~missing], return_inverse=True, return_counts=True)
    whole = np.full(len(texts), -1)
    whole[~missing] = places
    often = np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist()
    return [(Condition(column=name, text=f"{name} = {known[place]}"), whole == place) for place in often]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)[:80]
