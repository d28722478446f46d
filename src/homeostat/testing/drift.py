"""Tables and streams whose truth is known: what the calibrated decisions are measured on, and can be again.

The tests hold them to their promise at a few sizes; `benchmarks/monitoring/calibration.py` writes the tables of
docs/calibrated-drift.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from homeostat.ground.records import ColumnBins
from homeostat.monitoring.calibrated.columns import LIVE_FLOOR, ColumnPair, judge
from homeostat.monitoring.calibrated.tables import Counts, Floats
from homeostat.monitoring.calibrated.windows import Window, decide

Columns = dict[str, Floats]
"""Values by column; categories are codes."""

CATEGORIES = (2, 3, 5, 20, 100)
SPREAD = {
    "normal": 1.0,
    "lognormal": float(np.sqrt((np.e - 1) * np.e)),
    "uniform": 12**-0.5,
    "gamma": 2**0.5,
    "with": 1.0,
}
"""Standard deviation by the first word of a column's name."""


def mixed(
    rng: np.random.Generator,
    rows: int,
    *,
    categories: Sequence[int] = CATEGORIES,
    shift: float = 0.0,
    names: Sequence[str] = (),
) -> Columns:
    """15 number columns, then categories of Zipf's shares; those of `names` up by `shift` standard deviations.

    The numbers: six normal, three lognormal, three uniform, two gammas rounded to ties, a normal with 5 % missing.
    """
    columns = {f"normal {index}": rng.normal(size=rows) for index in range(6)}
    columns |= {f"lognormal {index}": rng.lognormal(size=rows) for index in range(3)}
    columns |= {f"uniform {index}": rng.uniform(size=rows) for index in range(3)}
    columns |= {f"gamma {index}": rng.gamma(2, size=rows) for index in range(2)}
    columns["with nulls"] = np.where(rng.uniform(size=rows) < 0.05, np.nan, rng.normal(size=rows))
    for name in names:
        columns[name] += shift * SPREAD[name.split()[0]]
    for index in range(2):
        columns[f"gamma {index}"] = np.round(columns[f"gamma {index}"], 1 - index)
    for values in categories:
        shares = zipf(values)
        columns[f"category {values}"] = rng.choice(values, size=rows, p=shares).astype(np.float64)
    return columns


def zipf(values: int) -> Floats:
    """Shares of so many categories, each as large as its place to the power -0.8."""
    weights = np.arange(1.0, values + 1) ** -0.8
    shares: Floats = weights / weights.sum()
    return shares


def kind(name: str) -> str:
    """'cat' or 'num', by a column's name here."""
    return "cat" if name.startswith("category") else "num"


def pairs(reference: Mapping[str, Floats], current: Mapping[str, Floats]) -> Iterator[ColumnPair]:
    """The columns of two tables as `judge` reads them."""
    for name, values in reference.items():
        yield ColumnPair(name, kind(name), values, current[name])


class Seen(NamedTuple):
    """Of repeated comparisons, the share in which ..."""

    any_column: float
    """a column was called drifted, whichever,"""
    moved: float
    """the column that had moved was (the first of them, if several), at any effect,"""
    floored: float
    """the same, and its effect was at least the floor of live monitoring;"""
    columns: float
    """and how many columns were, on average."""


def seen(
    rows: tuple[int, int],
    repeats: int,
    *,
    shift: float = 0.0,
    names: Sequence[str] = (),
    categories: Sequence[int] = CATEGORIES,
    alpha: float = 0.05,
    seed: int = 0,
) -> Seen:
    """How often two tables of so many rows are called drifted, when `names` of the second are shifted."""
    rng = np.random.default_rng(seed)
    found = np.zeros((repeats, 4))
    for place in range(repeats):
        reference = mixed(rng, rows[0], categories=categories)
        current = mixed(rng, rows[1], categories=categories, shift=shift, names=names)
        drifted = {one.name: one for one in judge(pairs(reference, current), alpha=alpha, effect=0.0) if one.drifted}
        moved = drifted.get(names[0]) if names else None
        is_large = moved is not None and moved.effect is not None and moved.effect >= LIVE_FLOOR
        found[place] = (bool(drifted), moved is not None, is_large, len(drifted))
    return Seen(*found.mean(axis=0).tolist())


# Streams of windows --------------------------------------------------------------------------------------------------

NUMBERS = 15


class Stream:
    """Windows over 15 normal columns and five categories, in which each window has offsets of its own.

    Counts are drawn by bin, so that a window of any number of rows costs as much as a small one.
    """

    def __init__(self, rng: np.random.Generator, *, day_effect: float, reference_rows: int = 50_000) -> None:
        """Draw the reference, which has no offset: it spans many days.

        `day_effect` is the standard deviation of a window's offset: of numbers in theirs, of categories in the
        logarithm of their shares.
        """
        self._rng = rng
        self._day_effect = day_effect
        self.names = [f"normal {index}" for index in range(NUMBERS)] + [f"category {values}" for values in CATEGORIES]
        self.reference = tuple(
            self._bins(name, counts) for name, counts in zip(self.names, self._draw(reference_rows, 0, {}), strict=True)
        )

    def window(self, start: int, rows: int, *, shifts: Mapping[str, float] | None = None) -> Window:
        """One window; `shifts` moves columns by so many standard deviations."""
        return Window(start=start, counts=tuple(self._draw(rows, self._day_effect, shifts or {})))

    def _bins(self, name: str, counts: Counts) -> ColumnBins:
        rows = tuple(int(number) for number in counts)
        if kind(name) == "num":
            return ColumnBins(name=name, kind="number", edges=tuple(EDGES.tolist()), counts=rows)
        return ColumnBins(name=name, kind="category", categories=tuple(map(str, range(len(rows) - 2))), counts=rows)

    def _draw(self, rows: int, day_effect: float, shifts: Mapping[str, float]) -> Iterator[Counts]:
        from scipy.special import ndtr

        for name in self.names:
            if kind(name) == "num":
                offset = day_effect * self._rng.normal() + shifts.get(name, 0.0)
                shares = np.diff(ndtr(EDGES - offset), prepend=0, append=1)
                yield np.append(self._rng.multinomial(rows, shares), 0)
            else:
                known = zipf(int(name.split()[1]))
                known = known * np.exp(day_effect * self._rng.normal(size=len(known)))
                yield np.append(self._rng.multinomial(rows, known / known.sum()), [0, 0])


def alarms(
    rows: int | Sequence[int],
    past: int,
    repeats: int,
    *,
    day_effect: float,
    shift: float = 0.0,
    alpha: float = 0.05,
    floor: float = 0.0,
    seed: int = 0,
) -> Seen:
    """How often a window after `past` others is called drifted, when its first column is shifted.

    `rows` of a window, or several numbers of which each window has one by chance.
    """
    rng = np.random.default_rng(seed)
    stream = Stream(rng, day_effect=day_effect)
    first, sizes = stream.names[0], np.atleast_1d(rows)
    found = np.zeros((repeats, 4))
    for place in range(repeats):
        before = [stream.window(start, int(rng.choice(sizes))) for start in range(past)]
        now = stream.window(past, int(rng.choice(sizes)), shifts={first: shift})
        report = decide(stream.reference, now, before, alpha=alpha, floor=floor)
        moved = report.columns[0] if report.columns[0].drifted else None
        is_large = moved is not None and moved.effect is not None and moved.effect >= LIVE_FLOOR
        found[place] = (report.status == "drift", moved is not None, is_large, len(report.drifted()))
    return Seen(*found.mean(axis=0).tolist())


EDGES: Floats = np.array(
    [
        -1.5341,
        -1.1503,
        -0.8871,
        -0.6745,
        -0.4888,
        -0.3186,
        -0.1573,
        0,
        0.1573,
        0.3186,
        0.4888,
        0.6745,
        0.8871,
        1.1503,
        1.5341,
    ]
)
"""Sixteen bins of a normal column."""
