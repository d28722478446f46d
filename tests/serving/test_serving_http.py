"""The data plane's HTTP server on real sockets: what RFC 9112 asks of it, and what it refuses."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from homeostat.serving import http
from homeostat.serving.http import HttpRequest, HttpServer, Respond

JSON = [("content-type", "application/json")]


class Running:
    """A server on a free port, in a thread with an event loop of its own."""

    def __init__(self, handle: Callable[[HttpRequest, Respond], None], **options: object) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = HttpServer(handle, **({"max_body": 1 << 20} | options))  # type: ignore[arg-type]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(5)
        return connection

    def say(self, data: bytes) -> bytes:
        """Send it on a connection of its own and read until the server closes it."""
        with self.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def drain(self, seconds: float = 5.0) -> None:
        self.listening.close()
        asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.loop).result()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.listener.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.listening = self.loop.run_until_complete(self.loop.create_server(self.server, sock=self.listener))
        self._started.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self.server.drain(0))
        self.listening.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def read_all(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_some(connection: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    return data


def echo(request: HttpRequest, respond: Respond) -> None:
    if request.problem is not None:
        respond(request.problem.status, JSON, str(request.problem.error).encode())
    else:
        respond(200, JSON, f"{request.method} {request.path} {request.query} ".encode() + request.body)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def make(handle: Callable[[HttpRequest, Respond], None] = echo, **options: object) -> Running:
        running.append(Running(handle, **options))
        return running[-1]

    yield make
    for one in running:
        one.end()


Start = Callable[..., Running]


def post(body: bytes, *, path: str = "/x", more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: h\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


def test_a_request_is_handed_over_whole_however_it_is_cut(start: Start) -> None:
    running = start()
    request = post(b"hello", path="/a%20b?c=1&d=%20", more="x-one: 1\r\n")
    with running.connect() as connection:
        for at in range(0, len(request), 7):
            connection.sendall(request[at : at + 7])
            time.sleep(0.001)
        answer = read_some(connection, b"hello")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"POST /a b c=1&d=%20 hello")
    assert b"\r\ndate: " in answer


def test_a_chunked_body_is_put_together(start: Start) -> None:
    head = b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = start().say(head + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    assert answer.endswith(b"POST /x  hello world")


def test_pipelined_requests_are_answered_in_their_order_though_the_first_takes_longest(start: Start) -> None:
    def late_first(request: HttpRequest, respond: Respond) -> None:
        wait = 0.1 if request.body == b"0" else 0.0
        asyncio.get_running_loop().call_later(wait, respond, 200, JSON, b"<" + request.body + b">")

    answer = start(late_first).say(b"".join(post(str(number).encode()) for number in range(200)))
    places = [answer.index(f"<{number}>".encode()) for number in range(200)]
    assert places == sorted(places)


def test_only_the_first_answer_to_a_request_counts(start: Start) -> None:
    def twice(_request: HttpRequest, respond: Respond) -> None:
        respond(200, JSON, b"first")
        respond(200, JSON, b"second")

    answer = start(twice).say(post(b"a") + post(b"b"))
    assert (answer.count(b"first"), answer.count(b"second")) == (2, 0)


def test_head_gets_the_headers_of_get_and_no_body(start: Start) -> None:
    answer = start().say(b"HEAD /x HTTP/1.1\r\nhost: h\r\n\r\n")
    assert b"content-length: 9\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_http_1_0_closes_after_the_answer_unless_it_asks_to_stay(start: Start) -> None:
    running = start()
    with running.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert b"connection: close" in read_all(connection)
    with running.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert b"connection: close" not in read_some(connection, b"GET /x")


def test_a_caller_who_waits_for_100_continue_gets_it(start: Start) -> None:
    with start().connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert read_some(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ok")
        assert read_some(connection, b" ok").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /x HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /x HTTP/1.1\r\nhost: h\r\n\x00: 1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(start: Start, request_bytes: bytes) -> None:
    with start().connect() as connection:
        connection.sendall(request_bytes)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 4") == 1


def test_a_body_over_the_limit_is_413_before_it_is_sent_and_while_it_streams(start: Start) -> None:
    running = start(max_body=1000)
    with running.connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 1001\r\n\r\n")
        assert b" 413 " in read_some(connection, b"1000 bytes")
    with running.connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(50):  # it goes on sending and still sees the answer
            connection.sendall(b"64\r\n" + b"y" * 100 + b"\r\n")
        assert b" 413 " in read_some(connection, b"1000 bytes")


def test_headers_without_end_are_431(start: Start) -> None:
    with start().connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for number in range(2000):
                connection.sendall(f"x-{number}: {'y' * 100}\r\n".encode())
        assert b" 431 " in read_all(connection)


def test_a_value_that_breaks_the_line_begins_no_other_header(start: Start) -> None:
    def split(_request: HttpRequest, respond: Respond) -> None:
        respond(200, [*JSON, ("x-echo", "a\r\nset-cookie: b")], b"")

    answer = start(split).say(post(b""))
    assert b"\r\nset-cookie" not in answer
    assert b"x-echo: a  set-cookie: b\r\n" in answer


def test_a_caller_who_sends_half_a_request_is_told_408(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.5)
    with start().connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab")
        assert b" 408 " in read_all(connection)


def test_a_caller_who_reads_nothing_holds_up_nobody_and_is_cut_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WRITE_SECONDS", 0.5)

    def much(_request: HttpRequest, respond: Respond) -> None:
        respond(200, JSON, b"z" * (8 << 20))

    running = start(much)
    with running.connect() as deaf:
        deaf.sendall(post(b"") * 4)
        assert len(running.say(post(b""))) > 8 << 20
        deadline = time.monotonic() + 5
        while running.server.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running.server.connections


def test_an_upgrade_is_not_followed(start: Start) -> None:
    request = b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    answer = start().say(request)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


def test_http2_without_anybody_who_speaks_it_is_closed(start: Start) -> None:
    assert start().say(http.PREFACE) == b""


def test_http2_is_handed_on_even_when_its_preface_comes_in_pieces(start: Start) -> None:
    class Other(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(b"<" + data + b">")
            self.transport.close()

    with start(http2=Other).connect() as connection:
        for byte in http.PREFACE:
            connection.sendall(bytes([byte]))
            time.sleep(0.002)
        assert read_all(connection) == b"<" + http.PREFACE + b">"


def test_a_drain_answers_what_was_asked_and_closes_the_idle(start: Start) -> None:
    def late(request: HttpRequest, respond: Respond) -> None:
        asyncio.get_running_loop().call_later(0.5, respond, 200, JSON, request.body)

    running = start(late)
    with running.connect() as busy, running.connect() as idle:
        busy.sendall(post(b"one") + post(b"two"))
        time.sleep(0.1)
        running.drain()
        answer = read_all(busy)
        assert (b"one" in answer, b"two" in answer, answer.count(b"connection: close")) == (True, True, 1)
        assert read_all(idle) == b""


def test_a_drain_cuts_off_who_does_not_come_to_an_end(start: Start) -> None:
    running = start(lambda _request, _respond: None)
    with running.connect() as connection:
        connection.sendall(post(b"never"))
        time.sleep(0.1)
        begun = time.monotonic()
        running.drain(0.5)
        assert time.monotonic() - begun < 2
        assert read_all(connection) == b""
