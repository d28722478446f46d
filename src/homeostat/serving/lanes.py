"""A lane: what waits for one version, scored together. It never waits for more to come: only what is there already.

Fast work is done on the event loop at the end of its turn, together with all that was read in the same turn. Work that
would hold the loop up goes to a thread of the version's own; whatever comes meanwhile is its next batch.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from homeostat.ground.errors import HomeostatError, TimedOut, Unavailable
from homeostat.ground.ports import Served
from homeostat.serving.cost import Cost
from homeostat.serving.parts import Part

INLINE_NS = 1_000_000
"""What may be expected to take no longer is done on the event loop: everybody else waits for it."""
BATCH_NS = 50_000_000
"""A batch in the thread is not made longer than this, as far as its rows allow."""
BATCH_ROWS = 4_096
REQUEST_SECONDS = 30.0
"""A request that is not answered within this time is told so."""


class Overloaded(Unavailable):
    """What waits already takes longer than the request may; `retry_after` is in seconds."""

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            f"{model!r} has work for {seconds:.1f} s waiting, more than a request may take",
            field="model",
            next_step="send fewer requests at once, or start more workers",
        )
        self.retry_after = max(1, math.ceil(min(seconds, 60.0)))


class Lane:
    """One loaded version's queue. All methods belong to the event loop; `work` is called on it or in the thread.

    `work(parts)` scores and logs, `done(parts)` answers, `expired(part, error)` answers a part that comes too late.
    """

    def __init__(
        self,
        served: Served,
        cost: Cost,
        work: Callable[[list[Part]], None],
        done: Callable[[list[Part]], None],
        expired: Callable[[Part, HomeostatError], None],
        request_seconds: float,
    ) -> None:
        self.served = served
        self.cost = cost
        self._work = work
        self._done = done
        self._expired = expired
        self._request_ns = int(request_seconds * 1e9)
        self._loop = asyncio.get_running_loop()
        self._quick: list[Part] = []
        self._slow: deque[Part] = deque()
        self._slow_rows = 0
        self._running: list[Part] = []
        self._thread: ThreadPoolExecutor | None = None
        self._is_ending = False

    @property
    def waiting(self) -> int:
        """Requests that wait for the thread, or are in it."""
        return len(self._slow) + len(self._running)

    def put(self, part: Part) -> None:
        """Queue a part; it is answered later, or at once when it could not be in time."""
        if self.cost.of(len(part.ids)) <= INLINE_NS:
            self._quick.append(part)
            if len(self._quick) == 1:
                self._loop.call_soon(self._run_quick)
            return
        ahead = self.cost.of(self._slow_rows + sum(len(one.ids) for one in self._running)) if self.waiting else 0.0
        if ahead > self._request_ns:
            self._expired(part, Overloaded(self.served.model, ahead / 1e9))
            return
        part.queued = time.perf_counter_ns()
        self._slow.append(part)
        self._slow_rows += len(part.ids)
        part.timer = self._loop.call_later(self._request_ns / 1e9, self._too_late, part)
        self._start()

    def close(self) -> None:
        """Finish what is in the thread; call it when nothing is put any more."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def close_when_idle(self) -> None:
        """Let go of the thread as soon as nothing waits for it: the version is served no more."""
        self._is_ending = True
        self._end_if_idle()

    def _run_quick(self) -> None:
        parts, self._quick = self._quick, []
        limit = min(self.cost.rows_within(INLINE_NS), BATCH_ROWS)
        taken, rows = 0, 0
        while taken < len(parts) and (taken == 0 or rows + len(parts[taken].ids) <= limit):
            rows += len(parts[taken].ids)
            taken += 1
        if taken < len(parts):  # the rest in a turn of its own, so that others get theirs
            self._quick = parts[taken:]
            parts = parts[:taken]
            self._loop.call_soon(self._run_quick)
        begun = time.perf_counter_ns()
        self._work(parts)
        self.cost.learn(rows, time.perf_counter_ns() - begun)
        self._done(parts)

    def _start(self) -> None:
        """Give the thread its next batch, unless it has one."""
        if self._running or not self._slow:
            return
        limit = min(self.cost.rows_within(BATCH_NS), BATCH_ROWS)
        batch: list[Part] = []
        rows = 0
        while self._slow and (not batch or rows + len(self._slow[0].ids) <= limit):
            part = self._slow.popleft()
            self._slow_rows -= len(part.ids)
            if not part.pending.is_over:
                batch.append(part)
                rows += len(part.ids)
        if not batch:
            return
        self._running = batch
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{self.served.model}@{self.served.version}")
        self._thread.submit(self._in_thread, batch, rows)

    def _in_thread(self, parts: list[Part], rows: int) -> None:
        begun = time.perf_counter_ns()
        try:
            self._work(parts)
        finally:
            self._loop.call_soon_threadsafe(self._finished, parts, rows, time.perf_counter_ns() - begun)

    def _finished(self, parts: list[Part], rows: int, nanoseconds: int) -> None:
        self._running = []
        for part in parts:
            if part.timer is not None:
                part.timer.cancel()  # it would keep the rows until the request's time is over
        self.cost.learn(rows, nanoseconds)
        self._start()
        self._done(parts)
        self._end_if_idle()

    def _too_late(self, part: Part) -> None:
        if not part.pending.is_over:
            seconds = self._request_ns / 1e9
            late = TimedOut(
                f"{self.served.model}@{self.served.version} did not answer within {seconds:g} s",
                field="model",
                next_step="send fewer rows, start more workers, or raise HOMEOSTAT_REQUEST_TIMEOUT",
            )
            self._expired(part, late)

    def _end_if_idle(self) -> None:
        if self._is_ending and not self._running and not self._slow and self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
