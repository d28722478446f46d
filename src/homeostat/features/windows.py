"""The point-in-time kernel on arrays: newest row as of a moment, and sawtooth windows.

Sawtooth rule: at time t with hop h and window W the rows in (floor(t, h) - W, t] count. Time is cut into tiles
((i-1)h, ih]; a window is its closed tiles, merged, and then the head: the rows of the open tile up to t.
The order of every addition is fixed and the same online (`state.py`), so both give the same bits; sums are never
taken by subtracting cumulative ones, which loses precision and cannot do minimum and maximum.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.features.compiled import Window

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

IDENTITY = {"rows": 0.0, "n": 0.0, "sum": 0.0, "min": np.inf, "max": -np.inf}
COMBINE: dict[str, Any] = {
    "rows": np.add,
    "n": np.add,
    "sum": np.add,
    "min": np.minimum,
    "max": np.maximum,
}


def partials_of(windows: tuple[Window, ...]) -> tuple[tuple[str, str | None], ...]:
    """The mergeable partials the windows need: (what, of which column), each once."""
    needed: list[tuple[str, str | None]] = []
    for window in windows:
        match window.function:
            case "count":
                needed.append(("rows", None))
            case "mean" | "total":
                needed += [("n", window.column), ("sum", window.column)]
            case "minimum":
                needed.append(("min", window.column))
            case "maximum":
                needed.append(("max", window.column))
    return tuple(dict.fromkeys(needed))


class Timeline:
    """Rows sorted by (key code, moment), searchable by many (key code, moment) pairs at once."""

    def __init__(self, codes: Ints, moments: Ints) -> None:
        # Ranks instead of times, so that code and time fit in one integer whatever the span.
        self._distinct = np.unique(moments)
        self._width = len(self._distinct) + 1
        self._spots = codes * self._width + np.searchsorted(self._distinct, moments, side="right")

    def end(self, codes: Ints, moments: Ints) -> Ints:
        """For each pair the position behind the last row of that key at or before that moment."""
        ranks = np.searchsorted(self._distinct, moments, side="right")
        return np.searchsorted(self._spots, codes * self._width + ranks, side="right")


def newest(codes: Ints, moments: Ints, asked_codes: Ints, asked: Ints, *, ttl: int | None) -> Ints:
    """Position of the newest row at or before each asked moment, not older than `ttl` (inclusive); -1 for none.

    Rows are sorted by (code, moment); a negative asked code matches nothing.
    """
    if len(codes) == 0:
        return np.full(len(asked), -1, dtype=np.int64)
    timeline = Timeline(codes, moments)
    last = timeline.end(asked_codes, asked) - 1
    found = (asked_codes >= 0) & (last >= 0)
    found &= codes[last] == asked_codes
    if ttl is not None:
        found &= asked - moments[last] <= ttl
    return np.where(found, last, -1)


def aggregate(
    codes: Ints,
    moments: Ints,
    values: dict[str, Floats],
    asked_codes: Ints,
    asked: Ints,
    *,
    hop: int,
    windows: tuple[Window, ...],
) -> dict[str, Floats]:
    """Each window's aggregate as of each asked moment, by feature name; NaN = nothing to aggregate.

    Rows are sorted by (code, moment); NaN in `values` is a missing value; a negative asked code has no rows.
    """
    tiles = -(-moments // hop)
    running = {
        (what, column): _running(what, None if column is None else values[column], codes, tiles, len(moments))
        for what, column in partials_of(windows)
    }
    # Many asked moments share their closed windows: merge once per (key, floor).
    floors = asked // hop
    spots, back = _distinct_pairs(asked_codes, floors)
    last_of_tile = _last_of_each(codes, tiles)
    timeline = Timeline(codes[last_of_tile], tiles[last_of_tile])
    head_at = _head_positions(codes, moments, tiles, asked_codes, asked, floors + 1)
    answers: dict[str, Floats] = {}
    for length in dict.fromkeys(window.length for window in windows):
        own = tuple(window for window in windows if window.length == length)
        span = length // hop
        low = timeline.end(asked_codes[spots], floors[spots] - span)
        high = timeline.end(asked_codes[spots], floors[spots])
        nothing = asked_codes[spots] < 0
        low[nothing] = high[nothing] = 0
        merged = {}
        for partial in partials_of(own):
            closed = _merge(partial[0], running[partial][last_of_tile], low, high)[back]
            head = np.append(running[partial], IDENTITY[partial[0]])[head_at]
            merged[partial] = COMBINE[partial[0]](closed, head)
        answers |= {window.feature: _finish(window, merged) for window in own}
    return {window.feature: answers[window.feature] for window in windows}


def _running(what: str, values: Floats | None, codes: Ints, tiles: Ints, rows: int) -> Floats:
    """The partial of each row's tile up to and including that row, added up from the tile's first row onward."""
    present = np.ones(rows, dtype=bool) if values is None else ~np.isnan(values)
    if what in ("rows", "n"):
        source = present.astype(np.float64)
    else:
        assert values is not None
        source = np.where(present, values, IDENTITY[what])
    starts = _first_of_each(codes, tiles)
    lengths = np.diff(np.append(starts, rows))
    combine, result = COMBINE[what], source.copy()
    with np.errstate(all="ignore"):
        if len(starts) <= (lengths.max() if rows else 0):
            for start, length in zip(starts, lengths, strict=True):
                combine.accumulate(source[start : start + length], out=result[start : start + length])
            return result
        # Short tiles: all second rows at once, then all third rows, ...
        order = np.argsort(-lengths, kind="stable")
        starts, lengths = starts[order], lengths[order]
        for step in range(1, int(lengths[0]) if rows else 0):
            here = starts[: np.searchsorted(-lengths, -step, side="left")] + step
            result[here] = combine(result[here - 1], source[here])
    return result


def _first_of_each(codes: Ints, tiles: Ints) -> Ints:
    if len(codes) == 0:
        return np.zeros(0, dtype=np.int64)
    changes = (codes[1:] != codes[:-1]) | (tiles[1:] != tiles[:-1])
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _last_of_each(codes: Ints, tiles: Ints) -> Ints:
    starts = _first_of_each(codes, tiles)
    return np.append(starts[1:], len(codes)) - 1 if len(codes) else starts


def _distinct_pairs(codes: Ints, floors: Ints) -> tuple[Ints, Ints]:
    """Positions of one representative for each (code, floor), in order, and each row's place among them."""
    order = np.lexsort((floors, codes))
    starts = _first_of_each(codes[order], floors[order])
    lengths = np.diff(np.append(starts, len(order)))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.repeat(np.arange(len(starts)), lengths)
    return order[starts], back


def _head_positions(codes: Ints, moments: Ints, tiles: Ints, asked_codes: Ints, asked: Ints, open_tiles: Ints) -> Ints:
    """Position of the last row of the open tile at or before each asked moment; one past the end for none."""
    none = len(codes)
    if none == 0:
        return np.full(len(asked), none, dtype=np.int64)
    last = Timeline(codes, moments).end(asked_codes, asked) - 1
    inside = (asked_codes >= 0) & (last >= 0)
    inside &= (codes[last] == asked_codes) & (tiles[last] == open_tiles)
    return np.where(inside, last, none)


def _merge(what: str, totals: Floats, low: Ints, high: Ints) -> Floats:
    """The tiles in [low, high) merged, for many ranges at once."""
    padded = np.append(totals, IDENTITY[what])
    with np.errstate(all="ignore"):
        merged = COMBINE[what].reduceat(padded, np.stack([low, high], axis=1).ravel())[::2]
    return np.where(high > low, merged, IDENTITY[what])


def merge_run(what: str, totals: Floats) -> float:
    """The tiles of one run merged: the same operation, in the same order, as for many ranges at once."""
    return float(COMBINE[what].reduceat(totals, [0])[0]) if len(totals) else IDENTITY[what]


def _finish(window: Window, merged: dict[tuple[str, str | None], Floats]) -> Floats:
    match window.function:
        case "count":
            return merged["rows", None]
        case "mean" | "total":
            n, total = merged["n", window.column], merged["sum", window.column]
            with np.errstate(all="ignore"):
                return np.where(n > 0, total / n if window.function == "mean" else total, np.nan)
        case "minimum":
            low = merged["min", window.column]
            return np.where(low == np.inf, np.nan, low)
        case _:
            high = merged["max", window.column]
            return np.where(high == -np.inf, np.nan, high)
