"""HTTP to addresses that somebody else chose: never into private networks, whatever a name resolves to.

A name is resolved once, each of its addresses is checked, and the connection goes to a checked address; so there is no
moment between check and connection in which the name could move. Each redirect is a new address and checked anew.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from homeostat.ground.errors import HomeostatError, Invalid, Refused, TimedOut, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_REDIRECTS = 3
MAX_ANSWER = 64 << 10
"""Bytes of an answer that are read; a receiver has nothing longer to tell us."""
_REDIRECTS = {301, 302, 307, 308}
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


class Answer(msgspec.Struct, frozen=True):
    """What the receiver said."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def parse_allowed(text: str) -> frozenset[str]:
    """The entries of a setting such as 'hooks.internal:8443, 127.0.0.1:*'."""
    return frozenset(part.strip().lower() for part in text.split(",") if part.strip())


def check_url(url: str, *, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a URL that could never be called; a name that does not resolve now is checked again at each call.

    Raises:
        Invalid: when it is no plain http(s) URL.
        Refused: when it leads into a private network.
    """
    parts = _parse(url)
    try:
        _reachable(parts, allowed)
    except Unavailable:
        return


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: frozenset[str] = frozenset(),
    trusted: bool = False,
    timeout: float = 10.0,
) -> Answer:
    """POST, following a few redirects with the same body. `trusted` skips the check of addresses.

    Raises:
        Refused: when the URL, or where it redirects to, leads into a private network or from https down to http.
        Unavailable: when nobody answers.
        TimedOut: when the whole exchange takes longer than `timeout` seconds.
    """
    for _ in range(MAX_REDIRECTS + 1):
        parts = _parse(url)
        addresses = _resolve(parts) if trusted else _reachable(parts, allowed)
        answer, location = _exchange(parts, addresses, body, headers, timeout)
        if answer.status not in _REDIRECTS or not location:
            return answer
        target = urljoin(url, location)
        if parts.scheme == "https" and urlsplit(target).scheme != "https":
            raise Refused(f"{_origin(parts)} redirects from https to http", field="url", next_step="use its new URL")
        url = target
    raise Refused(f"more than {MAX_REDIRECTS} redirects", field="url", next_step="use the URL that it ends at")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, also when it wraps another one.

    >>> is_public(ipaddress.ip_address("8.8.8.8")), is_public(ipaddress.ip_address("::ffff:127.0.0.1"))
    (True, False)
    """
    inner = _wrapped(address)
    if inner is not None:
        return is_public(inner)
    closed = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    )
    return address.is_global and not closed


def _wrapped(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 one carries: mapped, compatible, NAT64, 6to4, Teredo."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _parse(url: str) -> SplitResult:
    wrong = Invalid("this is no URL that can be called", field="url", next_step="write it like https://host/path")
    if any(ord(char) <= 32 or ord(char) >= 127 or char == "\\" for char in url):
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise Invalid("a URL with a password in it is not kept", field="url", next_step="use the webhook's secret")
    return parts


def _reachable(parts: SplitResult, allowed: frozenset[str]) -> list[str]:
    """The addresses of the host, every one of them public unless the host is allowed by name."""
    addresses = _resolve(parts)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    bracketed = f"[{host}]" if ":" in host else host
    if {bracketed, f"{bracketed}:{port}", f"{bracketed}:*"} & allowed:
        return addresses
    if all(is_public(ipaddress.ip_address(address)) for address in addresses):
        return addresses
    raise Refused(
        f"{host} is an address of a private network, which webhooks never reach",
        field="url",
        next_step=f"use a public address, or allow it: HOMEOSTAT_WEBHOOK_ALLOW={bracketed}:{port}",
    )


def _resolve(parts: SplitResult) -> list[str]:
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{host} cannot be resolved", field="url", next_step="check the host's name") from error
    # An address with a zone (fe80::1%eth0) is link-local; without the zone it is judged as such.
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _exchange(
    parts: SplitResult, addresses: list[str], body: bytes, headers: Mapping[str, str], timeout: float
) -> tuple[Answer, str]:
    connection = _connect(parts, addresses, timeout)
    # A receiver that sends a byte a second would never meet a limit per read; this one is for the whole exchange.
    late = threading.Event()
    timer = threading.Timer(timeout, _cut, [connection, late])
    timer.daemon = True
    timer.start()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER)
        return Answer(answer.status, content), answer.headers.get("location", "")
    except (OSError, http.client.HTTPException) as error:
        raise _failure(parts, error, is_late=late.is_set()) from error
    finally:
        timer.cancel()
        connection.close()


def _connect(parts: SplitResult, addresses: list[str], timeout: float) -> http.client.HTTPConnection:
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    failure: OSError | None = None
    for address in addresses:
        try:
            plain = socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
            continue
        # The socket is given, so http.client neither resolves nor connects; the name is for Host and TLS alone.
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        connection.sock = plain
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=timeout)
            connection.sock = _secured(parts, plain, host)
        connection.auto_open = 0  # a lost connection is an error, never a second look at the name
        return connection
    raise _failure(parts, failure or OSError(), is_late=False) from failure


def _secured(parts: SplitResult, plain: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except OSError as error:
        plain.close()
        raise _failure(parts, error, is_late=False) from error


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    try:
        connection.sock.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        return


def _failure(parts: SplitResult, error: Exception, *, is_late: bool) -> HomeostatError:
    where = _origin(parts)
    if is_late or isinstance(error, TimeoutError):
        return TimedOut(f"{where} did not answer in time", field="url", next_step="answer first, then work")
    text = getattr(error, "strerror", None) or type(error).__name__
    return Unavailable(f"{where} does not answer: {text}", field="url", next_step="check that the receiver runs")


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
