"""Series as charts read them: thinned out on the server, over any x-axis, for several runs at once."""

from collections.abc import Sequence

import msgspec
import numpy as np
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking.points import Floats, Ints, Points
from homeostat.tracking.series import read_series

MOST_POINTS = 10_000
"""More than any screen has columns; whoever wants all of them reads the series without a limit."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A series, or what stands for it. `shown` of `points` points are here; minima and maxima are among them."""

    run: str
    key: str
    x: str
    """'step', 'time' (microseconds UTC), or the metric along which it is drawn."""
    points: int
    shown: int
    xs: list[float]
    steps: list[int]
    at: list[int]
    values: list[float | None]
    """None stands for NaN, which JSON has no word for; infinities are the texts of `special`."""
    special: dict[int, str] = {}
    """Index to 'NaN', 'Infinity' or '-Infinity', where the value is one."""


def history(
    conn: Connection,
    run_id: str,
    key: str,
    *,
    most: int | None = None,
    x: str = "step",
    from_step: int | None = None,
    to_step: int | None = None,
) -> History:
    """A series in order of x, thinned out to at most `most` points.

    Each of `most // 2` stretches of equal length keeps its lowest and its highest point, so no spike is lost.

    Raises:
        NotFound: when the run has no such metric, or none called `x`.
        Invalid: when `most` is not between 2 and MOST_POINTS.
    """
    if most is not None and not 2 <= most <= MOST_POINTS:
        raise Invalid(f"{most} points cannot be given", field="points", next_step=f"ask for 2 to {MOST_POINTS}")
    points = _between(read_series(conn, run_id, key), from_step, to_step)
    xs = _axis(conn, run_id, points, x)
    known = ~np.isnan(xs)
    points, xs = Points(points.steps[known], points.at[known], points.values[known]), xs[known]
    if not np.all(np.diff(xs) >= 0):
        order = np.argsort(xs, kind="stable")
        points, xs = Points(points.steps[order], points.at[order], points.values[order]), xs[order]
    kept = thinned(points.values, most) if most is not None else np.arange(len(points))
    values = points.values[kept]
    finite = np.isfinite(values)
    return History(
        run=run_id,
        key=key,
        x=x,
        points=len(points),
        shown=len(kept),
        xs=xs[kept].tolist(),
        steps=points.steps[kept].tolist(),
        at=points.at[kept].tolist(),
        values=[value if fine else None for value, fine in zip(values.tolist(), finite.tolist(), strict=True)],
        special={index: _spoken(float(values[index])) for index in np.flatnonzero(~finite).tolist()},
    )


def histories(
    conn: Connection, run_ids: Sequence[str], key: str, *, most: int | None = None, x: str = "step"
) -> list[History]:
    """The same metric of several runs; those that have none are left out."""
    found = []
    for run_id in run_ids:
        try:
            found.append(history(conn, run_id, key, most=most, x=x))
        except NotFound:
            continue
    return found


def thinned(values: Floats, most: int) -> Ints:
    """Indices of at most `most` values that keep the shape: first, last, and each stretch's lowest and highest.

    >>> thinned(np.array([0.0, 9.0, 0.0, 0.0, -9.0, 0.0, 0.0, 0.0]), 4).tolist()
    [0, 1, 4, 7]
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    stretches = max(1, (most - 2) // 2)
    edges = np.linspace(1, count - 1, stretches + 1).astype(np.int64)[:-1]
    edges = np.unique(edges)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    inner = slice(0, count - 1)  # the last one is kept anyway
    kept = [np.array([0, count - 1])]
    if most >= 4:
        kept += [_at_extreme(low[inner], edges, np.minimum), _at_extreme(high[inner], edges, np.maximum)]
    return np.unique(np.concatenate(kept))


def _at_extreme(values: Floats, edges: Ints, ufunc: np.ufunc) -> Ints:
    """The first index of each stretch at which its extreme stands."""
    extremes = ufunc.reduceat(values, edges)
    lengths = np.diff(np.append(edges, len(values)))
    hits: Ints = np.flatnonzero(values[edges[0] :] == np.repeat(extremes, lengths)) + edges[0]
    stretch = np.searchsorted(edges, hits, side="right") - 1
    _, first = np.unique(stretch, return_index=True)
    found: Ints = hits[first]
    return found


def _between(points: Points, low: int | None, high: int | None) -> Points:
    start = 0 if low is None else int(np.searchsorted(points.steps, low, side="left"))
    end = len(points) if high is None else int(np.searchsorted(points.steps, high, side="right"))
    return Points(points.steps[start:end], points.at[start:end], points.values[start:end])


def _axis(conn: Connection, run_id: str, points: Points, x: str) -> Floats:
    """The x of every point; NaN where the other metric says nothing at that step."""
    if x == "step":
        return points.steps.astype(np.float64)
    if x == "time":
        return points.at.astype(np.float64)
    other = read_series(conn, run_id, x)
    if not len(other):
        return np.full(len(points), np.nan)
    place = np.searchsorted(other.steps, points.steps, side="right") - 1  # the newest value of that step
    same = (place >= 0) & (other.steps[np.maximum(place, 0)] == points.steps)
    return np.where(same, other.values[np.maximum(place, 0)], np.nan)


def _spoken(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
