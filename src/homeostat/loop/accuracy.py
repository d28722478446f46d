"""Accuracy by window, kept up with the labels: for each metric that a model declares, and for whoever asks."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.loop.declaration import list_declarations
from homeostat.loop.judged import Judged, default_metric, judged_model, measure_of
from homeostat.loop.log_slices import log_column, log_slicer
from homeostat.loop.monitors import list_monitors
from homeostat.monitoring.accuracy_windows.kept import forget, keep, kept_series
from homeostat.monitoring.accuracy_windows.rows import first_and_last, predictions_by_window, traffic_by_window
from homeostat.monitoring.accuracy_windows.series import Current, Slicer, current
from homeostat.monitoring.accuracy_windows.spans import (
    MOST_WINDOWS,
    SHOWN,
    WIDTHS,
    fitting_window,
    read_window,
    start_of,
    windows_between,
)
from homeostat.monitoring.accuracy_windows.types import Measure, Series
from homeostat.monitoring.labels import label_high_water
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

Spans = list[tuple[int, int]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to whoever asks."""

    judged: Judged
    series: Series
    measure: Measure
    windows: Spans
    found: Current


class AccuracyKeeper:
    """Says anew what has changed, after each look at the logs; one per engine."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}

    def look(self, *, now: int) -> list[str]:
        """Bring every declared series up to date; says of which models anything was new."""
        with self._database.read() as conn:
            watched = [one.model for one in list_declarations(conn)] + [one.model for one in list_monitors(conn)]
        return [model for model in watched if self._model(model, now)]

    def _model(self, model: str, now: int) -> bool:
        with self._database.read() as conn:
            judged = judged_model(conn, model)
            seen = (label_high_water(conn), _rows(conn, model, now), now - now % HOUR)
        if self._seen.get(model) == seen:
            return False  # neither labels nor predictions have come, and no hour has passed
        wanted = self._series(judged, now)
        changed = [self._say(judged, series, now) for series in wanted]
        self._forget(model, wanted)
        self._seen[model] = seen
        return any(changed)

    def _series(self, judged: Judged, now: int) -> list[Series]:
        with self._database.read() as conn:
            fitting = _fitting(conn, judged.model, now)
        wanted: dict[str, Series] = {}
        for rule in judged.rules:
            for window in dict.fromkeys(("day", fitting)):
                series = Series(metric=rule.metric, window=window, by=rule.by if window == "day" else "")
                wanted[series.key] = series
        return list(wanted.values())

    def _say(self, judged: Judged, series: Series, now: int) -> bool:
        try:
            measure = measure_of(self._blobs, judged, series.metric)
            slicer = _slicer(self._database, self._blobs, self._folder, judged, series.by, None)
        except HomeostatError:  # no version yet, or scikit-learn is gone: said to whoever asks
            return False
        with self._database.read() as conn:
            windows = _recent(conn, judged.model, series.window, now)
            found = current(conn, judged.model, series, measure, windows=windows, now=now, slicer=slicer)
        if not found.fresh and not windows:
            return False
        with self._database.write() as conn:
            keep(conn, judged.model, series, found.fresh, found.progress)
        return bool(found.fresh)

    def _forget(self, model: str, wanted: Sequence[Series]) -> None:
        """What is no longer declared; another length of window stays, for the traffic may swell and ebb."""
        metrics = {series.metric for series in wanted}
        with self._database.read() as conn:
            old = [key for key in kept_series(conn, model) if key.partition("|")[0] not in metrics]
        if old:
            with self._database.write() as conn:
                forget(conn, model, old)


def ask(
    database: Database,
    blobs: BlobStore,
    folder: Path,
    model: str,
    *,
    now: int,
    metric: str = "",
    window: str = "",
    start: int | None = None,
    end: int | None = None,
    by: str = "",
    version: int | None = None,
) -> Answer:
    """Accuracy by window of any model with labels; a metric that the loop keeps is not computed again.

    Without `window` it is the shortest in which enough predictions come; without `start` the newest some of them.

    Raises:
        NotFound: when there is no such model.
        Invalid: for a metric, a window or a column that there is not.
    """
    with database.read() as conn:
        judged = judged_model(conn, model)
        end = end if end is not None else last_moment(conn, model, now=now)
        if start is not None and start >= end:
            raise Invalid("start is not before end", field="start", next_step="give an earlier start")
        length = read_window(window) if window else _fitting(conn, model, end, start)
    series = Series(metric=metric or default_metric(judged), window=length, by=by)
    measure = measure_of(blobs, judged, series.metric)
    slicer = _slicer(database, blobs, folder, judged, by, version)
    begin = start if start is not None else end - SHOWN[length] * WIDTHS[length]
    with database.read() as conn:
        windows = _with_traffic(conn, model, length, begin, end)
        found = current(conn, model, series, measure, windows=windows, now=now, slicer=slicer, version=version)
    return Answer(judged=judged, series=series, measure=measure, windows=windows, found=found)


def last_moment(conn: Connection, model: str, *, now: int) -> int:
    """The end of the hour of the newest traffic, but not after now: what is asked without an end is about then."""
    last = first_and_last(conn, model)
    return now if last is None else min(now, last[1] + HOUR)


def _slicer(
    database: Database, blobs: BlobStore, folder: Path, judged: Judged, by: str, version: int | None
) -> Slicer | None:
    if not by:
        return None
    bins = judged.version.bins if judged.version is not None else ()
    column = log_column(judged.signature, bins, by)
    return log_slicer(database, blobs, folder, judged.model, column, version=version)


def _fitting(conn: Connection, model: str, end: int, start: int | None = None) -> str:
    """By the last week of predictions, or those of the time that was asked for."""
    begin = start if start is not None else end - WIDTHS["week"]
    by_day = predictions_by_window(conn, model, "day", start=begin, end=end)
    if not by_day:
        return "day"
    days = min(end, max(by_day) + WIDTHS["day"]) - max(begin, min(by_day))
    fitting = fitting_window(sum(by_day.values()), days)
    if fitting == "hour" and start is not None and end - start > SHOWN["hour"] * 4 * HOUR:
        return "day"  # nobody reads two hundred lines
    return fitting


def _with_traffic(conn: Connection, model: str, window: str, start: int, end: int) -> Spans:
    """Windows of a time, no further than there were predictions."""
    known = first_and_last(conn, model)
    if known is None:
        return []
    begin, stop = max(start, known[0]), min(end, known[1] + HOUR)
    return windows_between(begin, stop, window) if begin < stop else []


def _recent(conn: Connection, model: str, window: str, now: int) -> Spans:
    """As far back as anything is brought up to date: a thousand windows."""
    earliest = start_of(now, window) - (MOST_WINDOWS - 2) * WIDTHS[window]
    return _with_traffic(conn, model, window, earliest, now)


def _rows(conn: Connection, model: str, now: int) -> int:
    """A number that changes when predictions come in, however late."""
    return sum(traffic_by_window(conn, model, "day", start=now - MOST_WINDOWS * WIDTHS["day"], end=now + HOUR).values())
