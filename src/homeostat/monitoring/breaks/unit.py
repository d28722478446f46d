"""Another unit: overnight all quantiles of a column jump by one factor, or as degrees Fahrenheit become Celsius.

A day is held against the calm days just before, since the training rows may be of another season. The jump has to be
many times what days differ anyway: mean delays change sixfold overnight when a storm comes. And the new unit has to
explain the day far better than the old one: a windy day may have 1.6 times the wind of the day before, but its
quantiles do not follow to a twentieth of their spread, as those of distances in kilometres do.
"""

import numpy as np

from homeostat.ground.clock import DAY
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.breaks.types import MIN_ROWS, Break, Floats, Sample

POINTS = (0.1, 0.25, 0.5, 0.75, 0.9)
SMALL, LARGE = 1.2, 3.0
"""Factors (or one divided by them) that could be weather, and that could not."""
EXACT, ROUGH = 0.05, 0.6
"""How far a quantile may lie from where the new unit puts it, in quartile distances; of small and of large changes."""
OTHERS = 0.5
"""Share of the rows with a value that the calm days did not have: another unit has other round numbers."""
CALM_DAYS, JUMP = 3, 5.0
"""Calm days that are needed, and how many times their largest change from one to the next the jump of most quantiles
has to be."""
BETTER = 5.0
"""How much better the new unit has to fit than the old one."""

DEGREES = (
    ("degrees Celsius instead of Fahrenheit", 5 / 9, -160 / 9),
    ("degrees Fahrenheit instead of Celsius", 1.8, 32.0),
    ("kelvins instead of degrees Celsius", 1.0, 273.15),
    ("degrees Celsius instead of kelvins", 1.0, -273.15),
)


def unit_break(column: ColumnBins, calm: Sample, place: int, day: Floats) -> Break | None:
    """What the values of a day say against those of calm days; None where the unit is the same, or nobody can tell."""
    days = _by_day(calm, place)
    if len(days) < CALM_DAYS:
        return None
    before, after = np.concatenate(days), day[np.isfinite(day)]
    if column.kind != "number" or min(len(before), len(after)) < MIN_ROWS:
        return None
    then, now = np.quantile(before, POINTS), np.quantile(after, POINTS)
    spread_then, spread_now = then[3] - then[1], now[3] - now[1]
    if spread_then <= 0 or spread_now <= 0 or float((~np.isin(after, before)).mean()) < OTHERS:
        return None
    stays = float(np.abs(now - then).max())
    each = np.array([np.quantile(one, POINTS) for one in days])
    usual = np.maximum(np.abs(np.diff(each, axis=0)).max(axis=0), 0.01 * spread_then)
    if np.median(np.abs(now - then) / usual) < JUMP:
        return None
    # A Sunday is held against the calm day that it is most like: pooled, weekdays would blur what the unit explains.
    fits = [
        (float(np.abs(now - (factor * one + offset)).max()), name, factor, allowed * spread_now)
        for one in each
        for name, factor, offset, allowed in _candidates(one, now)
    ]
    for misses, name, factor, allowed in sorted(fits):  # the unit that explains most
        if misses <= allowed and stays >= BETTER * max(misses, 0.01 * spread_then):
            text = f"values look like {name}: the median is {now[2]:.4g}, the days before it was {then[2]:.4g}"
            numbers = {"factor": round(factor, 4), "median": float(now[2]), "before": float(then[2])}
            return Break(check="unit", column=column.name, text=text, numbers=numbers)
    return None


def _by_day(calm: Sample, place: int) -> list[Floats]:
    """The values of each calm day that has enough."""
    values, days = calm.values[:, place], calm.at // DAY
    known = np.isfinite(values)
    found = [values[known & (days == day)] for day in np.unique(days).tolist()]
    return [one for one in found if len(one) >= MIN_ROWS]


def _candidates(then: Floats, now: Floats) -> list[tuple[str, float, float, float]]:
    found = [(name, factor, offset, ROUGH) for name, factor, offset in DEGREES]
    ratios = now[then != 0] / then[then != 0]
    factor = float(np.median(ratios)) if len(ratios) else 0.0
    size = max(factor, 1 / factor) if factor > 0 else 0.0
    if size >= SMALL:
        name = f"{factor:.4g} times what they were"
        found.append((name, factor, 0.0, ROUGH if size >= LARGE else EXACT))
    return found
