"""Shadows: versions that score the same rows after the reply is out, on a thread of their own.

They never touch an answer: the queue is bounded in rows, drops what does not fit and counts it. The thread wakes at
most fifty times a second and scores what has gathered in one call; waking it per request halves the throughput.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from homeostat.ground.errors import HomeostatError
from homeostat.ground.ports import Served
from homeostat.ground.records import PredictionBatch
from homeostat.serving.inputs import check_columns
from homeostat.serving.log import PredictionLog
from homeostat.serving.metrics import Meters
from homeostat.serving.parts import picked
from homeostat.serving.scoring import Floats, NotANumber, logged_status, packed, read_vectors, score_matrix, unpacked
from homeostat.serving.types import ShadowWork

MAX_WAITING_ROWS = 10_000
GATHER_SECONDS = 0.02


class ShadowScorer:
    """A bounded queue of rows and the thread that scores them."""

    def __init__(self, log: PredictionLog, meters: Meters, *, max_rows: int = MAX_WAITING_ROWS) -> None:
        self._log = log
        self._meters = meters
        self._max_rows = max_rows
        self._queue: deque[ShadowWork] = deque()
        self._lock = threading.Lock()
        self._has_work = threading.Event()
        self._closing = threading.Event()
        self.waiting = 0
        """Rows in the queue or being scored."""
        self.dropped = 0
        """Rows lost since the start: they found the queue full, or the log could not be written."""
        self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
        self._thread.start()

    def offer(self, work: ShadowWork) -> bool:
        """Queue the rows; False (and counted) when the queue has no room for them."""
        rows = len(work.request_ids)
        with self._lock:
            if self._closing.is_set() or self.waiting + rows > self._max_rows:
                self.dropped += rows
                return False
            self.waiting += rows
            self._queue.append(work)
        if not self._has_work.is_set():
            self._has_work.set()
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Score what is queued, then end; what does not end in time is lost."""
        with self._lock:
            self._closing.set()
        self._has_work.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing.is_set() or self._queue:
            self._has_work.wait()
            self._closing.wait(GATHER_SECONDS)
            self._has_work.clear()
            self._score(self._take())

    def _take(self) -> list[ShadowWork]:
        with self._lock:
            gathered = list(self._queue)
            self._queue.clear()
        return gathered

    def _score(self, works: list[ShadowWork]) -> None:
        rows = sum(len(work.request_ids) for work in works)
        lost = 0
        try:
            batches = list(shadow_batches(works))
            self._meters.count(batches)
            self._log.append(batches)
        except HomeostatError:  # the log cannot be written; answers fail with it, a shadow is only lost
            lost = rows
        with self._lock:
            self.waiting -= rows
            self.dropped += lost


def shadow_batches(works: Sequence[ShadowWork]) -> Iterator[PredictionBatch]:
    """What the shadows make of the rows: a batch a request and shadow; a failure is one with status 'error'."""
    by_version: dict[tuple[str, int], tuple[Served, list[ShadowWork]]] = {}
    for work in works:
        for served in work.served:
            by_version.setdefault((served.model, served.version), (served, []))[1].append(work)
    for served, group in by_version.values():
        # Vectors that were read for the answer already are scored in one call, and so are matrices.
        yield from _together(served, [work for work in group if work.matrix is not None])
        named = [work for work in group if work.matrix is None]
        yield from _together(served, [work for work in named if work.signature == served.signature])
        yield from (_alone(served, work) for work in named if work.signature != served.signature)


def _together(served: Served, works: list[ShadowWork]) -> list[PredictionBatch]:
    """Rows whose vectors need not be read, in one call; each gets its share of the time."""
    if not works:
        return []
    begun = time.perf_counter_ns()
    try:
        matrix = _vectors(served, works)
        scores, table = score_matrix(served, matrix)
    except HomeostatError:  # one request's rows may have done it: ask for each alone
        return [_alone(served, work) for work in works]
    share = (time.perf_counter_ns() - begun) // len(scores)
    batches, at = [], 0
    for work in works:
        count = len(work.request_ids)
        batch = _batch(served, work, share * count)
        batch.inputs, batch.scores = work.checked, scores[at : at + count]
        batch.vectors = packed(matrix[at : at + count])
        batch.outputs = packed(None if table is None else table[at : at + count])
        batches.append(batch)
        at += count
    return batches


def _vectors(served: Served, works: list[ShadowWork]) -> Floats:
    if works[0].matrix is not None:
        return picked(served, np.concatenate([work.matrix for work in works]))
    return unpacked(b"".join([work.vectors for work in works]), len(served.signature.columns))


def _alone(served: Served, work: ShadowWork) -> PredictionBatch:
    begun = time.perf_counter_ns()
    batch = _batch(served, work, 0)
    try:
        _read_and_score(served, work, batch)
    except NotANumber as error:
        batch.status, batch.detail = logged_status(error), str(error)
    except Exception as error:  # noqa: BLE001  whatever it is, it is this version's and must not end the thread
        # What the answering version took and the shadow does not is no caller's fault, so it is not 'rejected'.
        batch.status, batch.detail = "error", str(error)
    batch.latency_us = (time.perf_counter_ns() - begun) // 1_000
    return batch


def _read_and_score(served: Served, work: ShadowWork, batch: PredictionBatch) -> None:
    if work.matrix is not None:
        matrix = picked(served, work.matrix)
    elif work.signature == served.signature:
        batch.inputs, matrix = work.checked, unpacked(work.vectors, len(served.signature.columns))
    else:
        batch.inputs = check_columns(served.signature, work.inputs, is_text=work.is_text)
        matrix = read_vectors(served, batch.inputs, work.times)
    scores, table = score_matrix(served, matrix)
    batch.vectors, batch.scores, batch.outputs = packed(matrix), scores, packed(table)


def _batch(served: Served, work: ShadowWork, nanoseconds: int) -> PredictionBatch:
    return PredictionBatch(
        endpoint=work.endpoint,
        model=served.model,
        version=served.version,
        arm="shadow",
        status="ok",
        request_ids=work.request_ids,
        times=work.times,
        received=work.received,
        latency_us=nanoseconds // 1_000,
        protocol=work.protocol,
        feature_hash=served.signature.feature_hash,
    )
