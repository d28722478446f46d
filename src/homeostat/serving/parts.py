"""A request on its way: one part for each arm that answers some of its rows, scored together with other requests'."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from homeostat.ground.errors import HomeostatError
from homeostat.ground.ports import Served
from homeostat.ground.records import PredictionBatch
from homeostat.serving.inputs import check_matrix
from homeostat.serving.scoring import Floats, logged_status, packed, read_vectors, score_matrix
from homeostat.serving.table import Route
from homeostat.serving.types import Arm, PredictReply, PredictRequest, ShadowWork

_DETAIL = 1_000
_identities: dict[int, tuple[int, ...]] = {}

Answer = Callable[[PredictReply | HomeostatError], None]


class Part:
    """The rows of a request that one arm answers; `places` are their places in the request."""

    __slots__ = (
        "arm",
        "batch",
        "error",
        "ids",
        "inputs",
        "matrix",
        "pending",
        "places",
        "queued",
        "served",
        "timer",
        "times",
    )

    def __init__(
        self,
        arm: Arm,
        served: Served,
        places: Sequence[int],
        ids: list[str],
        times: list[int],
        inputs: dict[str, list[Any]],
        matrix: Floats | None,
    ) -> None:
        self.arm = arm
        self.served = served
        self.places = places
        self.ids = ids
        self.times = times
        self.inputs = inputs
        self.matrix = matrix
        self.pending: Pending
        self.queued = 0
        """When it began to wait for the version's thread, `time.perf_counter_ns()`; 0 when it did not."""
        self.timer: asyncio.TimerHandle | None = None
        """Tells its caller when it has waited too long."""
        self.batch: PredictionBatch | None = None
        self.error: HomeostatError | None = None


class Pending:
    """A request whose parts are being scored; `answer` is called once, when all are."""

    __slots__ = ("answer", "is_over", "open", "parts", "prepared", "request", "route", "shadow")

    def __init__(
        self, request: PredictRequest, route: Route, parts: list[Part], shadow: ShadowWork | None, answer: Answer
    ) -> None:
        self.request = request
        self.route = route
        self.parts = parts
        self.shadow = shadow
        self.answer = answer
        self.open = len(parts)
        self.is_over = False
        self.prepared = time.perf_counter_ns() - request.started
        for part in parts:
            part.pending = self


def score_parts(served: Served, parts: list[Part]) -> None:
    """Score parts of one version together; when that fails, each alone, so that none pays for another.

    Sets `batch` (what is to be logged) and `error` of every part.
    """
    begun, good = time.perf_counter_ns(), parts
    try:
        vectors: Floats | None = _vectors(served, parts)
        if served.direct is not None and not np.isfinite(vectors).all():  # type: ignore[arg-type]  # set above
            good = _refuse_bad_matrices(served, parts)
            vectors = vectors if len(good) == len(parts) else _vectors(served, good) if good else None
        if vectors is not None:
            _score_together(served, good, vectors, begun)
    except HomeostatError as error:
        if len(good) > 1:
            for part in good:
                score_parts(served, [part])
        else:
            part = good[0]
            part.error, part.batch = error, _failed_batch(part, error, begun)


def failed_batch(part: Part, error: HomeostatError) -> PredictionBatch:
    """What is logged for a part that was not scored."""
    return _failed_batch(part, error, time.perf_counter_ns())


def detail(error: HomeostatError) -> str:
    """An error as the log keeps it, naming the field."""
    named = f"{error.field}: {error.message}" if error.field else error.message
    return named[:_DETAIL]


def _score_together(served: Served, parts: list[Part], vectors: Floats, begun: int) -> None:
    scored = score_matrix(served, vectors)
    took = time.perf_counter_ns() - begun
    logged = packed(vectors)
    width = len(logged) // len(vectors)
    at = 0
    for part in parts:
        end = at + len(part.ids)
        outputs = None if scored.table is None else scored.table[at:end]
        batch = _batch(part, "ok", begun, took)
        batch.vectors = logged if len(parts) == 1 else logged[at * width : end * width]
        batch.scores = scored.scores if len(parts) == 1 else scored.scores[at:end]
        if outputs is not None:
            batch.outputs = packed(outputs)
        part.batch, part.error = batch, None
        at = end


def _vectors(served: Served, parts: list[Part]) -> Floats:
    """The vectors of all parts' rows, in their order."""
    matrices = [part.matrix for part in parts if part.matrix is not None]
    if len(matrices) == len(parts):
        return picked(served, matrices[0] if len(matrices) == 1 else np.concatenate(matrices))
    if not matrices:
        return _read(served, parts)
    return np.concatenate(
        [_read(served, [part]) if part.matrix is None else picked(served, part.matrix) for part in parts]
    )


def _read(served: Served, parts: list[Part]) -> Floats:
    if len(parts) == 1:
        return read_vectors(served, parts[0].inputs, parts[0].times)
    names = [column.name for column in served.signature.inputs]
    inputs = {name: [value for part in parts for value in part.inputs[name]] for name in names}
    return read_vectors(served, inputs, [at for part in parts for at in part.times])


def picked(served: Served, matrix: Floats) -> Floats:
    """The version's vector columns out of a matrix of the request's columns."""
    count = matrix.shape[1]
    identity = _identities.get(count)
    if identity is None:
        identity = _identities[count] = tuple(range(count))
    return matrix if served.direct == identity else matrix[:, served.direct]


def _refuse_bad_matrices(served: Served, parts: list[Part]) -> list[Part]:
    """The parts without those whose matrix holds what the signature does not take."""
    suspects = [part for part in parts if part.matrix is not None and not np.isfinite(part.matrix).all()]
    for part in suspects:
        try:
            check_matrix(served.signature, part.matrix)
        except HomeostatError as error:
            part.error, part.batch = error, failed_batch(part, error)
    return [part for part in parts if part.error is None] if suspects else parts


def _failed_batch(part: Part, error: HomeostatError, begun: int) -> PredictionBatch:
    batch = _batch(part, logged_status(error), begun, time.perf_counter_ns() - begun)
    batch.detail = detail(error)
    return batch


def _batch(part: Part, status: str, begun: int, took: int) -> PredictionBatch:
    request = part.pending.request
    waited = begun - part.queued if part.queued else 0
    return PredictionBatch(
        endpoint=request.endpoint,
        model=part.served.model,
        version=part.served.version,
        arm=part.arm.arm,
        status=status,
        request_ids=part.ids,
        times=part.times,
        received=request.received,
        latency_us=(part.pending.prepared + waited + took) // 1_000,
        protocol=request.protocol,
        feature_hash=part.served.signature.feature_hash,
        inputs=part.inputs,
    )


def reply_of(pending: Pending) -> PredictReply:
    """The rows' scores in the request's order, whichever arms gave them."""
    route, parts = pending.route, pending.parts
    first = parts[0].batch
    assert first is not None  # all parts were scored
    count = len(first.scores)
    reply = PredictReply(
        endpoint=route.endpoint.name,
        model=route.endpoint.model,
        scores=first.scores,
        request_ids=first.request_ids,
        versions=[first.version] * count,
        arms=[first.arm] * count,
        table=_table(first) if len(parts) == 1 else None,
        signature=parts[0].served.signature,
        shadow=pending.shadow,
    )
    if len(parts) > 1:
        _put_together(reply, parts)
    return reply


def _put_together(reply: PredictReply, parts: list[Part]) -> None:
    batches = [part.batch for part in parts if part.batch is not None]
    rows = sorted((place, number, row) for number, part in enumerate(parts) for row, place in enumerate(part.places))
    reply.scores = [batches[number].scores[row] for _, number, row in rows]
    reply.request_ids = [batches[number].request_ids[row] for _, number, row in rows]
    reply.versions = [batches[number].version for _, number, _ in rows]
    reply.arms = [batches[number].arm for _, number, _ in rows]
    tables = [table for batch in batches if (table := _table(batch)) is not None]
    # Arms that give different numbers of outputs cannot share a table; each row still has its score.
    if len(tables) == len(batches) and len({table.shape[1] for table in tables}) == 1:
        reply.table = np.array([tables[number][row] for _, number, row in rows])


def _table(batch: PredictionBatch) -> Floats | None:
    return np.frombuffer(batch.outputs, "<f8").reshape(len(batch.scores), -1) if batch.outputs else None
