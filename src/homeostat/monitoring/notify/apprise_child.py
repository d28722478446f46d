"""One message by apprise, in a process of its own: `python -m homeostat.monitoring.notify.apprise_child`.

Every connection of this process is checked where it is made, by Python's audit events: into a private network only as
allowed. So neither a redirect nor a name that has moved since a check leads there, whichever library connects.
Programs are not started and no socket files are opened.
"""

import ipaddress
import socket
import sys
from typing import Any

import msgspec

from homeostat.ground.outbound import is_public
from homeostat.monitoring.notify.sending import BAD_URL, GUARDED, MISSING, NOT_TAKEN, Job

_KINDS = {"ok": "success", "info": "info", "warn": "warning", "page": "failure"}
_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"}


class Guard:
    """An audit hook that ends whatever leads where no message may go."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = {pair for entry in allowed for pair in _addresses(entry)}
        self.is_on = True
        self.has_refused = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event in _STARTS:
            self._refuse(event)
        if event in _CONNECTS and (address := arguments[1]) is not None:
            self._check(address)

    def _check(self, address: Any) -> None:
        if not isinstance(address, tuple):
            self._refuse("a socket file")
        host, port = str(address[0]).partition("%")[0], address[1]
        if {(host, port), (host, None)} & self._allowed:
            return
        try:
            if is_public(ipaddress.ip_address(host)):
                return
        except ValueError:  # a name: it would be resolved after this look
            pass
        self._refuse(host)

    def _refuse(self, what: str) -> None:
        self.has_refused = True
        raise PermissionError(f"{what} is not for messages")


def main() -> int:
    """Send the job on standard input; returns the exit code."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        import apprise
    except ImportError:
        return MISSING
    guard = Guard(job.allowed)
    sys.addaudithook(guard)
    try:
        service = apprise.Apprise.instantiate(job.url, suppress_exceptions=True)
    except Exception:  # noqa: BLE001  whatever a service's own reading of its URL does
        service = None
    if service is None:
        return GUARDED if guard.has_refused else BAD_URL
    is_taken = _sent(apprise, service, job)
    guard.is_on = False  # the interpreter's own end is no message
    if is_taken:
        return 0
    return GUARDED if guard.has_refused else NOT_TAKEN


def _sent(apprise: Any, service: Any, job: Job) -> bool:
    sender = apprise.Apprise()
    sender.add(service)
    try:
        return bool(sender.notify(title=job.title, body=job.body, notify_type=_KINDS.get(job.severity, "info")))
    except Exception:  # noqa: BLE001  a service's code may raise anything; it is tried again
        return False


def _addresses(entry: str) -> set[tuple[str, int | None]]:
    """The addresses that an allowed HOST, HOST:PORT or HOST:* means now; without a port, any."""
    host, port = entry, None
    if entry.startswith("["):
        inside, _, rest = entry[1:].partition("]")
        host, port = inside, rest.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    number = int(port) if port and port.isdecimal() else None
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {(str(one[4][0]).partition("%")[0], number) for one in found}


if __name__ == "__main__":
    sys.exit(main())
