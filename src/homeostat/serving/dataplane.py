"""The data plane: rows in, scores out, whichever protocol brought them.

A request is checked, split over the endpoint's arms, scored, logged, answered; shadows score it afterwards. What is
answered is in the log first. Changing versions or weights is a swap of one pointer.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from homeostat.ground.clock import Clock, DrivenClock, SystemClock
from homeostat.ground.errors import HomeostatError, Unavailable, http_status
from homeostat.ground.ids import new_id
from homeostat.ground.ports import Served
from homeostat.ground.records import PredictionBatch
from homeostat.serving.inputs import (
    CLOCK_SKEW,
    RESERVED,
    check_columns,
    check_known,
    request_ids,
    request_times,
    row_count,
)
from homeostat.serving.log import PredictionLog
from homeostat.serving.routing import choose_arm, named_arm
from homeostat.serving.scoring import score_rows
from homeostat.serving.shadow import MAX_WAITING_ROWS, ShadowScorer
from homeostat.serving.table import Load, Route, RoutingTable, TableBuilder
from homeostat.serving.types import FULL, Arm, Endpoint, PredictReply, PredictRequest, ShadowWork

_DETAIL = 1_000
_machine = SystemClock()


class _Part(NamedTuple):
    """The rows of a request that one arm answers; `places` are their places in the request."""

    arm: Arm
    served: Served
    places: Sequence[int]
    request_ids: list[str]
    times: list[int]
    inputs: dict[str, list[Any]]


class DataPlane:
    """Holds what is served and answers. `predict` may be called from several threads.

    With a `DrivenClock` (a replay) any request time is taken, and the clock moves to it.
    """

    def __init__(
        self, log: PredictionLog, clock: Clock, load: Load, *, max_shadow_rows: int = MAX_WAITING_ROWS
    ) -> None:
        self.log = log
        self._clock = clock
        self._driving = threading.Lock()
        self._builder = TableBuilder(load)
        self.table = RoutingTable()
        """What is served now; replaced as a whole, never changed."""
        self.shadows = ShadowScorer(log, max_rows=max_shadow_rows)

    def swap(self, endpoints: Sequence[Endpoint], generation: int) -> RoutingTable:
        """Load what the endpoints name, then serve it; call it from one thread, not the event loop's.

        Requests in flight finish on what they began with. Whatever cannot be loaded is served as before and told in
        the returned table's `failures`.
        """
        table = self._builder.build(endpoints, generation, before=self.table)
        self.table = table
        return table

    def predict(self, request: PredictRequest) -> PredictReply:
        """Score the rows and log them; hand the reply to `after` once it is sent.

        Raises:
            NotFound: when there is no such endpoint.
            Invalid: when the rows are not what the signature takes; logged as 'rejected'.
            UserCodeFailed: when a version fails; logged as 'error'.
            Unavailable: when the log cannot be written; without it nothing is answered.
        """
        request.received = request.received or _machine.now()
        request.started = request.started or time.perf_counter_ns()
        route = self.table.route(request.endpoint)
        try:
            parts, shadow = self._prepare(route, request)
        except HomeostatError as error:
            self.reject(request, error)
            raise
        prepared = time.perf_counter_ns() - request.started
        return self._answer(route, request, parts, shadow, prepared)

    def after(self, reply: PredictReply) -> None:
        """What happens once the reply is sent: shadows score the same rows. Never blocks."""
        if reply.shadow is not None:
            self.shadows.offer(reply.shadow)

    def reject(self, request: PredictRequest, error: HomeostatError) -> None:
        """Log a request that was refused before any version saw it (one row), against the stable version."""
        route = self.table.routes.get(request.endpoint)
        if route is None:
            return
        batch = PredictionBatch(
            endpoint=request.endpoint,
            model=route.endpoint.model,
            version=route.endpoint.stable.version,
            arm="stable",
            status="rejected" if http_status(error) < 500 else "error",
            request_ids=[new_id()],
            times=[self._clock.now()],
            received=request.received or _machine.now(),
            latency_us=(time.perf_counter_ns() - request.started) // 1_000 if request.started else 0,
            protocol=request.protocol,
            feature_hash=route.stable.signature.feature_hash,
            detail=_detail(error),
        )
        self._log_or_shrug(batch)

    def close(self) -> None:
        """Let the shadows finish, then close the log with its end frame."""
        self.shadows.close()
        self.log.close()

    def _prepare(self, route: Route, request: PredictRequest) -> tuple[list[_Part], ShadowWork | None]:
        count = row_count(request.inputs)
        check_known(request.inputs, route.known)
        ids = request_ids(request, count)
        times = self._times(request, count)
        inputs = {name: values for name, values in request.inputs.items() if name not in RESERVED}
        parts = [
            _Part(arm, route.served[arm.version], places, *_pick(places, count, ids, times, inputs))
            for arm, places in _split(route.endpoint, request, ids)
        ]
        checked = [
            part._replace(inputs=check_columns(part.served.signature, part.inputs, is_text=request.is_text))
            for part in parts
        ]
        return checked, _shadow_work(route, request, ids, times, inputs)

    def _times(self, request: PredictRequest, count: int) -> list[int]:
        clock = self._clock
        if not isinstance(clock, DrivenClock):
            now = clock.now()
            return request_times(request, count, now=now, latest=now + CLOCK_SKEW)
        times = request_times(request, count, now=clock.now(), latest=None)
        with self._driving:
            clock.advance_to(max(clock.now(), *times))
        return times

    def _answer(
        self, route: Route, request: PredictRequest, parts: list[_Part], shadow: ShadowWork | None, prepared: int
    ) -> PredictReply:
        batches: list[PredictionBatch] = []
        failure: HomeostatError | None = None
        for part in parts:
            batch, error = _score_part(request, part, prepared)
            batches.append(batch)
            failure = failure or error
        if failure is not None:
            for batch in batches:
                self._log_or_shrug(batch)
            raise failure
        self.log.append(batches)
        if shadow is not None and len(parts) == 1:
            shadow.signature = parts[0].served.signature
            shadow.checked, shadow.vectors = parts[0].inputs, batches[0].vectors
        return _reply(route, parts, batches, shadow)

    def _log_or_shrug(self, batch: PredictionBatch) -> None:
        try:
            self.log.append([batch])
        except Unavailable:  # the caller gets the first error, which says more than that it could not be logged
            return


def _split(endpoint: Endpoint, request: PredictRequest, ids: list[str]) -> list[tuple[Arm, Sequence[int]]]:
    """Which rows go to which arm."""
    everything = range(len(ids))
    if request.version_override is not None:
        return [(named_arm(endpoint, request.version_override), everything)]
    if endpoint.stable.weight == FULL:
        return [(endpoint.stable, everything)]
    keys = request.inputs.get(endpoint.sticky, ids) if endpoint.sticky else ids
    places: dict[int, list[int]] = {}
    arms: dict[int, Arm] = {}
    for row, key in enumerate(keys):
        # A row that lacks its key is drawn by its request id: all such rows on one arm would be one huge entity.
        arm = choose_arm(endpoint, ids[row] if key is None or key == "" else str(key))
        arms[arm.version] = arm
        places.setdefault(arm.version, []).append(row)
    return [(arms[version], rows) for version, rows in places.items()]


def _pick(
    places: Sequence[int], count: int, ids: list[str], times: list[int], inputs: dict[str, list[Any]]
) -> tuple[list[str], list[int], dict[str, list[Any]]]:
    if len(places) == count:
        return ids, times, inputs
    picked = {name: [values[place] for place in places] for name, values in inputs.items()}
    return [ids[place] for place in places], [times[place] for place in places], picked


def _shadow_work(
    route: Route, request: PredictRequest, ids: list[str], times: list[int], inputs: dict[str, list[Any]]
) -> ShadowWork | None:
    # A version the caller insisted on is answered by it alone: the rows would have no stable answer to pair with.
    if not route.endpoint.shadows or request.version_override is not None:
        return None
    return ShadowWork(
        endpoint=route.endpoint.name,
        served=tuple(route.served[version] for version in route.endpoint.shadows),
        inputs=inputs,
        is_text=request.is_text,
        request_ids=ids,
        times=times,
        received=request.received,
        protocol=request.protocol,
    )


def _score_part(request: PredictRequest, part: _Part, prepared: int) -> tuple[PredictionBatch, HomeostatError | None]:
    begun = time.perf_counter_ns()
    batch = PredictionBatch(
        endpoint=request.endpoint,
        model=part.served.model,
        version=part.served.version,
        arm=part.arm.arm,
        status="ok",
        request_ids=part.request_ids,
        times=part.times,
        received=request.received,
        latency_us=0,
        protocol=request.protocol,
        feature_hash=part.served.signature.feature_hash,
        inputs=part.inputs,
    )
    failure: HomeostatError | None = None
    try:
        batch.vectors, batch.scores = score_rows(part.served, part.inputs, part.times)
    except HomeostatError as error:
        failure = error
        batch.status = "rejected" if http_status(error) < 500 else "error"
        batch.detail = _detail(error)
    batch.latency_us = (prepared + time.perf_counter_ns() - begun) // 1_000
    return batch, failure


def _reply(route: Route, parts: list[_Part], batches: list[PredictionBatch], shadow: ShadowWork | None) -> PredictReply:
    reply = PredictReply(
        endpoint=route.endpoint.name,
        model=route.endpoint.model,
        scores=batches[0].scores,
        request_ids=batches[0].request_ids,
        versions=[batches[0].version] * len(batches[0].scores),
        arms=[batches[0].arm] * len(batches[0].scores),
        shadow=shadow,
    )
    if len(parts) == 1:
        return reply
    rows = sorted(
        (place, score, request_id, batch.version, batch.arm)
        for part, batch in zip(parts, batches, strict=True)
        for place, score, request_id in zip(part.places, batch.scores, batch.request_ids, strict=True)
    )
    reply.scores = [row[1] for row in rows]
    reply.request_ids = [row[2] for row in rows]
    reply.versions = [row[3] for row in rows]
    reply.arms = [row[4] for row in rows]
    return reply


def _detail(error: HomeostatError) -> str:
    named = f"{error.field}: {error.message}" if error.field else error.message
    return named[:_DETAIL]
