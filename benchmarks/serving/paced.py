"""Asks at a given rate, whether or not the answers come: `python paced.py URL RATE SECONDS CONNECTIONS < body`.

wrk asks as fast as it is answered, so it cannot say how long answers take at half load. Here requests fall due at
random times (exponential gaps), and each counts from the moment it was due: one that waits for a free connection, or
for us, waits within its time. Headers are in BENCH_HEADERS; what was measured is one JSON line.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvloop

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """One request after another; `due` is when the one in flight should have been sent."""

    def __init__(self, pace: "Pace") -> None:
        self._pace = pace
        self._read = b""
        self.transport: Any = None
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._pace.free.append(self)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(_END)
        if not end:
            return
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        if len(body) >= int(head[at:].partition(b"\r\n")[0]):
            self._read = b""
            self._pace.answered(self, is_good=head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._pace.lost(exc)


class Pace:
    """The requests that are due, the connections that are free, and how long answers took."""

    def __init__(self, request: bytes, gaps: Any) -> None:
        self._request = request
        self._due = np.cumsum(gaps).tolist()
        self._next = 0
        self._begun = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[float] = deque()
        self.free: deque[Connection] = deque()
        self.took: list[float] = []
        self.refused = 0
        self.done = self._loop.create_future()

    def begin(self) -> None:
        self._begun = time.perf_counter()
        self._look()

    def answered(self, connection: Connection, *, is_good: bool) -> None:
        self.took.append(time.perf_counter() - connection.due)
        self.refused += not is_good
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self.free.append(connection)
        if len(self.took) == len(self._due) and not self.done.done():
            self.done.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed a connection"))

    def _look(self) -> None:
        """Send what has fallen due. Looks at every turn of the loop: timers of milliseconds would send in bursts."""
        now = time.perf_counter() - self._begun
        while self._next < len(self._due) and self._due[self._next] <= now:
            due = self._begun + self._due[self._next]
            self._next += 1
            if self.free:
                self._send(self.free.popleft(), due)
            else:
                self._waiting.append(due)
        if self._next < len(self._due):
            self._loop.call_soon(self._look)

    def _send(self, connection: Connection, due: float) -> None:
        connection.due = due
        connection.transport.write(self._request)


async def measure(url: str, body: bytes, *, rate: float, seconds: float, connections: int) -> dict[str, float]:
    """What the answers took, in milliseconds, and how many a second were asked for and came."""
    where = urlsplit(url)
    lines = [f"POST {where.path} HTTP/1.1", f"host: {where.netloc}", *os.environ["BENCH_HEADERS"].splitlines()]
    request = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
    gaps = np.random.default_rng(22).exponential(1 / rate, size=max(1, int(rate * seconds)))
    pace = Pace(request, gaps)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(pace), where.hostname, where.port)
    begun = time.perf_counter()
    pace.begin()
    await asyncio.wait_for(pace.done, seconds * 5 + 30)
    took = time.perf_counter() - begun
    p50, p99, most = np.percentile(pace.took, [50, 99, 100]) * 1000
    answered = {"answers": len(pace.took), "rate": len(pace.took) / took, "asked": rate, "refused": pace.refused}
    return answered | {"p50_ms": p50, "p99_ms": p99, "max_ms": most}


if __name__ == "__main__":
    print(
        json.dumps(
            uvloop.run(
                measure(
                    sys.argv[1],
                    sys.stdin.buffer.read(),
                    rate=float(sys.argv[2]),
                    seconds=float(sys.argv[3]),
                    connections=int(sys.argv[4]),
                )
            )
        )
    )
