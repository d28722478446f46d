"""Drift of a version in service: its profiles, window by window, handed to the calibrated decision.

What is decided, and how often it is wrong, is in `calibrated/windows.py`. Here windows are read: each as long as the
one that is asked about, one after the other back to the version's first day.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.bins import Counts, bins_id, width
from homeostat.monitoring.calibrated.columns import LIVE_FLOOR, LIVE_ROWS
from homeostat.monitoring.calibrated.types import ColumnDrift, DriftReport
from homeostat.monitoring.calibrated.windows import MOST, Window, decide, js_distance
from homeostat.monitoring.store import profiles

MIN_ROWS = LIVE_ROWS
"""Fewer rows are 'insufficient', never 'no drift'."""
SEASONAL_WINDOWS = 7 * MOST
"""So many windows are read when only those of one phase will be compared."""

__all__ = ["MIN_ROWS", "ColumnDrift", "DriftReport", "compare", "drift", "first_day", "js_distance", "profile"]


def drift(
    conn: Connection,
    model: str,
    version: int,
    *,
    start: int,
    end: int,
    reference: Sequence[ColumnBins],
    alpha: float = 0.05,
    floor: float = LIVE_FLOOR,
    season: str | None = None,
    past_until: int | None = None,
) -> DriftReport:
    """The rows that a version scored on the event days from `start` to before `end`: have they moved?

    They are held against the reference bins and against earlier windows of the version, of those that had ended by
    `past_until` (all, when it is None): a stream that has moved is no measure for whether it still is elsewhere.
    """
    current = Window(start=start, counts=tuple(profile(conn, model, version, reference, start=start, end=end)))
    past = past_windows(
        conn,
        model,
        version,
        reference,
        before=start,
        length=end - start,
        most=MOST if season is None else SEASONAL_WINDOWS,
    )
    usable = [window for window in past if past_until is None or window.start + (end - start) <= past_until]
    return decide(reference, current, usable, alpha=alpha, floor=floor, season=season)


def profile(
    conn: Connection, model: str, version: int, reference: Sequence[ColumnBins], *, start: int, end: int
) -> list[Counts]:
    """Counts by reference bin of the event days from the one of `start` to before `end`, one array a column."""
    first = start - start % DAY
    windows = _counts(conn, model, version, reference, start=first, end=end, length=max(end - first, DAY))
    return windows.get(0) or [np.zeros(width(column), dtype=np.int64) for column in reference]


def past_windows(
    conn: Connection,
    model: str,
    version: int,
    reference: Sequence[ColumnBins],
    *,
    before: int,
    length: int,
    most: int = MOST,
) -> list[Window]:
    """Windows of whole days that lie one after the other up to `before`, oldest first, within the version's days.

    A window without any row is not there.
    """
    first = first_day(conn, model, version)
    if first is None or first >= before:
        return []
    number = min(most, (before - first) // length)
    start = before - number * length
    found = _counts(conn, model, version, reference, start=start, end=before, length=length)
    return [Window(start=start + place * length, counts=tuple(counts)) for place, counts in sorted(found.items())]


def _counts(
    conn: Connection, model: str, version: int, reference: Sequence[ColumnBins], *, start: int, end: int, length: int
) -> dict[int, list[Counts]]:
    """Counts of each column by window, which are `length` long from `start` on; windows without a row are left out."""
    columns = {bins_id(column): place for place, column in enumerate(reference)}
    place = ((profiles.c.window_start - start) // length).label("place")
    query = (
        sa.select(place, profiles.c.bins_id, profiles.c.bin, sa.func.sum(profiles.c.rows))
        .where(
            profiles.c.model == model,
            profiles.c.version == version,
            profiles.c.window_start >= start,
            profiles.c.window_start < end,
            profiles.c.bins_id.in_(list(columns)),
        )
        .group_by(place, profiles.c.bins_id, profiles.c.bin)
    )
    found: dict[int, list[Counts]] = {}
    for window, key, where, rows in conn.execute(query):
        if window not in found:
            found[window] = [np.zeros(width(column), dtype=np.int64) for column in reference]
        found[window][columns[key]][where] = int(rows)
    return found


def first_day(conn: Connection, model: str, version: int) -> int | None:
    """Start of the first event day on which the version scored rows; None before it has."""
    where = (profiles.c.model == model, profiles.c.version == version)
    found = conn.execute(sa.select(sa.func.min(profiles.c.window_start)).where(*where)).scalar()
    return None if found is None else int(found)


def compare(
    reference: Sequence[ColumnBins],
    counts: Sequence[Counts],
    *,
    alpha: float = 0.05,
    floor: float = LIVE_FLOOR,
    measure: str = "effect",
) -> DriftReport:
    """The verdict on counts that are in the reference's bins, against the reference alone.

    With `measure="js"` the floor is one of the Jensen-Shannon distance instead of the effect.
    """
    report = decide(reference, Window(start=0, counts=tuple(counts)), alpha=alpha, floor=0.0)
    columns = tuple(_floored(column, getattr(column, measure), floor) for column in report.columns)
    status = "ok" if report.status == "drift" and not any(column.drifted for column in columns) else report.status
    return msgspec.structs.replace(report, status=status, columns=columns, floor=floor)


def _floored(column: ColumnDrift, size: float | None, floor: float) -> ColumnDrift:
    if not column.drifted or (size is not None and size >= floor):
        return column
    return msgspec.structs.replace(column, status="ok")
