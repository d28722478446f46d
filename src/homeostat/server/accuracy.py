"""The verbs of how good a model is, over a home: accuracy by window, and the parts on which it is worse."""

from typing import Annotated, Any

import msgspec

from homeostat.ground.clock import DAY, SECOND, Clock, parse_moment, to_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.settings import Settings
from homeostat.loop.accuracy import Answer, ask, last_moment
from homeostat.loop.engine import log_folder
from homeostat.loop.judged import judged_model
from homeostat.loop.segments import find_segments
from homeostat.monitoring.accuracy_windows.kept import Key, history
from homeostat.monitoring.accuracy_windows.types import ALL, Lateness, Statement
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

Plain = dict[str, Any]


class AccuracyBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked; everything may be left out."""

    metric: str = ""
    window: str = ""
    start: str | int | None = None
    end: str | int | None = None
    by: str = ""
    version: int | None = None
    history: bool = False


class SegmentsBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched."""

    start: str | int | None = None
    end: str | int | None = None
    columns: tuple[str, ...] = ()
    """Request columns or features; all when empty."""
    effect: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    min_rows: Annotated[int, msgspec.Meta(ge=50)] = 200


SEARCHED = 28 * DAY


class Accuracy:
    """Every method is one verb and returns plain data."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._folder = log_folder(settings)

    def show(self, model: str, asked: AccuracyBody) -> Plain:
        """How good a model was, window by window, on the labels that are known by now."""
        answer = ask(
            self._database,
            self._blobs,
            self._folder,
            model,
            now=self._clock.now(),
            metric=asked.metric,
            window=asked.window,
            start=None if asked.start is None else parse_moment(asked.start, field="start"),
            end=None if asked.end is None else parse_moment(asked.end, field="end"),
            by=asked.by,
            version=asked.version,
        )
        said = self._said(answer) if asked.history and answer.windows else {}
        return accuracy_view(answer, said, now=self._clock.now(), with_history=asked.history)

    def segments(self, model: str, asked: SegmentsBody) -> Plain:
        """The parts of the rows on which a model is worse than on the rest; by default of its last four weeks."""
        now = self._clock.now()
        with self._database.read() as conn:
            judged = judged_model(conn, model)
            last = last_moment(conn, model, now=now)
        end = last if asked.end is None else parse_moment(asked.end, field="end")
        start = end - SEARCHED if asked.start is None else parse_moment(asked.start, field="start")
        if start >= end:
            raise Invalid("start is not before end", field="start", next_step="give an earlier start")
        found = find_segments(
            self._database,
            self._blobs,
            self._folder,
            judged,
            start=start,
            end=end,
            now=now,
            effect=asked.effect,
            min_rows=asked.min_rows,
            columns=asked.columns,
        )
        view: Plain = {"model": model, "start": to_iso(start), "end": to_iso(end), "effect": asked.effect}
        segments = [msgspec.to_builtins(one) | {"text": one.text} for one in found.segments]
        plain: Plain = msgspec.to_builtins(found)
        return view | plain | {"segments": segments}

    def _said(self, answer: Answer) -> dict[Key, list[Statement]]:
        start, end = answer.windows[0][0], answer.windows[-1][1]
        with self._database.read() as conn:
            return history(conn, answer.judged.model, answer.series, start=start, end=end)


def accuracy_view(answer: Answer, said: dict[Key, list[Statement]], *, now: int, with_history: bool) -> Plain:
    """The answer as JSON says it: times as ISO, delays in seconds."""
    usual = answer.found.usual_lateness
    view: Plain = {
        "model": answer.judged.model,
        "task": answer.judged.task,
        "metric": answer.series.metric,
        "greater_is_better": answer.measure.greater_is_better,
        "window": answer.series.window,
        "by": answer.series.by,
        "now": to_iso(now),
        "reference": answer.judged.reference.get(answer.series.metric),
        "usual_lateness_s": None if usual is None else round(usual / SECOND, 1),
        "final_until": None if usual is None else to_iso(now - usual),
        "windows": [],
        "slices": [],
    }
    for one in answer.found.statements:
        plain = statement_view(one)
        if with_history:
            plain["before"] = [statement_view(old) for old in said.get((one.start, one.slice), []) if old != one]
        view["windows" if one.slice == ALL else "slices"].append(plain)
    return view


def statement_view(one: Statement) -> Plain:
    """One statement as JSON says it."""
    plain: Plain = {"start": to_iso(one.start), "end": to_iso(one.end)}
    if one.slice != ALL:
        plain["slice"] = one.slice
    return plain | {
        "predictions": one.predictions,
        "labels": one.labels,
        "coverage": round(one.coverage, 6),
        "contradicted": one.contradicted,
        "lateness_s": _seconds(one.lateness),
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "method": one.method,
        "reason": one.reason,
        "provisional": one.provisional,
        "reopened": one.reopened,
        "revision": one.revision,
        "said": to_iso(one.at),
    }


def _seconds(late: Lateness | None) -> Plain | None:
    if late is None:
        return None
    return {name: round(getattr(late, name) / SECOND, 1) for name in ("median", "p90", "p99")}
