"""How far each of several windows stands from all of them together: scores that treat every window alike.

Each column gives a few scores a window: of numbers the location and the spread of ranks and the distance of the bins,
of categories the distance, of both the share of missing rows. A score is standardised by how much windows differ from
each other (the day effect, estimated from all of them) and by what its own number of rows adds, so that a small window
does not stand out for being small. Since the window in question is treated like all the others, its rank among them is
exact when it is nothing special, whatever the windows' distribution (conformal prediction, symmetric form).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from homeostat.monitoring.calibrated.subtests import midranks, orthonormal
from homeostat.monitoring.calibrated.tables import Bools, Counts, Floats


class Score(NamedTuple):
    """One aspect of one column over the windows."""

    column: int
    aspect: str
    """'location', 'spread', 'distance' or 'missing'."""
    values: Floats
    """As measured, by window; NaN where the window has too few rows for it."""
    noise: Floats
    """Variance of each value that comes from its number of rows alone."""
    standard: Floats
    """Standardised over the windows, large when unusual; 0 where unknown."""


def scores_of(kinds: Sequence[str], stacks: Sequence[Counts], *, few: int) -> list[Score]:
    """All scores; one kind ('num' or 'cat') and one array of windows x (cells, then missing) for each column.

    A window with fewer than `few` values in a column has no say about the values there.
    """
    found: list[Score] = []
    for column, (kind, stack) in enumerate(zip(kinds, stacks, strict=True)):
        values, missing = stack[:, :-1].astype(np.float64), stack[:, -1].astype(np.float64)
        if kind == "num":
            found.extend(_positions(column, values, few))
        found.extend(_distance(column, values, few))
        found.extend(_missing(column, missing, missing + values.sum(axis=1), few))
    return found


def _positions(column: int, values: Floats, few: int) -> list[Score]:
    """Location and spread: mean scores of the ranks that the pooled windows give to the bins."""
    rows, total = values.sum(axis=1), values.sum()
    if not total:
        return []
    weights = values.sum(axis=0) / total
    found = []
    for aspect, score in zip(("location", "spread"), orthonormal(midranks(weights), weights, degree=2), strict=False):
        means = values @ score / np.maximum(rows, 1)
        found.append(_score(column, aspect, means, 1 / np.maximum(rows, 1), known=rows >= few, two_sided=True))
    return found


def _distance(column: int, values: Floats, few: int) -> list[Score]:
    """Chi-square distance from the pooled windows, over what chance and the usual day effect explain of it.

    A cube root makes it about normal (Wilson and Hilferty, 1931), however many categories there are.
    """
    rows, total = values.sum(axis=1), values.sum()
    cells = values[:, values.sum(axis=0) > 0]
    free = cells.shape[1] - 1
    if not total or free < 1:
        return []
    expected = rows[:, None] * (cells.sum(axis=0) / total)
    known = rows >= few
    statistic = ((cells - expected) ** 2 / np.maximum(expected, 1e-300)).sum(axis=1)
    excess = max(0.0, float((statistic - free)[known].sum() / max(free * rows[known].sum(), 1)))
    ratio = statistic / (free * (1 + rows * excess))
    return [
        _score(column, "distance", np.cbrt(ratio), np.full(len(rows), 2 / (9 * free)), known=known, two_sided=False)
    ]


def _missing(column: int, missing: Floats, rows: Floats, few: int) -> list[Score]:
    """The share of rows without a value, on the scale where its noise depends on the number of rows alone."""
    if not missing.any():
        return []
    share = missing / np.maximum(rows, 1)
    angle = 2 * np.arcsin(np.sqrt(share))
    return [_score(column, "missing", angle, 1 / np.maximum(rows, 1), known=rows >= few, two_sided=True)]


def _score(column: int, aspect: str, values: Floats, noise: Floats, *, known: Bools, two_sided: bool) -> Score:
    """Standardised by the spread of the windows, which is never less than what their number of rows explains."""
    standard = np.zeros(len(values))
    if np.count_nonzero(known) > 2:
        off = values[known] - values[known].mean()
        between = max(0.0, float(off @ off) / (len(off) - 1) - float(noise[known].mean()))
        ratio = off / np.sqrt(between + noise[known])
        standard[known] = np.abs(ratio) if two_sided else ratio
    return Score(column, aspect, np.where(known, values, np.nan), noise, standard)
