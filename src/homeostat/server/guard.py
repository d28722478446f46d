"""Who may talk to a server that has no accounts yet: this machine only.

Bind addresses other than loopback are refused, the Host header must name this machine (against DNS rebinding) and a
browser's Origin must too (against other sites' pages).
"""

import ipaddress
from urllib.parse import urlsplit

from homeostat.ground.errors import Denied


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str) -> None:
    """Refuse to listen where others could reach a server without accounts."""
    if not is_loopback(host):
        raise Denied(
            f"refusing to listen on {host}: this server has no accounts",
            field="host",
            next_step="bind to 127.0.0.1 and put a proxy with authentication in front",
        )


def check_request(host: str, origin: str | None) -> None:
    """Refuse a request that was not meant for this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if not is_loopback(name):
        raise Denied(f"the Host header names {name!r}", field="Host", next_step="use http://127.0.0.1:PORT")
    if origin is not None and not is_loopback(urlsplit(origin).hostname or ""):
        raise Denied(f"requests from {origin} are not accepted", field="Origin", next_step="call from this machine")
