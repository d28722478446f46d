import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from homeostat.ground.errors import HomeostatError, Invalid, Refused, TimedOut, Unavailable
from homeostat.ground.outbound import check_url, parse_allowed, post


@contextmanager
def answering(*answers: bytes, pause: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives one answer per connection, byte by byte when it is to be slow."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:  # nobody came, and the test is over
                    return
                with connection:
                    request = connection.recv(65536)
                    if b"Content-Length: 7" in request and not request.endswith(b"}"):
                        request += connection.recv(65536)
                    heard.append(request)
                    try:
                        for at in range(0, len(answer), 1 if pause else len(answer)):
                            connection.sendall(answer[at : at + (1 if pause else len(answer))])
                            time.sleep(pause)
                    except OSError:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
    thread.join(0.5)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def redirect(target: str, status: int = 307) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "localhost", "LOCALHOST", "0.0.0.0",
        "0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "2852039166", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "[::1]", "[::]", "[fe80::1]", "[fc00::1]",
        "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[2001:db8::1]", "127.0.0.1%2f@example.com",
    ],
)  # fmt: skip
def test_private_addresses_are_never_reached_however_they_are_spelled(host: str) -> None:
    for url in (f"http://{host}/x", f"https://{host}:8443/x"):
        with pytest.raises((Refused, Invalid)) as caught:
            check_url(url)
        assert caught.value.field == "url"
        with pytest.raises((Refused, Invalid)):
            post(url, b"{}", {})


@pytest.mark.parametrize(
    "url",
    ["", "x", "file:///etc/passwd", "gopher://h/", "http://", "http://h:99999/", "http://me:pw@h/", "http://h\\@i/",
     "http://h /", "http://h/\r\nX: y", "http://[::1/", "http://ⓛocalhost/"],
)  # fmt: skip
def test_what_is_no_plain_url_is_invalid(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)


def test_a_public_address_and_a_name_that_cannot_be_resolved_now_are_accepted() -> None:
    check_url("https://8.8.8.8/hook")
    check_url("https://[2606:4700:4700::1111]/hook")
    check_url("https://does-not-exist.invalid/hook")
    with pytest.raises(Unavailable):
        post("https://does-not-exist.invalid/hook", b"{}", {})


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.1:*", "127.0.0.1:{port}"])
def test_an_allowed_host_is_reached_and_hears_its_own_name(entry: str) -> None:
    with answering(OK) as (port, heard):
        allowed = parse_allowed(f" other.internal , {entry.format(port=port)}")
        answer = post(f"http://127.0.0.1:{port}/a?b=c", b"{}", {"X-Y": "z"}, allowed=allowed)
    assert (answer.status, answer.body, answer.is_success) == (200, b"ok", True)
    assert heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{port}".encode() in heard[0] and b"X-Y: z" in heard[0]


def test_another_port_of_an_allowed_host_is_not_allowed() -> None:
    with pytest.raises(Refused, match="HOMEOSTAT_WEBHOOK_ALLOW"):
        post("http://127.0.0.1:9/", b"{}", {}, allowed=parse_allowed("127.0.0.1:8080"))


@pytest.mark.parametrize("target", ["http://localhost:{port}/", "http://169.254.169.254/latest", "//[::1]:{port}/"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_into_a_private_network_is_refused(target: str, status: int) -> None:
    with answering(OK) as (inner, heard), answering(redirect(target.format(port=inner), status)) as (port, _):
        with pytest.raises(Refused):
            post(f"http://127.0.0.1:{port}/", b"{}", {}, allowed=frozenset({f"127.0.0.1:{port}"}))
        assert heard == []


def test_a_redirect_within_what_is_allowed_is_followed_with_the_same_body() -> None:
    with answering(OK) as (inner, heard), answering(redirect(f"http://127.0.0.1:{inner}/new")) as (port, _):
        answer = post(f"http://127.0.0.1:{port}/", b'{"a":1}', {}, allowed=frozenset({"127.0.0.1"}))
    assert answer.status == 200
    assert heard[0].startswith(b"POST /new") and heard[0].endswith(b'{"a":1}')


def test_redirects_end() -> None:
    with answering(*[redirect("/again")] * 4) as (port, heard):
        with pytest.raises(Refused, match="redirects"):
            post(f"http://127.0.0.1:{port}/", b"{}", {}, allowed=frozenset({"127.0.0.1"}))
        assert len(heard) == 4


def test_a_receiver_that_drips_is_cut_off() -> None:
    with answering(OK * 50, pause=0.05) as (port, _):
        began = time.monotonic()
        with pytest.raises(TimedOut):
            post(f"http://127.0.0.1:{port}/", b"{}", {}, allowed=frozenset({"127.0.0.1"}), timeout=0.5)
        assert time.monotonic() - began < 3


def test_a_long_answer_is_read_to_a_limit() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    with answering(long) as (port, _):
        assert len(post(f"http://127.0.0.1:{port}/", b"", {}, allowed=frozenset({"127.0.0.1"})).body) == 64 << 10


@pytest.mark.parametrize("noise", [b"not http\r\n\r\n", b""])
def test_a_receiver_that_speaks_no_http_is_unavailable(noise: bytes) -> None:
    with answering(noise or b"\r\n") as (port, _), pytest.raises(HomeostatError) as caught:
        post(f"http://127.0.0.1:{port}/", b"{}", {}, allowed=frozenset({"127.0.0.1"}))
    assert isinstance(caught.value, Unavailable)
