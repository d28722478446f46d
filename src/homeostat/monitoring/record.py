"""Taking in the prediction log: rows for the label join, counters for traffic, latency and profiles."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.records import ColumnBins, PredictionBatch
from homeostat.monitoring import store
from homeostat.monitoring.bins import SCORE, Counts, Matrix, bins_id, count
from homeostat.monitoring.health import bucket_of
from homeostat.store.dialect import add_up, insert_new_tuples

Version = tuple[str, int]
Window = tuple[str, int, str, int]
"""Model, version, arm, start of the event hour."""


def record_batches(
    conn: Connection,
    batches: Sequence[PredictionBatch],
    *,
    bins: Mapping[Version, tuple[ColumnBins, ...]],
    slow_us: Mapping[str, int | None],
    probabilities: Collection[Version] = (),
) -> int:
    """Take in frames of the prediction log and say how many scored rows were new.

    Belongs into the transaction that moves the log's position, since counters are added to. `bins` may lack a version
    (nothing is profiled then); a request slower than `slow_us` of its model counts as slow; the scores of versions in
    `probabilities` have to lie within 0 and 1.
    """
    batches = list(batches)
    scored = [batch for batch in batches if batch.status == "ok" and batch.scores]
    new = insert_new_tuples(conn, store.outcomes, _OUTCOME, list(_outcomes(scored)))
    misfits = _record_profiles(conn, scored, bins)
    misfits |= {id(batch) for batch in scored if not _is_valid(batch, probabilities)}
    _record_traffic(conn, batches, slow_us, misfits)
    timed = [batch for batch in batches if batch.status == "ok" and batch.latency_us >= 0]  # below: nobody knows
    _record_latency(conn, timed, batches)
    return new


_OUTCOME = ("request_id", "model", "version", "arm", "at", "score")


def _outcomes(batches: Iterable[PredictionBatch]) -> Iterable[tuple[Any, ...]]:
    for batch in batches:
        model, version, arm = batch.model, batch.version, batch.arm
        for request_id, at, score in zip(batch.request_ids, batch.times, batch.scores, strict=True):
            yield request_id, model, version, arm, at, score if _is_number(score) else None


def _is_valid(batch: PredictionBatch, probabilities: Collection[Version]) -> bool:
    """Whether every answer is a number, and where it is to be a probability, one of those."""
    low, high = (0, 1) if (batch.model, batch.version) in probabilities else (float("-inf"), float("inf"))
    return all(_is_number(score) and low <= score <= high for score in batch.scores)


def _is_number(score: float | None) -> bool:
    return score is not None and score - score == 0  # false for NaN and infinities


# Traffic and latency -------------------------------------------------------------------------------------------------


def _hours(batches: Sequence[PredictionBatch]) -> list[int]:
    """The event hour of each batch; one refused before its times were read takes that of its neighbours."""
    known = [batch.times[0] for batch in batches if batch.times]
    hours, latest = [], known[0] if known else None
    for batch in batches:
        if batch.times:
            latest = batch.times[0]
        at = latest if latest is not None else batch.received
        hours.append(at - at % HOUR)
    return hours


def _record_traffic(
    conn: Connection, batches: Sequence[PredictionBatch], slow_us: Mapping[str, int | None], misfits: set[int]
) -> None:
    totals: dict[Window, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    for batch, hour in zip(batches, _hours(batches), strict=True):
        total = totals[(batch.model, batch.version, batch.arm, hour)]
        limit = slow_us.get(batch.model)
        is_ok = batch.status == "ok"
        total[0] += 1
        total[1] += len(batch.request_ids)
        total[2] += batch.status == "error"
        total[3] += batch.status == "rejected"
        total[4] += is_ok and limit is not None and batch.latency_us > limit
        total[5] += batch.status == "invalid" or (is_ok and id(batch) in misfits)
    names = ("requests", "rows", "errors", "rejected", "slow", "invalid")
    rows = [_window(key) | dict(zip(names, total, strict=True)) for key, total in sorted(totals.items())]
    add_up(conn, store.traffic, rows, key=("model", "version", "arm", "window_start"), add=names)


def _record_latency(conn: Connection, answered: Sequence[PredictionBatch], batches: Sequence[PredictionBatch]) -> None:
    hour_of = {id(batch): hour for batch, hour in zip(batches, _hours(batches), strict=True)}
    totals: dict[tuple[Window, int], int] = defaultdict(int)
    buckets = bucket_of(np.array([batch.latency_us for batch in answered], dtype=np.float64)).tolist()
    for batch, bucket in zip(answered, buckets, strict=True):
        totals[((batch.model, batch.version, batch.arm, hour_of[id(batch)]), bucket)] += 1
    rows = [_window(key) | {"bucket": bucket, "requests": number} for (key, bucket), number in sorted(totals.items())]
    add_up(conn, store.latency, rows, key=("model", "version", "arm", "window_start", "bucket"), add=("requests",))


def _window(key: Window) -> dict[str, Any]:
    return dict(zip(("model", "version", "arm", "window_start"), key, strict=True))


# Profiles ------------------------------------------------------------------------------------------------------------


def _record_profiles(
    conn: Connection, batches: Sequence[PredictionBatch], bins: Mapping[Version, tuple[ColumnBins, ...]]
) -> set[int]:
    """Add up the profiles; returns the ids of batches whose vectors do not fit their version's bins."""
    by_version: dict[Version, list[PredictionBatch]] = defaultdict(list)
    for batch in batches:
        if (batch.model, batch.version) in bins:
            by_version[(batch.model, batch.version)].append(batch)
    misfits: set[int] = set()
    rows: list[dict[str, Any]] = []
    for version, some in sorted(by_version.items()):
        features = tuple(column for column in bins[version] if column.name != SCORE)
        logged = [batch for batch in some if batch.vectors]
        fitting = [batch for batch in logged if len(batch.vectors) == 8 * len(features) * len(batch.times)]
        misfits.update({id(batch) for batch in logged} - {id(batch) for batch in fitting})
        rows.extend(_profile_rows(version, features, _vectors(fitting, len(features)), _times(fitting)))
        score = tuple(column for column in bins[version] if column.name == SCORE)
        rows.extend(_profile_rows(version, score, _scores(some), _times(some)))
    key = ("model", "version", "window_start", "column_name", "bins_id", "bin")
    add_up(conn, store.profiles, rows, key=key, add=("rows",))
    return misfits


def _vectors(batches: Sequence[PredictionBatch], columns: int) -> Matrix:
    flat: Matrix = np.frombuffer(b"".join(batch.vectors for batch in batches), dtype="<f8")
    return flat.reshape(sum(len(batch.times) for batch in batches), columns)


def _scores(batches: Sequence[PredictionBatch]) -> Matrix:
    # None is what a NaN score reads as once it has been through JSON.
    return np.array([score for batch in batches for score in batch.scores], dtype=np.float64).reshape(-1, 1)


def _times(batches: Sequence[PredictionBatch]) -> Counts:
    return np.array([at for batch in batches for at in batch.times], dtype=np.int64)


def _profile_rows(
    version: Version, bins: tuple[ColumnBins, ...], matrix: Matrix, times: Counts
) -> Iterable[dict[str, Any]]:
    days = times // DAY * DAY
    for day in np.unique(days).tolist():
        for column, counts in zip(bins, count(bins, matrix[days == day]), strict=True):
            for place in np.flatnonzero(counts).tolist():
                yield {
                    "model": version[0],
                    "version": version[1],
                    "window_start": day,
                    "column_name": column.name,
                    "bins_id": bins_id(column),
                    "bin": place,
                    "rows": int(counts[place]),
                }
