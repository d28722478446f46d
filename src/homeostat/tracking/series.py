"""Series: points come in as rows of a tail, full tails are sealed into compressed rows, a summary row follows along."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.store.dialect import upsert
from homeostat.tracking import store
from homeostat.tracking.lookup import run_number, writable
from homeostat.tracking.points import Points, joined, pack, points_of, seal, unpack
from homeostat.tracking.types import Metric, MetricPoint
from homeostat.tracking.values import as_number, check_key, check_step

SEAL_AT = 2048
"""Points. A tail this long is sealed; a thousand one-point rows cost 2 ms to read."""
_SUMMARY = ("project", "points", "tail", "last", "last_step", "last_at", "min", "max")


def log_series(conn: Connection, run_id: str, series: Mapping[str, Points]) -> None:
    """Append points to a run's series; this is what every way of logging comes down to.

    Raises:
        NotFound: when there is no such run.
        Conflict: when it is in the trash.
        Invalid: when a key is not usable.
    """
    given = {check_key(key, "metric"): points for key, points in series.items() if len(points)}
    run, project = writable(conn, run_id)
    known = _summaries(conn, run, list(given))
    rows, summaries = [], []
    for key, points in given.items():
        ordered = joined([points])
        before = known.get(key)
        summary = _merged(before, ordered)
        tail = summary["tail"]
        if tail >= SEAL_AT:
            ordered = joined([*_take_tail(conn, run, key), ordered]) if before is not None else ordered
            summary["points"] += len(ordered) - tail  # repeats within the tail are one point
            summary["tail"] = 0
        rows.append(_row(run, key, ordered, sealed=tail >= SEAL_AT))
        summaries.append({"run": run, "key": key, "project": project, **summary})
    if rows:
        conn.execute(store.points.insert(), rows)
    upsert(conn, store.series, summaries, key=["run", "key"], update=_SUMMARY)


def log_metrics(conn: Connection, run_id: str, values: Mapping[str, Any], *, at: int, step: int = 0) -> None:
    """Append one point to each named series; NaN and infinities are kept. An exact repeat adds nothing.

    Raises:
        Invalid: when a value is not a number; the message names the key.
    """
    log_points(conn, run_id, {key: [MetricPoint(step, as_number(key, value), at)] for key, value in values.items()})


def log_points(conn: Connection, run_id: str, series: Mapping[str, list[MetricPoint]]) -> None:
    """Append points that were gathered one by one."""
    made = {}
    for key, points in series.items():
        steps = [check_step(key, point.step) for point in points]
        made[key] = points_of(steps, [point.at for point in points], [point.value for point in points])
    log_series(conn, run_id, made)


def read_series(conn: Connection, run_id: str, key: str) -> Points:
    """The whole series of a metric, in order of step, then time, then value.

    Raises:
        NotFound: when the run has no such metric; the next step lists those it has.
    """
    table = store.points
    run = run_number(conn, run_id)
    query = sa.select(table.c.data).where(table.c.run == run, table.c.key == key).order_by(table.c.seq)
    parts = [unpack(data) for data in conn.execute(query).scalars()]
    if not parts:
        known = ", ".join(metric.key for metric in last_metrics(conn, run)[:20]) or "none"
        raise NotFound(f"run {run_id} has no metric {key!r:.80}", field="key", next_step=f"it has: {known}")
    return joined(parts)


def metric_history(conn: Connection, run_id: str, key: str) -> list[MetricPoint]:
    """`read_series`, a struct a point."""
    points = read_series(conn, run_id, key)
    triples = zip(points.steps.tolist(), points.values.tolist(), points.at.tolist(), strict=True)
    return [MetricPoint(*triple) for triple in triples]


def last_metrics(conn: Connection, run: int) -> list[Metric]:
    """The summary of each series of a run (by its number), by key."""
    table = store.series
    query = sa.select(*(table.c[name] for name in METRIC_COLUMNS)).where(table.c.run == run).order_by(table.c.key)
    return [metric_of_row(tuple(row)) for row in conn.execute(query)]


METRIC_COLUMNS = ("key", "last", "last_step", "last_at", "min", "max", "points")


def metric_of_row(row: tuple[Any, ...]) -> Metric:
    """A summary from a row of `METRIC_COLUMNS`."""
    key, last, *rest = row
    return Metric(key, float("nan") if last is None else last, *rest)


def _summaries(conn: Connection, run: int, keys: list[str]) -> dict[str, dict[str, Any]]:
    table = store.series
    columns = [table.c.key, *(table.c[name] for name in _SUMMARY if name != "project")]
    query = sa.select(*columns).where(table.c.run == run)
    if len(keys) <= 100:
        query = query.where(table.c.key.in_(keys))
    return {row["key"]: {**row} for row in conn.execute(query).mappings()}


def _merged(before: Mapping[str, Any] | None, points: Points) -> dict[str, Any]:
    """The summary after `points` (in order) have joined what it told of."""
    seen = points.values[~np.isnan(points.values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (None, None)
    last = (int(points.steps[-1]), int(points.at[-1]), float(points.values[-1]))
    count = len(points)
    if before is None:
        return _summary(last, low, high, count, count)
    was = (before["last_step"], before["last_at"], float("nan") if before["last"] is None else before["last"])
    newest = last if _rank(last) >= _rank(was) else was
    lows = [value for value in (low, before["min"]) if value is not None]
    highs = [value for value in (high, before["max"]) if value is not None]
    return _summary(
        newest, min(lows, default=None), max(highs, default=None), before["points"] + count, before["tail"] + count
    )


def _summary(
    last: tuple[int, int, float], low: float | None, high: float | None, points: int, tail: int
) -> dict[str, Any]:
    step, at, value = last
    shown = None if math.isnan(value) else value
    return {"points": points, "tail": tail, "last": shown, "last_step": step, "last_at": at, "min": low, "max": high}


def _rank(last: tuple[int, int, float]) -> tuple[int, int, bool, float]:
    step, at, value = last
    is_nan = math.isnan(value)  # a NaN sorts after every number, as numpy sorts it
    return step, at, is_nan, 0.0 if is_nan else value


def _take_tail(conn: Connection, run: int, key: str) -> list[Points]:
    table = store.points
    unsealed = sa.and_(table.c.run == run, table.c.key == key, table.c.sealed.is_(False))
    parts = [unpack(data) for data in conn.execute(sa.select(table.c.data).where(unsealed)).scalars()]
    conn.execute(table.delete().where(unsealed))
    return parts


def _row(run: int, key: str, points: Points, *, sealed: bool) -> dict[str, Any]:
    return {
        "run": run,
        "key": key,
        "sealed": sealed,
        "first_step": int(points.steps[0]),
        "last_step": int(points.steps[-1]),
        "data": seal(points) if sealed else pack(points),
    }
