"""HTTP for the data plane: a protocol of asyncio on httptools (llhttp, the parser of Node), one object a connection.

An own server because this is the hot path: it answers three times as many requests as granian on the same core
(docs/decisions). The first bytes of a connection decide what is spoken on it: HTTP/2's preface means gRPC, anything
else is HTTP/1.1 (RFC 9112). Requests of one connection are answered in the order in which they came.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

import httptools

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import HomeostatError, Invalid, TimedOut, TooLarge

MAX_HEAD = 64 << 10
"""Bytes of request line and headers together."""
MAX_PIPELINED = 32
"""Requests of one connection that may wait for the one before; then nothing more is read from it."""
IDLE_SECONDS = 75.0
"""A connection without a request is kept this long."""
READ_SECONDS = 30.0
"""A request must have come whole within this time."""
WRITE_SECONDS = 60.0
"""A caller who reads nothing of an answer for this long is cut off."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CLOSE = "connection: close\r\n"
_machine = SystemClock()

Headers = list[tuple[str, str]]


class Problem(NamedTuple):
    """Why a request is refused before anybody looks at what it asks for."""

    status: int
    error: HomeostatError


class HttpRequest:
    """A request. `headers` has lower-case names; of one that comes twice, the values are joined by commas."""

    __slots__ = ("body", "headers", "method", "path", "problem", "query", "received", "started")

    def __init__(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        problem: Problem | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers if headers is not None else {}
        self.body = body
        self.problem = problem
        self.received = _machine.now()
        """Microseconds UTC."""
        self.started = time.perf_counter_ns()


Respond = Callable[[int, Headers, bytes], None]
Handle = Callable[[HttpRequest, Respond], None]


class HttpServer:
    """What the connections of a listening socket share: the handler, the limits, who is connected.

    `handle(request, respond)` must call `respond` once, now or later. `http2` makes the protocol that takes a
    connection over when it begins with HTTP/2's preface; without it such connections are closed.
    """

    def __init__(self, handle: Handle, *, max_body: int, http2: Callable[[], asyncio.Protocol] | None = None) -> None:
        self.handle = handle
        self.max_body = max_body
        self.http2 = http2
        self.connections: set[Any] = set()
        """Whoever is connected, in whichever protocol: with `check_time`, `close_if_idle` and `abort`."""
        self.draining = False
        self.date = b""
        self._sweeper: asyncio.TimerHandle | None = None

    def __call__(self) -> "HttpConnection":
        """A protocol for a new connection."""
        if self._sweeper is None:
            self._sweep()
        return HttpConnection(self)

    def _sweep(self) -> None:
        """Once a second: the Date header's value, and connections that take too long."""
        loop = asyncio.get_running_loop()
        self.date = f"date: {formatdate(usegmt=True)}\r\n".encode()
        for connection in list(self.connections):
            connection.check_time(loop.time())
        self._sweeper = loop.call_later(1.0, self._sweep)

    async def drain(self, seconds: float) -> None:
        """Let every connection finish what it asked for; whoever is not through within `seconds` is cut off."""
        self.draining = True
        # A caller may have sent a request just before it could know; it is given a moment to arrive.
        deadline, quiet_from = time.monotonic() + seconds, time.monotonic() + 0.2
        while self.connections and time.monotonic() < deadline:
            if time.monotonic() >= quiet_from:
                for connection in list(self.connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()


class Exchange:
    """One request on a connection and the way back to its caller."""

    __slots__ = ("connection", "is_done", "keep_alive", "request", "wants_body")

    def __init__(
        self, connection: "HttpConnection", request: HttpRequest, *, keep_alive: bool, wants_body: bool = True
    ) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = keep_alive
        self.wants_body = wants_body
        self.is_done = False

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer; only the first one counts."""
        if not self.is_done:
            self.is_done = True
            self.connection.answer(self, status, headers, body)


class HttpConnection(asyncio.Protocol):
    """One connection. httptools calls the `on_*` methods while it reads."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None
        self._transport: Any = None
        self._first = b""
        self._since = 0.0
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._is_full = self._is_paused = self._is_deaf = self._has_ended = False
        self._is_reading = self._has_head = False
        self._head_size = self._body_size = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    # The transport's side --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)
        self._since = self._loop.time()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._parser is None:
            data = self._first + data
            if not self._speaks_http1(data):
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end_after_last()
        except (httptools.HttpParserError, httptools.HttpParserCallbackError, UnicodeDecodeError):
            self._refuse(400, Invalid("this is not HTTP/1.1", field="http", next_step="mend the client"))
        if self._is_reading and not self._has_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                long = TooLarge(f"the headers are over {MAX_HEAD} bytes", field="headers", next_step="send fewer")
                self._refuse(431, long)

    def eof_received(self) -> bool:
        """The caller sends no more; what was asked is still answered."""
        self._has_ended = True
        self._end_after_last()
        return self._current is not None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._server.connections.discard(self)
        self._waiting.clear()
        if self._current is not None:
            self._current.is_done = True
        self._parser = None

    def pause_writing(self) -> None:
        self._is_full = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._is_full = False
        self._next()

    # The parser's side -----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._is_reading, self._has_head = True, False
        self._head_size = self._body_size = 0
        self._url, self._headers, self._body = b"", {}, []
        self._since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._has_head = True
        length = self._headers.get("content-length")
        if length is not None and length.isdecimal() and int(length) > self._server.max_body:
            self._refuse_body()
        elif self._headers.get("expect", "").lower() == "100-continue" and self._current is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._server.max_body:
            self._refuse_body()
        elif not self._is_deaf:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._is_deaf:
            return
        self._is_reading = False
        parser, parts = self._parser, self._body
        method = parser.get_method().decode("latin-1")
        path, query = split_url(self._url)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = HttpRequest(method, path, query, self._headers, body)
        keep = parser.should_keep_alive() and not parser.should_upgrade()
        wants_body = method != "HEAD"
        self._take(Exchange(self, request, keep_alive=keep, wants_body=wants_body))

    # Between the two -------------------------------------------------------------------------------------------------

    def answer(self, exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
        """Write the answer, then go on with the request that came after it."""
        self._current = None
        if self._transport.is_closing():
            return
        keep = exchange.keep_alive and not (self._server.draining and not self._waiting)
        head = response_head(status, headers, len(body), self._server.date, keep=keep)
        self._transport.write(head + body if exchange.wants_body else head)
        self._since = self._loop.time()
        if keep:
            if self._waiting:
                # In a turn of its own: a hundred pipelined requests must not call each other.
                self._loop.call_soon(self._next)
        elif self._is_deaf and not self._has_ended:
            # Closing while the caller still sends would reset the connection, and it would not see the answer.
            self._transport.write_eof()
        else:
            self._transport.close()

    def check_time(self, now: float) -> None:
        """Cut off who takes too long."""
        quiet = now - self._since
        if self._is_full:
            if quiet > WRITE_SECONDS:
                self.abort()
        elif self._current is not None or self._waiting:
            return
        elif self._is_deaf:
            if quiet > 5.0:
                self.abort()
        elif self._is_reading or self._first:
            if quiet > READ_SECONDS:
                self._refuse(408, TimedOut("the request did not come whole in time", field="body"))
        elif quiet > IDLE_SECONDS:
            self._transport.close()

    def close_if_idle(self) -> None:
        """Close a connection on which nothing is asked."""
        if self._current is None and not self._waiting and not self._is_reading and not self._is_full:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection off."""
        self._transport.abort()

    def _speaks_http1(self, data: bytes) -> bool:
        """Whether the first bytes are HTTP/1's; a connection that speaks HTTP/2 is handed on."""
        if data.startswith(PREFACE):
            if self._server.http2 is None:
                self._transport.close()
            else:
                other = self._server.http2()
                self._server.connections.discard(self)
                self._transport.set_protocol(other)
                other.connection_made(self._transport)
                other.data_received(data)
            return False
        if PREFACE.startswith(data):  # too few bytes to tell
            self._first = data
            return False
        self._first = b""
        self._parser = httptools.HttpRequestParser(self)
        return True

    def _take(self, exchange: Exchange) -> None:
        if self._current is None and not self._waiting and not self._is_full:
            self._current = exchange
            self._server.handle(exchange.request, exchange.respond)
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= MAX_PIPELINED and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _next(self) -> None:
        if not self._waiting or self._current is not None or self._is_full:
            return
        self._current = exchange = self._waiting.popleft()
        if self._is_paused and len(self._waiting) < MAX_PIPELINED // 2:
            self._is_paused = False
            self._transport.resume_reading()
        self._server.handle(exchange.request, exchange.respond)

    def _refuse_body(self) -> None:
        limit = self._server.max_body
        step = "send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB"
        self._refuse(413, TooLarge(f"the body is over {limit} bytes", field="body", next_step=step))

    def _refuse(self, status: int, error: HomeostatError) -> None:
        """Answer with an error after what is waiting, and read nothing more."""
        if self._is_deaf:
            return
        self._is_deaf, self._is_reading = True, False
        path, query = split_url(self._url)
        request = HttpRequest("POST", path, query, self._headers, problem=Problem(status, error))
        self._take(Exchange(self, request, keep_alive=False))

    def _end_after_last(self) -> None:
        """Nothing more will be read; the connection ends with the last answer that is due."""
        self._is_deaf = True
        last = self._waiting[-1] if self._waiting else self._current
        if last is not None:
            last.keep_alive = False
        elif self._transport is not None:
            self._transport.close()


def response_head(status: int, headers: Headers, length: int, date: bytes, *, keep: bool) -> bytes:
    """Status line and headers; a line break within a value becomes a space, for it would begin another header."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        clean = [(name, value.replace("\r", " ").replace("\n", " ")) for name, value in headers]
        lines = "".join([f"{name}: {value}\r\n" for name, value in clean])
    end = (
        f"{lines}content-length: {length}\r\n\r\n"
        if keep
        else f"{lines}content-length: {length}\r\nconnection: close\r\n\r\n"
    )
    return _LINES[status] + date + end.encode("latin-1", "replace")


def split_url(url: bytes) -> tuple[str, str]:
    """Path (percent-decoded) and query of a request target.

    >>> split_url(b"/v2/models/a%20b/infer?x=1")
    ('/v2/models/a b/infer', 'x=1')
    >>> split_url(b"http://host:80/ping")
    ('/ping', '')
    """
    if not url.startswith(b"/"):  # the absolute form, as sent to proxies
        rest = url.partition(b"://")[2]
        url = b"/" + rest.partition(b"/")[2]
    path, _, query = url.partition(b"#")[0].partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), query.decode("latin-1")
