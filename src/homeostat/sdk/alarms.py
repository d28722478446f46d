"""The methods of alarms and of channels, the same on a home and over HTTP; each names its verb."""

from collections.abc import Sequence
from typing import Any, Protocol

Plain = dict[str, Any]


class AlarmClient(Protocol):
    """`hs.connect(...).alarms`.

    An `alarm` is an id, or the beginning of one. `actor` says who did it where no tokens are asked for; with tokens it
    is who the token says.
    """

    def list(
        self, *, model: str | None = None, state: str | None = None, severity: str | None = None, limit: int = 100
    ) -> list[Plain]:
        """Those that opened last first; `state` is open, acknowledged, muted, closed or all  [default: not closed]."""
        ...

    def get(self, alarm: str) -> Plain:
        """One alarm with its numbers, and who was told of it."""
        ...

    def ack(self, alarm: str, *, comment: str = "", actor: str = "person") -> Plain:
        """Somebody is on it: nobody else is called."""
        ...

    def mute(self, alarm: str, until: str, *, reason: str = "", actor: str = "person") -> Plain:
        """Tell nobody until a time, or for a duration such as '7d', also when it closes and opens anew meanwhile."""
        ...

    def unmute(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain: ...

    def close(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain:
        """Close it by hand; the next check opens it again when what it says is still so."""
        ...


class ChannelClient(Protocol):
    """`hs.connect(...).channels`: who is told of alarms. A `channel` is an id or a name."""

    def add(
        self,
        name: str,
        url: str,
        *,
        severity: str = "warn",
        model: str = "*",
        kind: str = "*",
        changes: Sequence[str] = ("opened", "reopened", "raised", "acknowledged", "closed"),
        after: str | int = 0,
        quiet: str = "",
        zone: str = "UTC",
        digest: int = 5,
    ) -> Plain:
        """Tell `url` (https://..., or an apprise URL) of alarms this bad and worse, of models like `model`.

        `after`: only of those that nobody has acknowledged for so long. `quiet`: hours such as '22:00-07:00' in `zone`
        in which only a page gets through. More than `digest` changes at once are one message.
        """
        ...

    def list(self) -> list[Plain]: ...

    def remove(self, channel: str) -> Plain: ...

    def test(self, channel: str) -> Plain:
        """Send an example now and say what came of it."""
        ...
