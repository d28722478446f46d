"""Ordinary requests over HTTP/2: collected, handed to the same handler as those of HTTP/1.1, answered."""

from urllib.parse import unquote

from homeostat.ground.errors import TooLarge
from homeostat.serving.http import Handle, Headers, HttpRequest, Problem
from homeostat.serving.http2 import Stream


class HttpHandler:
    """An ordinary request: collected, handed to the same handler as those of HTTP/1.1, answered."""

    def __init__(self, stream: Stream, handle: Handle, max_body: int) -> None:
        self.held = 0
        self.is_owed = True
        self._stream = stream
        self._handle = handle
        self._max_body = max_body
        self._parts: list[bytes] = []

    def on_data(self, data: bytes) -> None:
        if self.is_owed:
            self._parts.append(data)
            self.held += len(data)
            if self.held > self._max_body:
                self.on_excess()

    def on_end(self) -> None:
        if self.is_owed:
            self._ask(None)

    def on_cancel(self) -> None:
        self._let_go()

    def on_drained(self) -> None:
        """Nothing follows what was said."""

    def on_excess(self) -> None:
        if self.is_owed:
            self._let_go()
            step = "send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB"
            error = TooLarge(f"the body is over {self._max_body} bytes", field="body", next_step=step)
            self._ask(Problem(413, error))

    def _ask(self, problem: Problem | None) -> None:
        body = b"".join(self._parts)
        self._let_go()
        headers = self._stream.headers
        path, _, query = headers.get(":path", "/").partition("?")
        plain = {name: value for name, value in headers.items() if not name.startswith(":")}
        request = HttpRequest(headers.get(":method", ""), unquote(path), query, plain, body, problem=problem)
        self._handle(request, self._respond)

    def _let_go(self) -> None:
        self.is_owed = False
        self._parts, self.held = [], 0

    def _respond(self, status: int, headers: Headers, body: bytes) -> None:
        is_empty = not body or self._stream.headers.get(":method") == "HEAD"
        length = ("content-length", str(len(body)))
        self._stream.send_headers([(":status", str(status)), *headers, length], is_last=is_empty)
        if not is_empty:
            self._stream.send(body)
            self._stream.end([])
