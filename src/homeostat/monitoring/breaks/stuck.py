"""A sensor that sticks, and a feature that is no longer updated."""

import numpy as np

from homeostat.ground.clock import HOUR
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.breaks.types import MIN_ROWS, Break, Counts, Floats, Sample

DOMINATES, USUALLY = 0.95, 0.8
"""Share of the rows with a value that one value must have, and that none may have had in half a calm day."""
BLOCK = 12 * HOUR
"""Half a day, for a temperature may stand still for an afternoon."""
NEW = 0.005
"""Share of the rows up to which hardly any has a value that the half day before had not."""
FEWER = 0.3
"""And how many different values there are, against the fewest of a half day in calm days."""
BLOCK_ROWS, CALM_BLOCKS, LEAST_VALUES = 100, 2, 6


def is_candidate(column: ColumnBins, day: Counts) -> bool:
    """Whether the counters of a day say that one bin dominates which did not: a reason to look at the rows."""
    reference = np.asarray(column.counts, dtype=np.float64)[:-1]
    counts = day[:-1]
    rows = counts.sum()
    if rows < MIN_ROWS or not reference.sum():
        return False
    place = int(counts.argmax())
    return bool(counts[place] >= DOMINATES * rows and reference[place] <= 0.5 * reference.sum())


def stuck_break(column: ColumnBins, day: Counts, values: Floats, calm: Sample, place_of: int) -> Break | None:
    """One value suddenly in nearly all rows of a day. What stands still for half a day anyway, as weekdays do, may."""
    known = values[~np.isnan(values)]
    if not is_candidate(column, day) or len(known) < MIN_ROWS:
        return None
    found, counts = np.unique(known, return_counts=True)
    place = int(counts.argmax())
    share = counts[place] / len(known)
    blocks = _calm_blocks(calm, place_of)
    if share < DOMINATES or len(blocks) < CALM_BLOCKS or max(map(_most, blocks)) >= USUALLY:
        return None
    reference = np.asarray(column.counts, dtype=np.float64)[:-1]
    most = float(reference[int(day[:-1].argmax())] / reference.sum())
    value = float(found[place])
    shown: object = value
    if column.kind != "number" and 0 <= value < len(column.categories):
        shown = column.categories[int(value)]
    text = f"{share:.1%} of the rows have the value {shown}, at most {most:.1%} of the training rows"
    numbers = {"value": shown, "share": round(float(share), 4), "reference_at_most": round(most, 4)}
    return Break(check="stuck", column=column.name, text=text, numbers=numbers)


def frozen_break(column: ColumnBins, calm: Sample, recent: Sample, place: int, *, now: int) -> Break | None:
    """For half a day no value that was not there in the half day before, and far fewer values than ever in calm days.

    What is left are the values at which each entity stands still. A feature that has few values is not called frozen.
    """
    if column.kind != "number":
        return None
    last, before = (_block(recent, place, end) for end in (now, now - BLOCK))
    if min(len(last), len(before)) < BLOCK_ROWS or float((~np.isin(last, before)).mean()) > NEW:
        return None
    blocks = _calm_blocks(calm, place)
    usual = min((len(np.unique(block)) for block in blocks), default=0)
    values = len(np.unique(last))
    if len(blocks) < CALM_BLOCKS or usual < LEAST_VALUES or values > FEWER * usual or _is_usual(column, last):
        return None
    text = f"no new value for twelve hours, and {values} different ones in all; in calm days there are {usual} or more"
    numbers = {"values": values, "usual_at_least": usual, "rows": len(last)}
    return Break(check="frozen", column=column.name, text=text, numbers=numbers)


def _calm_blocks(calm: Sample, place: int) -> list[Floats]:
    ends = range(int(calm.at[0]) + BLOCK, int(calm.at[-1]) + BLOCK, BLOCK) if len(calm.at) else ()
    return [block for block in (_block(calm, place, end) for end in ends) if len(block) >= BLOCK_ROWS]


def _most(values: Floats) -> float:
    """Share of the value that occurs most."""
    return float(np.unique(values, return_counts=True)[1].max()) / len(values)


def _is_usual(column: ColumnBins, values: Floats) -> bool:
    """Whether most training rows are where these values are: a clear sky is not frozen."""
    reference = np.asarray(column.counts, dtype=np.float64)[:-1]
    places = np.unique(np.searchsorted(np.asarray(column.edges), values, side="left"))
    return bool(reference[places].sum() > 0.5 * reference.sum())


def _block(sample: Sample, place: int, end: int) -> Floats:
    values = sample.values[(sample.at >= end - BLOCK) & (sample.at < end), place]
    known: Floats = values[~np.isnan(values)]
    return known
