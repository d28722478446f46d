"""The data plane: rows in, scores out, whichever protocol brought them.

A request is checked, split over the endpoint's arms, scored, logged, answered; shadows score it afterwards. What is
answered is in the log first. Changing versions or weights is a swap of one pointer.
"""

import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.ground.clock import Clock, DrivenClock, SystemClock
from homeostat.ground.errors import HomeostatError, Unavailable, http_status
from homeostat.ground.ids import new_id
from homeostat.ground.ports import Served
from homeostat.ground.records import PredictionBatch
from homeostat.serving.inputs import (
    CLOCK_SKEW,
    MAX_ROWS,
    RESERVED,
    check_columns,
    check_known,
    check_width,
    columns_of_matrix,
    request_ids,
    request_times,
    row_count,
)
from homeostat.serving.lanes import REQUEST_SECONDS, Lane
from homeostat.serving.log import PredictionLog
from homeostat.serving.metrics import Meters
from homeostat.serving.parts import Answer, Part, Pending, detail, failed_batch, reply_of, score_parts
from homeostat.serving.routing import arm_at, entity, named_arm, position
from homeostat.serving.scoring import logged_status
from homeostat.serving.shadow import MAX_WAITING_ROWS, ShadowScorer
from homeostat.serving.table import Load, Route, RoutingTable, TableBuilder
from homeostat.serving.types import FULL, Arm, Endpoint, PredictReply, PredictRequest, ShadowWork

_machine = SystemClock()


class DataPlane:
    """Holds what is served and answers.

    `submit` belongs to an event loop, which it never holds up for long; `predict` may be called from several threads.
    With a `DrivenClock` (a replay) any request time is taken, and the clock moves to it.
    """

    def __init__(
        self,
        log: PredictionLog,
        clock: Clock,
        load: Load,
        *,
        max_shadow_rows: int = MAX_WAITING_ROWS,
        request_seconds: float = REQUEST_SECONDS,
        log_share: float = 1.0,
        meters: Meters | None = None,
    ) -> None:
        self.log = log
        self.meters = meters or Meters()
        self.dropped = 0
        """Rows that were answered and, by the user's choice, not logged."""
        self._log_share = log_share
        self._clock = clock
        self._driving = threading.Lock()
        self._request_seconds = request_seconds
        self._builder = TableBuilder(load)
        self._lanes: dict[tuple[str, int], Lane] = {}
        self.table = RoutingTable()
        """What is served now; replaced as a whole, never changed."""
        self.shadows = ShadowScorer(log, self.meters, max_rows=max_shadow_rows)
        self.meters.gauges |= {
            "queue_requests": lambda: sum(lane.waiting for lane in list(self._lanes.values())),
            "shadow_rows_waiting": lambda: self.shadows.waiting,
            "shadow_rows_dropped": lambda: self.shadows.dropped,
            "log_rows_dropped": lambda: self.dropped,
            "routing_generation": lambda: self.table.generation,
        }

    def swap(self, endpoints: Sequence[Endpoint], generation: int) -> RoutingTable:
        """Load what the endpoints name, then serve it; call it from one thread, not the event loop's.

        Requests in flight finish on what they began with. Whatever cannot be loaded is served as before and told in
        the returned table's `failures`.
        """
        table = self._builder.build(endpoints, generation, before=self.table)
        # What a caller unloaded stays so until its own routing changes.
        unloaded = {
            name: route
            for name, route in self.table.unloaded.items()
            if name in table.routes and table.routes[name].endpoint == route.endpoint
        }
        shown = {name: route for name, route in table.routes.items() if name not in unloaded}
        self.table = msgspec.structs.replace(table, routes=shown, unloaded=unloaded)
        return self.table

    def hide(self, name: str) -> None:
        """Take an endpoint out of service on this worker.

        Raises:
            NotFound: when it is not served.
        """
        table = self.table
        route = table.route(name)
        shown = {key: value for key, value in table.routes.items() if key != name}
        self.table = msgspec.structs.replace(table, routes=shown, unloaded=table.unloaded | {name: route})

    def show(self, name: str) -> None:
        """Put an endpoint back that was hidden; one that is served stays so.

        Raises:
            NotFound: when there is no such endpoint. Unavailable: when it could not be loaded.
        """
        table = self.table
        if name not in table.unloaded:
            table.route(name)
            return
        rest = {key: value for key, value in table.unloaded.items() if key != name}
        routes = table.routes | {name: table.unloaded[name]}
        self.table = msgspec.structs.replace(table, routes=routes, unloaded=rest)

    def submit(self, request: PredictRequest, answer: Answer) -> None:
        """Score the rows together with whatever else is waiting, and log them; then `answer(reply or error)`.

        Errors are those of `predict`, and `TimedOut`. Hand the reply to `after` once it is sent.
        """
        try:
            pending = self._prepared(request, answer)
        except HomeostatError as error:
            answer(error)
            return
        for part in pending.parts:
            self._lane(part.served).put(part)

    def predict(self, request: PredictRequest) -> PredictReply:
        """Score the rows and log them; hand the reply to `after` once it is sent.

        Raises:
            NotFound: when there is no such endpoint.
            Invalid: when the rows are not what the signature takes; logged as 'rejected'.
            UserCodeFailed: when a version fails; logged as 'error'.
            Unavailable: when the log cannot be written; without it nothing is answered.
        """
        answers: list[PredictReply | HomeostatError] = []
        pending = self._prepared(request, answers.append)
        for part in pending.parts:
            self._work([part])
            self._done([part])
        [answer] = answers
        if isinstance(answer, HomeostatError):
            raise answer
        return answer

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
            status=logged_status(error),
            request_ids=[new_id()],
            times=[self._clock.now()],
            received=request.received or _machine.now(),
            latency_us=(time.perf_counter_ns() - request.started) // 1_000 if request.started else 0,
            protocol=request.protocol,
            feature_hash=route.stable.signature.feature_hash,
            detail=detail(error),
        )
        self._log_or_shrug([batch])

    def close(self) -> None:
        """Let the threads finish what they are at, then close the log with its end frame."""
        for lane in self._lanes.values():
            lane.close()
        self.shadows.close()
        self.log.close()

    # From a request to its parts -------------------------------------------------------------------------------------

    def _prepared(self, request: PredictRequest, answer: Answer) -> Pending:
        request.received = request.received or _machine.now()
        request.started = request.started or time.perf_counter_ns()
        route = self.table.route(request.endpoint)
        try:
            if request.matrix is not None and route.is_direct:
                parts, shadow = self._of_matrix(route, request)
            else:
                parts, shadow = self._of_columns(route, request)
        except HomeostatError as error:
            self.reject(request, error)
            raise
        return Pending(request, route, parts, shadow, answer)

    def _of_matrix(self, route: Route, request: PredictRequest) -> tuple[list[Part], ShadowWork | None]:
        matrix = request.matrix
        count = len(matrix)
        if matrix.ndim != 2 or matrix.shape[1] != route.width or not 0 < count <= MAX_ROWS:
            check_width(route.stable.signature, matrix)  # says what is wrong
        ids, times = request_ids(request, count), self._times(request, count)
        if route.is_single and request.version_override is None:
            parts = [Part(route.stable_arm, route.stable, range(count), ids, times, {}, matrix)]
        elif count == 1:
            key = _sticky_values(route, matrix)[0] if route.endpoint.sticky else None
            arm = _arm_of(route, request, key, ids[0])
            parts = [Part(arm, route.served[arm.version], range(1), ids, times, {}, matrix)]
        else:
            keys = _sticky_values(route, matrix) if route.endpoint.sticky else ids
            parts = [
                Part(arm, route.served[arm.version], places, *_rows(places, count, ids, times), {}, matrix[places])
                for arm, places in _split(route, request, ids, keys)
            ]
        return parts, _shadow_work(route, request, ids, times, {})

    def _of_columns(self, route: Route, request: PredictRequest) -> tuple[list[Part], ShadowWork | None]:
        if request.matrix is not None:
            check_width(route.stable.signature, request.matrix)
            named = columns_of_matrix(route.stable.signature, request.matrix)
            request.inputs, request.matrix = named | request.inputs, None
        count = row_count(request.inputs)
        check_known(request.inputs, route.known)
        ids, times = request_ids(request, count), self._times(request, count)
        inputs = {name: values for name, values in request.inputs.items() if name not in RESERVED}
        keys = request.inputs.get(route.endpoint.sticky, ids) if route.endpoint.sticky else ids
        parts = []
        for arm, places in _split(route, request, ids, keys):
            served = route.served[arm.version]
            columns = inputs
            if len(places) < count:
                columns = {name: [values[place] for place in places] for name, values in inputs.items()}
            checked = check_columns(served.signature, columns, is_text=request.is_text)
            parts.append(Part(arm, served, places, *_rows(places, count, ids, times), checked, None))
        return parts, _shadow_work(route, request, ids, times, inputs)

    def _times(self, request: PredictRequest, count: int) -> list[int]:
        clock = self._clock
        if not isinstance(clock, DrivenClock):
            now = clock.now()
            return request_times(request, count, now=now, latest=now + CLOCK_SKEW)
        times = request_times(request, count, now=clock.now(), latest=None)
        with self._driving:
            clock.advance_to(max(clock.now(), *times))
        return times

    # From parts to an answer -----------------------------------------------------------------------------------------

    def _lane(self, served: Served) -> Lane:
        key = (served.model, served.version)
        lane = self._lanes.get(key)
        if lane is None or lane.served is not served:
            for old in [key for key in self._lanes if not self._builder.holds(key)]:
                self._lanes.pop(old).close_when_idle()
            if lane is not None:
                lane.close_when_idle()
            lane = self._lanes[key] = Lane(
                served, self._builder.cost(key), self._work, self._done, self._expired, self._request_seconds
            )
        return lane

    def _work(self, parts: list[Part]) -> None:
        """Score parts of one version and log them, all in one write; in whichever thread."""
        try:
            score_parts(parts[0].served, parts)
            # A caller who was told that it took too long is in the log with that already.
            batches = [part.batch for part in parts if part.batch is not None and not part.pending.is_over]
            self.log.append(batches if self._log_share >= 1 else self._sampled(parts))
            self.meters.count(batches, is_call=True)
        except Unavailable as error:  # nothing is answered that is not logged; what failed anyway says more
            for part in parts:
                part.error = part.error or error
        except Exception as error:  # noqa: BLE001  our own mistake: told without our stack, and nobody is left waiting
            traceback.print_exc(file=sys.stderr)
            for part in parts:
                part.error = part.error or HomeostatError(f"internal error: {type(error).__name__}")

    def _sampled(self, parts: list[Part]) -> list[PredictionBatch]:
        """What of the parts is logged, all or nothing of a request; what is not has no use for shadows either."""
        kept = []
        for part in parts:
            pending = part.pending
            if position("log", pending.parts[0].ids[0]) < self._log_share * FULL:
                kept += [part.batch] if part.batch is not None and not pending.is_over else []
            else:
                pending.shadow = None
                self.dropped += len(part.ids)
        return kept

    def _done(self, parts: list[Part]) -> None:
        """Answer the requests of which no part is open any more."""
        for part in parts:
            pending = part.pending
            pending.open -= 1
            if pending.open > 0:
                continue
            if not pending.is_over:
                pending.is_over = True
                error = next((one.error for one in pending.parts if one.error is not None), None)
                pending.answer(error or self._reply(pending))
                if error is not None and pending.shadow is not None and http_status(error) >= 500:
                    # What fails in every version is an outage, and only those who look on can tell.
                    self.shadows.offer(pending.shadow)
            pending.parts = []  # they point back: a circle would keep the rows until the collector comes, rarely

    def _reply(self, pending: Pending) -> PredictReply:
        work, first = pending.shadow, pending.parts[0]
        if work is not None and len(pending.parts) == 1 and first.batch is not None:
            # A shadow with an equal signature sees the same vectors, read only once.
            work.signature = first.served.signature
            work.checked, work.vectors = first.inputs, first.batch.vectors
        return reply_of(pending)

    def _expired(self, part: Part, error: HomeostatError) -> None:
        """A part will not be scored in time: tell the caller, and the log."""
        pending = part.pending
        if not pending.is_over:
            pending.is_over = True
            self._log_or_shrug([failed_batch(part, error)])
            pending.answer(error)

    def _log_or_shrug(self, batches: list[PredictionBatch]) -> None:
        self.meters.count(batches)
        try:
            self.log.append(batches)
        except Unavailable:  # the caller gets the first error, which says more than that it could not be logged
            return


def _split(
    route: Route, request: PredictRequest, ids: list[str], keys: Sequence[Any]
) -> list[tuple[Arm, Sequence[int]]]:
    """Which rows go to which arm."""
    if request.version_override is not None:
        return [(named_arm(route.endpoint, request.version_override), range(len(ids)))]
    if route.is_single:
        return [(route.stable_arm, range(len(ids)))]
    places: dict[int, list[int]] = {}
    arms: dict[int, Arm] = {}
    for row, key in enumerate(keys):
        arm = _arm_of(route, request, key, ids[row])
        arms[arm.version] = arm
        places.setdefault(arm.version, []).append(row)
    return [(arms[version], rows) for version, rows in places.items()]


def _arm_of(route: Route, request: PredictRequest, key: Any, request_id: str) -> Arm:
    """The arm that answers a row."""
    if request.version_override is not None:
        return named_arm(route.endpoint, request.version_override)
    # A row that lacks its key is drawn by its request id: all such rows on one arm would be one huge entity.
    drawn_by = request_id if key is None or key == "" else entity(key)
    return arm_at(position(route.endpoint.salt, drawn_by), route.bounds, route.stable_arm)


def _rows(places: Sequence[int], count: int, ids: list[str], times: list[int]) -> tuple[list[str], list[int]]:
    if len(places) == count:
        return ids, times
    return [ids[place] for place in places], [times[place] for place in places]


def _sticky_values(route: Route, matrix: Any) -> list[Any]:
    names = [column.name for column in route.stable.signature.inputs]
    if route.endpoint.sticky not in names:
        return [None] * len(matrix)
    values: list[Any] = matrix[:, names.index(route.endpoint.sticky)].tolist()
    return values


def _shadow_work(
    route: Route, request: PredictRequest, ids: list[str], times: list[int], inputs: dict[str, list[Any]]
) -> ShadowWork | None:
    # A version the caller insisted on is answered by it alone: the rows would have no stable answer to pair with.
    endpoint = route.endpoint
    if not endpoint.shadows or request.version_override is not None:
        return None
    if endpoint.shadow_share < FULL and position(f"shadow {endpoint.salt}", ids[0]) >= endpoint.shadow_share:
        return None
    return ShadowWork(
        endpoint=endpoint.name,
        served=tuple(route.served[version] for version in endpoint.shadows),
        inputs=inputs,
        matrix=request.matrix,
        is_text=request.is_text,
        request_ids=ids,
        times=times,
        received=request.received,
        protocol=request.protocol,
    )
