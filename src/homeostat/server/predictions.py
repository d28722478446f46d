"""The verbs of the prediction log, over a home: what was answered to one request, and a stretch of it as a table."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import to_iso
from homeostat.ground.errors import NotFound
from homeostat.ground.records import FeatureColumn
from homeostat.ground.settings import Settings
from homeostat.loop.engine import log_folder
from homeostat.loop.labelling import labelled_model
from homeostat.monitoring.labels import label_history, labelled_models
from homeostat.monitoring.outcomes import Outcome, outcomes_of
from homeostat.registry.versions import get_version
from homeostat.server.labels import label_view
from homeostat.serving.find import find_rows
from homeostat.serving.scan import scan_frames
from homeostat.serving.segments import LoggedRow, frame_of
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

if TYPE_CHECKING:
    import polars as pl

Plain = dict[str, Any]


class Predictions:
    """Every method is one verb; whoever asks reaches the projects of their identity only."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = log_folder(settings)

    def show(self, request_id: str, who: Identity = LOCAL) -> Plain:
        """What was asked and answered under a request id, by every version that saw it, and what was said of it since.

        Raises:
            NotFound: when neither the log nor a label knows it.
        """
        with self._database.read() as conn:
            outcomes = outcomes_of(conn, request_id)
        with self._database.read() as conn:
            places = [(one.model, one.at) for one in outcomes]
            rows = find_rows(conn, self._blobs, self._folder, request_id, scored=places)
            answers = [_row_view(conn, row) for row in rows if who.may_touch(row.model)]
            answers += [_outcome_view(one) for one in _unlogged(outcomes, rows) if who.may_touch(one.model)]
            models = {row["model"] for row in answers} | set(filter(who.may_touch, labelled_models(conn, request_id)))
            labels = {model: [label_view(one) for one in label_history(conn, model, request_id)] for model in models}
        if not answers and not labels:
            raise NotFound(
                f"nothing was asked under the id {request_id!r:.140}",
                field="request_id",
                next_step="give the request_id that came with the answer",
            )
        said = [label | {"model": model} for model, some in sorted(labels.items()) for label in some]
        answers.sort(key=lambda one: (one["arm"] == "shadow", one["model"], one["version"]))
        return {"request_id": request_id, "answers": answers, "labels": said}

    def frames(
        self, model: str, *, start: int | None = None, end: int | None = None, who: Identity = LOCAL
    ) -> Iterator["pl.DataFrame"]:
        """The log of a model, start <= at < end, as frames of one schema; at least one, if an empty one.

        Raises:
            NotFound: when there is no such model.
        """
        who.require_project(model)
        with self._database.read() as conn:
            labelled_model(conn, model)
        with self._database.read() as conn:
            frames = scan_frames(conn, self._blobs, self._folder, model=model, start=start, end=end)
            # The catalogue is read before the first frame, so no transaction stays open while somebody downloads.
            first = next(frames, None)
        return map(_with_times, chain([frame_of([]) if first is None else first], frames))


def _with_times(frame: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    moments = [pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC") for name in ("at", "received")]
    return frame.with_columns(moments)


def _row_view(conn: Connection, row: LoggedRow) -> Plain:
    view: Plain = msgspec.to_builtins(row)
    vector = view.pop("vector")
    del view["request_id"]
    view |= {"at": to_iso(row.at), "received": to_iso(row.received)}
    return view | {"features": _features(conn, row, vector)}


def _features(conn: Connection, row: LoggedRow, vector: Sequence[float]) -> Plain:
    """The vector by name, categories by theirs; what the version saw, not what was asked."""
    try:
        columns = get_version(conn, row.model, row.version).signature.columns
    except NotFound:
        columns = ()
    if len(columns) != len(vector):
        return {str(place): _plain(value) for place, value in enumerate(vector)}
    return {column.name: _feature(column, value) for column, value in zip(columns, vector, strict=True)}


def _feature(column: FeatureColumn, value: float) -> Any:
    known = _plain(value)
    if known is not None and column.kind == "category" and 0 <= value < len(column.categories):
        return column.categories[int(value)]
    return known


def _plain(value: float) -> float | None:
    return value if value - value == 0 else None  # JSON knows no NaN


def _unlogged(outcomes: Sequence[Outcome], rows: Sequence[LoggedRow]) -> list[Outcome]:
    """Outcomes whose rows are no longer in the log (`keep_predictions`)."""
    logged = {(row.model, row.version) for row in rows}
    return [one for one in outcomes if (one.model, one.version) not in logged]


def _outcome_view(outcome: Outcome) -> Plain:
    view: Plain = msgspec.to_builtins(outcome)
    return view | {"status": "ok", "at": to_iso(outcome.at), "detail": "the rest is no longer in the log"}
