"""From the rows of windows to what is said of them; no catalogue in here."""

from collections.abc import Sequence
from typing import NamedTuple

from homeostat.monitoring.accuracy_windows.intervals import clipped, jackknife, parts_without_spans, wilson
from homeostat.monitoring.accuracy_windows.lateness import counted, lateness_of
from homeostat.monitoring.accuracy_windows.types import Floats, Measure, Measured, Statement, WindowRows

NO_LABEL = "no label has come yet"
NO_PREDICTION = "nothing was predicted"


class Asked(NamedTuple):
    """One window, or one slice of it, and its rows."""

    start: int
    end: int
    slice: str
    predictions: int
    traffic: int
    rows: WindowRows


def say(asked: Sequence[Asked], measure: Measure, *, spans: int, now: int) -> list[Statement]:
    """What is said of each, provisional until somebody knows the watermark.

    The metric is asked once for everything, since a user's own function is asked in another process.
    """
    parts: list[tuple[Floats, Floats]] = []
    plans: list[tuple[int, list[int]]] = []
    for one in asked:
        begin = len(parts)
        sizes: list[int] = []
        if len(one.rows.y):
            parts.append((one.rows.y, one.rows.score))
            if measure.share is None:
                left, sizes = parts_without_spans(one.rows.y, one.rows.score, one.rows.at, one.start, one.end, spans)
                parts += left
        plans.append((begin, sizes))
    found = measure.many(parts) if parts else []
    return [
        _statement(one, measure, found[begin : begin + 1 + len(sizes)] if len(one.rows.y) else [], sizes, now)
        for one, (begin, sizes) in zip(asked, plans, strict=True)
    ]


def _statement(one: Asked, measure: Measure, found: Sequence[Measured], sizes: Sequence[int], now: int) -> Statement:
    rows = one.rows
    value, reason = found[0] if found else (None, NO_LABEL if one.predictions else NO_PREDICTION)
    ends, method = None, ""
    if value is not None:
        ends, method, reason = _interval(value, one, measure, found[1:], sizes)
    delays = rows.first_at - rows.at
    return Statement(
        start=one.start,
        end=one.end,
        slice=one.slice,
        predictions=one.predictions,
        labels=len(rows.y),
        contradicted=int(rows.contradicted.sum()),
        lateness=lateness_of(delays),
        value=value,
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        method=method,
        reason=reason,
        provisional=True,
        at=now,
        begun=now,
        begun_coverage=len(rows.y) / one.predictions if one.predictions else 0.0,
        late=counted(delays) if len(delays) else (),
        traffic=one.traffic,
    )


def _interval(
    value: float, one: Asked, measure: Measure, without: Sequence[Measured], sizes: Sequence[int]
) -> tuple[tuple[float, float] | None, str, str]:
    if measure.share is not None:
        good, total = measure.share(one.rows.y, one.rows.score)
        return wilson(good, total), "wilson", ""
    if not sizes:
        return None, "", "labels of too few moments for an interval"
    if any(left is None for left, _ in without):
        return None, "", "the metric is not defined without some span: no interval"
    known = [left for left, _ in without if left is not None]
    return clipped(jackknife(value, known, sizes), measure), f"jackknife over {len(sizes)} spans", ""
