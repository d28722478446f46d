"""Where a server may listen, and which Host and Origin it answers to.

Without tokens a server is this machine's own: it binds to loopback only. The Host header must name this machine
(against DNS rebinding: a page whose name was moved to 127.0.0.1) and a browser's Origin must be ours or an allowed one.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from homeostat.ground.errors import Denied
from homeostat.ground.settings import Settings


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def check_bind(host: str, *, auth: str = "", has_token: bool = False) -> None:
    """Refuse to listen where others could reach a server that lets everybody in, or nobody.

    Raises:
        Denied: naming the setting or the command to begin with.
    """
    if is_loopback(host):
        return
    if auth != "required":
        raise Denied(
            f"refusing to listen on {host} without authentication",
            field="host",
            next_step="set HOMEOSTAT_AUTH=required and make a token with `homeostat token create NAME`, "
            "or bind to 127.0.0.1",
        )
    if not has_token:
        raise Denied(
            f"refusing to listen on {host}: there is no token, so nobody could come in",
            field="host",
            next_step="make one first: homeostat token create NAME --permission admin",
        )


def check_solo_bind(host: str) -> None:
    """A worker on its own asks nobody for a token, so it stays on this machine."""
    if not is_loopback(host):
        raise Denied(
            f"refusing to listen on {host}: `homeostat serve` knows no tokens",
            field="host",
            next_step="bind to 127.0.0.1, or run `homeostat up` with HOMEOSTAT_AUTH=required",
        )


class Door(msgspec.Struct, frozen=True):
    """Which hosts and origins belong to this server."""

    bound: str
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "Door":
        return cls(settings.host, _names(settings.allowed_hosts), _names(settings.allowed_origins))

    def check_host(self, host: str) -> None:
        """Refuse a request that was sent to somebody else's name.

        Raises:
            Denied: naming the setting that would allow it.
        """
        name = _hostname(f"//{host}")
        if not self._knows(name):
            raise Denied(
                f"the Host header names {name!r}, which is not this server",
                field="Host",
                next_step=f"use http://127.0.0.1:PORT, or allow the name: HOMEOSTAT_ALLOWED_HOSTS={name or 'NAME'}",
            )

    def check_origin(self, origin: str, host: str) -> None:
        """Refuse a page of another site.

        Raises:
            Denied: naming the setting that would allow it.
        """
        name = _hostname(origin)
        own = urlsplit(origin).netloc.lower() == host.lower() != ""
        local = is_loopback(self.bound) and is_loopback(name)
        if not (own or local or self.is_foreign(origin)):
            raise Denied(
                f"requests from pages of {origin} are not accepted",
                field="Origin",
                next_step=f"open this server's own address, or allow it: HOMEOSTAT_ALLOWED_ORIGINS={origin}",
            )

    def is_foreign(self, origin: str) -> bool:
        """Whether another site's pages were let in by the settings; a browser then wants to hear so."""
        return origin.lower().rstrip("/") in self.origins or "*" in self.origins

    def _knows(self, name: str) -> bool:
        if not name:
            return False
        if is_loopback(name) or name == self.bound.lower() or "*" in self.hosts:
            return True
        # A rebound name is a name: whoever wrote an address into the bar meant this machine.
        if not is_loopback(self.bound) and _address(name) is not None:
            return True
        return any(name == host or (host.startswith(".") and name.endswith(host)) for host in self.hosts)


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
