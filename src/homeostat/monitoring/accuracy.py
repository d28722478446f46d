"""Accuracy with late labels: predictions joined to what turned out to be true, as far as it was known by a moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY
from homeostat.monitoring.health import SERVED
from homeostat.monitoring.store import labels, outcomes

DELAYS_FROM = 2 * DAY
"""How far before a window label delays are learned from."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MetricsFn = Callable[[Floats, Floats], Mapping[str, float | None]]
"""Labels and scores in, metrics by name out."""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions whose label is known, one entry a row, in order of prediction time."""

    request_ids: list[str]
    at: Ints
    version: Ints
    score: Floats
    y: Floats
    label_at: Ints


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled requests that two versions scored, one entry a request, in the order in which labels came in."""

    seq: Ints
    label_at: Ints
    y: Floats
    score_stable: Floats
    score_candidate: Floats


class AccuracyWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How good the answers of a window were, and on how much of it that rests."""

    start: int
    end: int
    predictions: int
    labelled: int
    coverage: float
    """labelled / predictions; 0 without predictions."""
    metrics: dict[str, float | None]
    """Empty without a label."""
    provisional: bool
    """Labels of this window are still to be expected: its end is younger than 99 % of the label delays seen."""


def window_accuracy(
    conn: Connection,
    model: str,
    *,
    start: int,
    end: int,
    now: int,
    metrics_fn: MetricsFn,
    version: int | None = None,
) -> AccuracyWindow:
    """The served answers (not the shadows') to requests from `start` to before `end`, on labels known by `now`."""
    # Delays from before the window are needed too: within a young window only the fast labels have come in.
    rows = joined(conn, model, version=version, start=start - min(end - start, DELAYS_FROM), end=end, now=now)
    inside = rows.at >= start
    predictions = _count_predictions(conn, model, version, start, end)
    labelled = int(inside.sum())
    return AccuracyWindow(
        start=start,
        end=end,
        predictions=predictions,
        labelled=labelled,
        coverage=labelled / predictions if predictions else 0.0,
        metrics=dict(metrics_fn(rows.y[inside], rows.score[inside])) if labelled else {},
        provisional=_is_provisional(rows, end, now),
    )


def joined(
    conn: Connection,
    model: str,
    *,
    version: int | None = None,
    arms: Sequence[str] = SERVED,
    start: int,
    end: int,
    now: int,
) -> Joined:
    """Predictions from `start` to before `end` with the label that was believed at `now`."""
    known = _believed(now)
    query = (
        sa.select(outcomes.c.request_id, outcomes.c.at, outcomes.c.version, outcomes.c.score, known.c.value, known.c.at)
        .join(known, sa.and_(known.c.model == outcomes.c.model, known.c.request_id == outcomes.c.request_id))
        .where(*_asked(model, version, arms, start, end))
        .order_by(outcomes.c.at, outcomes.c.request_id, outcomes.c.version)
    )
    columns = _columns(conn, query, 6)
    return Joined(
        request_ids=list(columns[0]),
        at=np.array(columns[1], dtype=np.int64),
        version=np.array(columns[2], dtype=np.int64),
        score=np.array(columns[3], dtype=np.float64),
        y=np.array(columns[4], dtype=np.float64),
        label_at=np.array(columns[5], dtype=np.int64),
    )


def paired(conn: Connection, model: str, *, stable: int, candidate: int, after_seq: int, up_to_seq: int) -> Paired:
    """Requests that both versions scored and whose first label has a number in (after_seq, up_to_seq].

    A correction does not bring its request a second time, so that each counts once as evidence. Read the logs in
    before the labels' high water is used: a label that is passed before its predictions are there is not seen again.
    """
    ours, theirs, first = outcomes.alias("ours"), outcomes.alias("theirs"), labels.alias("first")
    earlier = labels.alias("earlier")
    was_labelled = sa.exists().where(
        earlier.c.model == first.c.model, earlier.c.request_id == first.c.request_id, earlier.c.seq < first.c.seq
    )
    query = (
        sa.select(first.c.seq, first.c.at, first.c.value, ours.c.score, theirs.c.score)
        .select_from(first)
        .join(ours, _same_request(ours, first, stable))
        .join(theirs, _same_request(theirs, first, candidate))
        # `|| ''` keeps SQLite from walking all labels of the model instead of the few new ones by number.
        .where(first.c.seq > after_seq, first.c.seq <= up_to_seq, first.c.model.concat("") == model, ~was_labelled)
        .order_by(first.c.seq)
    )
    columns = _columns(conn, query, 5)
    return Paired(
        seq=np.array(columns[0], dtype=np.int64),
        label_at=np.array(columns[1], dtype=np.int64),
        y=np.array(columns[2], dtype=np.float64),
        score_stable=np.array(columns[3], dtype=np.float64),
        score_candidate=np.array(columns[4], dtype=np.float64),
    )


def counts(conn: Connection, model: str) -> dict[str, int]:
    """`predictions` answered (shadows apart), requests with `labels`, and predictions `joined` with a label."""
    served = (outcomes.c.model == model, outcomes.c.arm.in_(SERVED))
    is_labelled = sa.exists().where(labels.c.model == outcomes.c.model, labels.c.request_id == outcomes.c.request_id)
    predictions = sa.select(sa.func.count()).select_from(outcomes).where(*served)
    labelled = sa.select(sa.func.count(sa.distinct(labels.c.request_id))).where(labels.c.model == model)
    return {
        "predictions": int(conn.execute(predictions).scalar_one()),
        "labels": int(conn.execute(labelled).scalar_one()),
        "joined": int(conn.execute(predictions.where(is_labelled)).scalar_one()),
    }


def _columns(conn: Connection, query: sa.Select[Any], width: int) -> list[Any]:
    """The columns of a result of plain numbers and texts, straight from the driver: a third of the price of rows."""
    cursor = conn.execute(query).cursor
    assert cursor is not None  # a select has one
    return list(zip(*cursor.fetchall(), strict=True)) or [()] * width


def _believed(now: int) -> sa.Subquery:
    """Of each request the label with the latest (at, seq) among those known at `now`."""
    later = labels.alias("later")
    is_corrected = sa.exists().where(
        later.c.model == labels.c.model,
        later.c.request_id == labels.c.request_id,
        later.c.at <= now,
        sa.tuple_(later.c.at, later.c.seq) > sa.tuple_(labels.c.at, labels.c.seq),
    )
    known = sa.select(labels.c.model, labels.c.request_id, labels.c.value, labels.c.at)
    return known.where(labels.c.at <= now, ~is_corrected).subquery("known")


def _asked(model: str, version: int | None, arms: Sequence[str], start: int, end: int) -> list[sa.ColumnElement[bool]]:
    conditions = [
        outcomes.c.model == model,
        outcomes.c.at >= start,
        outcomes.c.at < end,
        outcomes.c.arm.in_(arms),
        outcomes.c.score.is_not(None),
    ]
    return conditions if version is None else [*conditions, outcomes.c.version == version]


def _same_request(outcome: Any, label: Any, version: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        outcome.c.request_id == label.c.request_id,
        outcome.c.model == label.c.model,
        outcome.c.version == version,
        outcome.c.score.is_not(None),
    )


def _count_predictions(conn: Connection, model: str, version: int | None, start: int, end: int) -> int:
    query = sa.select(sa.func.count()).select_from(outcomes).where(*_asked(model, version, SERVED, start, end))
    return int(conn.execute(query).scalar_one())


def _is_provisional(rows: Joined, end: int, now: int) -> bool:
    if not len(rows.at):
        return True
    return bool(end + np.quantile(rows.label_at - rows.at, 0.99) > now)
