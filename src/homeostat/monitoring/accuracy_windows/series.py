"""A series window by window: what was said and still holds, and anew what has changed since."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from sqlalchemy.engine import Connection

from homeostat.monitoring.accuracy_windows.changed import news_since, runs, to_say
from homeostat.monitoring.accuracy_windows.judged import Asked, say
from homeostat.monitoring.accuracy_windows.kept import Key, Progress, after, newest, progress_of
from homeostat.monitoring.accuracy_windows.lateness import usual_lateness
from homeostat.monitoring.accuracy_windows.rows import labelled_rows, predictions_by_window, traffic_by_window
from homeostat.monitoring.accuracy_windows.spans import SPANS, WIDTHS
from homeostat.monitoring.accuracy_windows.types import ALL, Measure, Series, Sliced, Statement, WindowRows

Slicer = Callable[[int, int], Sliced | None]
"""(start, end) to the slices of the predictions that the log has there; None when it has none any more."""


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of windows now."""

    statements: list[Statement]
    """By start, then all rows, then slices."""
    fresh: list[Statement]
    """Those of them that are not kept like this yet."""
    progress: Progress
    usual_lateness: int | None
    """Microseconds within which 99 % of labels come; None before the first."""


def current(
    conn: Connection,
    model: str,
    series: Series,
    measure: Measure,
    *,
    windows: Sequence[tuple[int, int]],
    now: int,
    slicer: Slicer | None = None,
    version: int | None = None,
) -> Current:
    """What is said of `windows`, without writing anything.

    Only windows that got predictions or labels since they were kept are read. With `version` nothing that was kept
    counts, for that is about all answers.
    """
    if not windows:
        return Current(statements=[], fresh=[], progress=Progress(at=now), usual_lateness=None)
    begin, end = windows[0][0], windows[-1][1]
    kept = None if version is not None else progress_of(conn, model, series)
    known = newest(conn, model, series, start=begin, end=end) if kept is not None else {}
    news = news_since(conn, model, series.window, kept or Progress(), now=now)
    traffic = traffic_by_window(conn, model, series.window, start=begin, end=end)
    said: dict[Key, Statement] = {}
    for start, stop in runs(to_say(windows, known, news, traffic)):
        asked = _asked(conn, model, series, start, stop, now, traffic, slicer, version)
        said |= {(one.start, one.slice): one for one in say(asked, measure, spans=SPANS[series.window], now=now)}
    merged: dict[Key, Statement] = known | {key: after(known.get(key), one) for key, one in said.items()}
    usual = usual_lateness(((one.end, one.late) for one in merged.values() if one.slice == ALL), now)
    finished = {key: _marked(one, usual, now) for key, one in merged.items()}
    return Current(
        statements=[finished[key] for key in sorted(finished)],
        fresh=[one for key, one in sorted(finished.items()) if one != known.get(key)],
        progress=news.progress,
        usual_lateness=usual,
    )


def _marked(one: Statement, usual: int | None, now: int) -> Statement:
    is_provisional = usual is None or one.end + usual > now
    return one if one.provisional == is_provisional else msgspec.structs.replace(one, provisional=is_provisional)


def _asked(
    conn: Connection,
    model: str,
    series: Series,
    start: int,
    end: int,
    now: int,
    traffic: Mapping[int, int],
    slicer: Slicer | None,
    version: int | None,
) -> list[Asked]:
    rows = labelled_rows(conn, model, start=start, end=end, now=now, version=version)
    predictions = predictions_by_window(conn, model, series.window, start=start, end=end, version=version)
    slices = slicer(start, end) if slicer is not None else None
    found: list[Asked] = []
    width = WIDTHS[series.window]
    for begin in range(start, end, width):
        inside = rows.pick((rows.at >= begin) & (rows.at < begin + width))
        seen = traffic.get(begin, 0)
        found.append(Asked(begin, begin + width, ALL, predictions.get(begin, 0), seen, inside))
        if slices is not None:
            found += _by_slice(slices, begin, begin + width, seen, inside)
    return found


def _by_slice(slices: Sliced, start: int, end: int, traffic: int, rows: WindowRows) -> Iterator[Asked]:
    places = np.flatnonzero((slices.at >= start) & (slices.at < end)).tolist()
    name_of = {slices.request_ids[place]: slices.names[place] for place in places}
    of_row = np.array([name_of.get(one, ALL) for one in rows.request_ids], dtype=object)
    for name, count in sorted(Counter(name_of.values()).items()):
        yield Asked(start, end, name, count, traffic, rows.pick(of_row == name))
