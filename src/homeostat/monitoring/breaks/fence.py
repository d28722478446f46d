"""Values far outside the training range: no season brings them.

The training rows' extremes are passed by every hot day (on a year of flights the temperature did so on 7 days of 224),
and a storm triples what mean delays were. So the fence stands ten times the distance between the outermost edges away.
"""

import numpy as np

from homeostat.ground.records import ColumnBins
from homeostat.monitoring.accuracy_windows.intervals import wilson
from homeostat.monitoring.breaks.shares import Z
from homeostat.monitoring.breaks.types import MIN_ROWS, Break, Floats

LEAST_EDGES = 8
"""A column with fewer quantiles is mostly one value; what its range is nobody knows."""
AWAY = 10.0


def fence_break(column: ColumnBins, values: Floats, *, floor: float) -> Break | None:
    """What the values of a day say; infinities are outside."""
    known = values[~np.isnan(values)]
    finite = [edge for edge in column.edges if np.isfinite(edge)]
    if column.kind != "number" or len(finite) < LEAST_EDGES or len(known) < MIN_ROWS:
        return None
    reach = AWAY * (finite[-1] - finite[0])
    low, high = finite[0] - reach, finite[-1] + reach
    outside = known[(known < low) | (known > high)]
    surely = wilson(len(outside), len(known), Z)[0]
    if surely <= floor:
        return None
    share = len(outside) / len(known)
    typical = float(np.median(outside))
    text = f"{share:.1%} of the rows lie far outside the training range, such as {typical:.4g}; {low:.4g} to {high:.4g}"
    numbers = {"share": round(share, 4), "such_as": typical, "low": low, "high": high, "rows": len(known)}
    return Break(check="range", column=column.name, text=text, numbers=numbers)
