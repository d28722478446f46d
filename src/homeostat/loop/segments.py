"""Weak segments of a model: labelled predictions with what was asked, searched on demand and for declared guards."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.evaluation.metrics import METRICS
from homeostat.ground.clock import DAY, to_iso
from homeostat.ground.errors import Invalid
from homeostat.loop.declaration import list_declarations
from homeostat.loop.judged import Judged, judged_model
from homeostat.loop.log_sample import log_frames
from homeostat.loop.log_slices import column_values, log_column
from homeostat.loop.monitors import list_monitors
from homeostat.monitoring.accuracy_windows.rows import labelled_rows
from homeostat.monitoring.accuracy_windows.types import WindowRows
from homeostat.monitoring.alarms import list_alarms
from homeostat.monitoring.findings import note_findings
from homeostat.monitoring.rules import settle_alarms
from homeostat.monitoring.segments.search import search_segments
from homeostat.monitoring.segments.types import Rows, Search, Segment
from homeostat.monitoring.types import Finding, WeakSegment
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

KIND = "segment"
MOST_ROWS = 100_000
Floats = NDArray[np.float64]


class SegmentWatch:
    """Searches once an event day for models that declare `hs.no_weak_segment(...)`; one per engine."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = folder
        self._looked: dict[str, int] = {}

    def look(self, *, now: int) -> list[str]:
        """Check the models that are due; says which were."""
        with self._database.read() as conn:
            watched = [one.model for one in list_declarations(conn)] + [one.model for one in list_monitors(conn)]
        due = [model for model in watched if now - self._looked.get(model, -DAY) >= DAY]
        for model in due:
            self._model(model, now)
            self._looked[model] = now
        return due

    def _model(self, model: str, now: int) -> None:
        with self._database.read() as conn:
            judged = judged_model(conn, model)
            before = [one.subject for one in list_alarms(conn, model, is_open=True) if one.kind == KIND]
        rule = next((rule for rule in judged.watch if isinstance(rule, WeakSegment)), None)
        if judged.version is None or (rule is None and not before):
            return
        findings = [] if rule is None else self._findings(judged, rule, before, now)
        with self._database.write() as conn:
            settle_alarms(conn, model, findings, now=now, kinds={KIND})
            note_findings(conn, model, judged.version.version, findings, at=now, kinds={KIND})

    def _findings(self, judged: Judged, rule: WeakSegment, before: list[str], now: int) -> list[Finding]:
        found = find_segments(
            self._database,
            self._blobs,
            self._folder,
            judged,
            start=now - rule.window,
            end=now,
            now=now,
            effect=rule.effect,
            min_rows=rule.min_rows,
            columns=rule.columns,
        )
        if found.status == "insufficient":
            evidence = {"reason": found.reason, "rows": found.rows}
            return [Finding(kind=KIND, subject="", status="insufficient", evidence=evidence)]
        window = [to_iso(now - rule.window), to_iso(now)]
        weak = [_finding(one, window) for one in found.segments]
        named = {one.subject for one in weak}
        over = {"reason": "no worse than the rest any more", "window": window}
        return weak + [
            Finding(kind=KIND, subject=subject, status="ok", evidence=over)
            for subject in before
            if subject not in named
        ]


def _finding(one: Segment, window: list[str]) -> Finding:
    evidence: dict[str, Any] = msgspec.to_builtins(one) | {"text": one.text, "window": window}
    return Finding(kind=KIND, subject=one.text[:200], status="alarm", evidence=evidence)


def find_segments(
    database: Database,
    blobs: BlobStore,
    folder: Path,
    judged: Judged,
    *,
    start: int,
    end: int,
    now: int,
    effect: float = 0.2,
    min_rows: int = 200,
    columns: tuple[str, ...] = (),
) -> Search:
    """The segments of a time on which a model is worse than on the rest, on the labels known by `now`.

    `columns` are request columns or features; all of them but times when none are named.

    Raises:
        Invalid: when the log holds no such column.
    """
    names = columns or _all_columns(judged)
    bins = judged.version.bins if judged.version is not None else ()
    places = {name: log_column(judged.signature, bins, name) for name in names}
    with database.read() as conn:
        labelled = labelled_rows(conn, judged.model, start=start, end=end, now=now)
    step = max(1, -(-len(labelled.at) // MOST_ROWS))
    chosen = np.zeros(len(labelled.at), dtype=np.bool_)
    chosen[::step] = True
    rows = labelled.pick(chosen) if step > 1 else labelled
    place_of = {one: place for place, one in enumerate(rows.request_ids)}
    order: list[int] = []
    asked: dict[str, list[Any]] = {name: [] for name in names}
    for frame in log_frames(database, blobs, folder, judged.model, start=start, end=end):
        met = [place_of.get(one, -1) for one in frame["request_id"].to_list()]
        part = frame.filter(np.array(met) >= 0)
        order += [place for place in met if place >= 0]
        for name in names:
            asked[name] += column_values(part, places[name])
    found = Rows(loss=losses(judged.task, rows)[order], at=rows.at[order], columns=asked)
    return search_segments(found, effect=effect, min_rows=min_rows)


def losses(task: str, rows: WindowRows) -> Floats:
    """What each row cost: of probabilities the log loss beyond what the model itself expected, of numbers the distance.

    Raises:
        Invalid: when nobody knows what the model answers.
    """
    y, score = rows.y, rows.score
    match task:
        case "binary":
            row_loss = METRICS["log_loss"].row_loss
            assert row_loss is not None  # it has one
            p = np.clip(score, 1e-9, 1 - 1e-9)
            lost: Floats = row_loss(y, score) + p * np.log(p) + (1 - p) * np.log1p(-p)
        case "multiclass":
            lost = (y != score).astype(np.float64)
        case "regression":
            lost = np.abs(y - score)
        case _:
            raise Invalid(
                "nobody has looked yet at what this model answers",
                field="model",
                next_step="put a version of it into service",
            )
    return lost


def _all_columns(judged: Judged) -> tuple[str, ...]:
    signature = judged.signature
    if signature is None:
        return ()
    inputs = [column.name for column in signature.inputs + signature.keys if column.dtype != "time"]
    return tuple(dict.fromkeys([*inputs, *(column.name for column in signature.columns)]))
