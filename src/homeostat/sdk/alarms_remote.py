"""The alarms and channels of a running server."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from homeostat.sdk.alarms import Plain


class Http(Protocol):
    """What the client of a server lends: one JSON request."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float = ...,
    ) -> Any: ...


class RemoteAlarms:
    """The methods over HTTP."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(
        self, *, model: str | None = None, state: str | None = None, severity: str | None = None, limit: int = 100
    ) -> list[Plain]:
        given = {"model": model, "state": state, "severity": severity}
        query = {"limit": limit} | {name: value for name, value in given.items() if value}
        return self._http.ask("GET", "/api/alarms", query=query)  # type: ignore[no-any-return]

    def get(self, alarm: str) -> Plain:
        return self._http.ask("GET", _path(alarm))  # type: ignore[no-any-return]

    def ack(self, alarm: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._say(alarm, "ack", {"comment": comment, "actor": actor})

    def mute(self, alarm: str, until: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(alarm, "mute", {"until": until, "reason": reason, "actor": actor})

    def unmute(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(alarm, "unmute", {"reason": reason, "actor": actor})

    def close(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(alarm, "close", {"reason": reason, "actor": actor})

    def _say(self, alarm: str, verb: str, body: Plain) -> Plain:
        return self._http.ask("POST", f"{_path(alarm)}/{verb}", body=body)  # type: ignore[no-any-return]


class RemoteChannels:
    """The channels of a running server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def add(self, name: str, url: str, *, changes: Sequence[str] = (), **wants: Any) -> Plain:
        body = {"name": name, "url": url} | wants | ({"changes": list(changes)} if changes else {})
        return self._http.ask("POST", "/api/channels", body=body)  # type: ignore[no-any-return]

    def list(self) -> list[Plain]:
        return self._http.ask("GET", "/api/channels")  # type: ignore[no-any-return]

    def remove(self, channel: str) -> Plain:
        return self._http.ask("DELETE", f"/api/channels/{quote(channel, safe='')}")  # type: ignore[no-any-return]

    def test(self, channel: str) -> Plain:
        path = f"/api/channels/{quote(channel, safe='')}/test"
        return self._http.ask("POST", path, body={})  # type: ignore[no-any-return]


def _path(alarm: str) -> str:
    return f"/api/alarms/{quote(alarm, safe='')}"
