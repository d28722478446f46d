"""Shares of rows that should be rare: nulls, values outside the vocabulary, numbers outside the training range.

A share breaks when it is surely over that of the training rows by the floor. Some columns lack a value in many rows by
nature (gusts on a calm day), and rows of an hour share its weather; so for them a whole day counts, and it must be over
the worst day of the weeks before by the floor, too.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from homeostat.ground.records import ColumnBins
from homeostat.monitoring.accuracy_windows.intervals import wilson
from homeostat.monitoring.breaks.types import MIN_ROWS, Break, Counts

Z = 4.0
"""Normal quantile of the interval: some 3 in 100,000, for there are many columns and hours."""
RARE = 0.01
"""A share up to which a column's training rows count as free of it."""
DAYS_NEEDED = 7
GONE = 0.98
"""Share from which nothing is left."""

_WORDS = {
    "nulls": "{now:.1%} of the rows have no value, {then:.1%} of the training rows",
    "new_values": "{now:.1%} of the rows have a value that was never seen, {then:.1%} of the training rows",
    "range": "{now:.1%} of the rows lie outside the training range, {then:.1%} of the training rows",
}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one column: of the last hour, the last day, and each of the calm days before."""

    hour: Counts
    day: Counts
    past: Sequence[Counts]


def share_breaks(column: ColumnBins, seen: Seen, *, checks: Sequence[str], floor: float) -> Iterable[Break]:
    """What is wrong with the shares of a column."""
    reference = np.asarray(column.counts, dtype=np.int64)
    for check in checks:
        places = _places(column, reference, check)
        if not places or not reference.sum():
            continue
        found = _break(check, column.name, places, reference, seen, floor)
        if found is not None:
            yield found


def _places(column: ColumnBins, reference: Counts, check: str) -> list[int]:
    """The counters that a check adds up."""
    width = len(reference)
    match check, column.kind:
        case "nulls", _:
            return [width - 1]
        case "new_values", "category" | "text":
            return [width - 2]
        case "range", "number" if len(column.edges) > 1:
            # An outermost bin without a training row lies outside the training range.
            return [place for place in (0, width - 2) if reference[place] == 0]
    return []


def _break(check: str, name: str, places: list[int], reference: Counts, seen: Seen, floor: float) -> Break | None:
    then = _share(reference, places, check)
    past = [_share(day, places, check) for day in seen.past if _rows(day, check) >= MIN_ROWS]
    worst = max(past, default=0.0)
    is_rare = then <= RARE and worst <= 2 * RARE
    for span, counts in (("hour", seen.hour), ("day", seen.day)):
        rows, bad = _rows(counts, check), int(counts[places].sum())
        if rows < MIN_ROWS or (span == "hour" and not is_rare):
            continue
        surely, now = wilson(bad, rows, Z)[0], bad / rows
        if surely <= max(then, worst) + floor:
            continue
        if not is_rare and len(past) < DAYS_NEEDED and not (now >= GONE and then <= 0.5):
            continue  # nobody knows yet how much it varies from day to day
        numbers = {"share": round(now, 4), "reference": round(then, 4), "surely": round(surely, 4), "rows": rows}
        if past:
            numbers["worst_day_before"] = round(worst, 4)
        return Break(check=check, column=name, text=_WORDS[check].format(now=now, then=then), numbers=numbers)
    return None


def _rows(counts: Counts, check: str) -> int:
    """All rows; for values, those that have one."""
    return int(counts.sum() if check == "nulls" else counts[:-1].sum())


def _share(counts: Counts, places: list[int], check: str) -> float:
    rows = _rows(counts, check)
    return float(counts[places].sum()) / rows if rows else 0.0
