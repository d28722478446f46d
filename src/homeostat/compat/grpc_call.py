"""One gRPC call on an HTTP/2 stream: messages in and out, its deadline, its status.

Messages are bounded before they are kept, compressed ones also by what they would become. The answers of a call of many
messages come in the order of the messages, however many of them are scored at once.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol
from urllib.parse import quote

from homeostat.ground.errors import (
    Denied,
    HomeostatError,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from homeostat.serving.http import Headers
from homeostat.serving.http2 import Stream

MAX_PENDING = 64
"""Messages of one call that may wait for their answers; then the caller is slowed down."""
MAX_BURST = 64
"""Messages of one call that are taken in one turn of the event loop."""

OK, UNKNOWN, UNIMPLEMENTED, INTERNAL = 0, 2, 12, 13
_CODES: dict[type[HomeostatError], int] = {
    Invalid: 3,
    TimedOut: 4,
    NotFound: 5,
    Denied: 7,
    TooLarge: 8,
    Refused: 9,
    Unavailable: 14,
    Unauthenticated: 16,
}
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_HEAD = 5
_MAX_MESSAGE = 2_000
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_HEADERS: Headers = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
]

Answer = Callable[[bytes | HomeostatError], None]


class Unimplemented(Invalid):
    """There is no such method."""

    code = "unimplemented"


class Method(Protocol):
    """What a method does: a message in, `answer` called once, now or later."""

    def __call__(self, message: bytes, headers: dict[str, str], answer: Answer) -> None: ...


class Served(NamedTuple):
    """A method and whether its calls consist of many messages."""

    run: Method
    is_stream: bool = False


def status_of(error: HomeostatError) -> int:
    """The one place where an error becomes a gRPC status."""
    if isinstance(error, Unimplemented):
        return UNIMPLEMENTED
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), INTERNAL)


def text_of(error: HomeostatError) -> str:
    """What is wrong, what to do, and the field even where the words do not name it: here it has no place of its own."""
    text = str(error)
    return text if not error.field or error.field in text else f"{text} [{error.field}]"


class GrpcCall:
    """A call, from its headers to its status."""

    def __init__(self, stream: Stream, methods: dict[str, Served], max_message: int) -> None:
        self.is_owed = True
        self._stream = stream
        self._max = max_message
        self._buffer = bytearray()
        self._answers: deque[bytes | HomeostatError | None] = deque()
        self._first = 0
        self._count = 0
        self._has_ended = self._is_over = self._has_begun = False
        self._encoding = stream.headers.get("grpc-encoding", "identity")
        self._timer: asyncio.TimerHandle | None = None
        method = methods.get(stream.headers.get(":path", ""))
        if method is None or stream.headers.get(":method") != "POST":
            self._finish(Unimplemented(f"there is no method {stream.headers.get(':path', '')!r:.200}"))
            return
        self._method = method
        self._keep_deadline(stream.headers.get("grpc-timeout"))

    @property
    def held(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._buffer)

    # What the connection tells ---------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        if self._is_over:
            return
        if not self._buffer:
            self._stream.touch()
        self._buffer += data
        self._read()

    def on_end(self) -> None:
        self._has_ended = True
        self._read()

    def on_drained(self) -> None:
        self._slow_down()

    def on_cancel(self) -> None:
        self._let_go()

    def on_excess(self) -> None:
        step = "send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB"
        self._finish(TooLarge(f"the message is over {self._max} bytes", field="message", next_step=step))

    # Messages --------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Take the whole messages of the buffer, a few at a time: other callers are waiting too."""
        for _ in range(MAX_BURST):
            if self._is_over or len(self._answers) >= MAX_PENDING or not (message := self._next_message()):
                break
            self._receive(*message)
        else:
            asyncio.get_running_loop().call_soon(self._read)
            return
        if self._is_over or len(self._answers) >= MAX_PENDING:
            return
        self.is_owed = not self._has_ended and (bool(self._buffer) or not (self._count or self._method.is_stream))
        if self._has_ended and (self._buffer or not (self._count or self._method.is_stream)):
            self._finish(Invalid("the call ended within a message", field="message", next_step="send it whole"))
        else:
            self._send_answers()

    def _next_message(self) -> tuple[int, bytes] | None:
        """Its flag and bytes; None while it is not whole."""
        buffer = self._buffer
        if len(buffer) < _HEAD:
            return None
        flag, size = buffer[0], int.from_bytes(buffer[1:_HEAD])
        if size > self._max:
            self.on_excess()
            return None
        if len(buffer) < _HEAD + size:
            return None
        message = bytes(memoryview(buffer)[_HEAD : _HEAD + size])
        del buffer[: _HEAD + size]
        return flag, message

    def _receive(self, flag: int, message: bytes) -> None:
        if self._count and not self._method.is_stream:
            self._finish(Invalid("the call has a second message", field="message", next_step="send one"))
            return
        number, self._count = self._count, self._count + 1
        self._answers.append(None)
        try:
            plain = self._inflated(message) if flag else message
        except HomeostatError as error:
            self._finish(error)
            return
        self._method.run(plain, self._stream.headers, lambda answer: self._take(number, answer))

    def _inflated(self, message: bytes) -> bytes:
        if self._encoding not in _WINDOW_BITS:
            raise Unimplemented(f"messages are not read in {self._encoding!r:.40}", next_step="use gzip or deflate")
        reader = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            plain = reader.decompress(message, self._max)
        except zlib.error as error:
            raise Invalid(f"the message is not {self._encoding}: {error}", field="message") from error
        if reader.unconsumed_tail:
            raise TooLarge(f"the message is over {self._max} bytes", field="message", next_step="send fewer rows")
        if not reader.eof:
            raise Invalid("the message ends within its compressed data", field="message", next_step="send it whole")
        return plain

    def _take(self, number: int, answer: bytes | HomeostatError) -> None:
        if self._is_over:
            return
        self._answers[number - self._first] = answer
        self._send_answers()

    def _send_answers(self) -> None:
        was_full = len(self._answers) >= MAX_PENDING
        while self._answers and (answer := self._answers[0]) is not None:
            self._answers.popleft()
            self._first += 1
            if isinstance(answer, HomeostatError):
                self._finish(answer)
                return
            self._send(answer)
        self._slow_down()
        if not self._answers and not self._buffer and (self._has_ended or (self._count and not self._method.is_stream)):
            self._finish(None)
        elif was_full and len(self._answers) < MAX_PENDING:
            asyncio.get_running_loop().call_soon(self._read)

    def _slow_down(self) -> None:
        """Take nothing in while answers wait, be it for us or for the caller to read them."""
        is_slow = len(self._answers) >= MAX_PENDING // 2 or len(self._stream.out) >= MAX_PENDING
        if is_slow and not self._stream.is_paused:
            self._stream.pause()
        elif self._stream.is_paused and not is_slow:
            self._stream.resume()

    def _send(self, message: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._stream.send_headers(_HEADERS)
        self._stream.send(b"\0" + len(message).to_bytes(4) + message)

    # The end ---------------------------------------------------------------------------------------------------------

    def _finish(self, error: HomeostatError | None) -> None:
        if self._is_over:
            return
        trailers: Headers = [("grpc-status", str(status_of(error) if error else OK))]
        if error is not None:
            trailers.append(
                ("grpc-message", quote(text_of(error)[:_MAX_MESSAGE], safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~\""))
            )
        if isinstance(error, Unavailable):
            trailers.append(("grpc-retry-pushback-ms", "1000"))
        self._let_go()
        if self._has_begun:
            self._stream.end(trailers)
        else:
            self._stream.send_headers(_HEADERS + trailers, is_last=True)

    def _let_go(self) -> None:
        self._is_over, self.is_owed = True, False
        self._buffer.clear()
        self._answers.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _keep_deadline(self, timeout: str | None) -> None:
        if timeout is None:
            return
        number, unit = timeout[:-1], _UNITS.get(timeout[-1:])
        if unit is None or not (number.isascii() and number.isdecimal()) or len(number) > 8:
            self._finish(Invalid(f"grpc-timeout is {timeout!r:.40}", field="grpc-timeout", next_step="send like 100m"))
            return
        late = TimedOut(f"not answered within the call's {timeout}", next_step="allow more time")
        self._timer = asyncio.get_running_loop().call_later(int(number) * unit, self._finish, late)
