"""The verbs of channels, over a home: who is told of alarms."""

from typing import Any

import msgspec

from homeostat.ground.clock import Clock, to_iso
from homeostat.loop.notifying import send_trial
from homeostat.monitoring.notify import channels
from homeostat.monitoring.notify.channels import Channel, create_channel, remove_channel
from homeostat.monitoring.notify.wants import CHANGES, Wants, duration
from homeostat.store.database import Database

Plain = dict[str, Any]


class ChannelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A channel to be made."""

    name: str
    url: str
    severity: str = "warn"
    model: str = "*"
    kind: str = "*"
    changes: tuple[str, ...] = CHANGES
    after: str | int = 0
    quiet: str = ""
    zone: str = "UTC"
    digest: int = 5


class Channels:
    """Every method is one verb and returns plain data; for admins."""

    def __init__(self, database: Database, clock: Clock, *, allowed: frozenset[str]) -> None:
        self._database = database
        self._clock = clock
        self._allowed = allowed

    def add(self, body: ChannelBody, *, actor: str) -> Plain:
        """Make a channel."""
        wants = Wants(
            severity=body.severity,
            model=body.model,
            kind=body.kind,
            changes=body.changes,
            after=duration(body.after),
            quiet=body.quiet,
            zone=body.zone,
            digest=body.digest,
        )
        with self._database.write() as conn:
            made = create_channel(
                conn, body.name, body.url, wants=wants, allowed=self._allowed, at=self._clock.now(), actor=actor
            )
        return channel_view(made)

    def list(self) -> list[Plain]:
        with self._database.read() as conn:
            return [channel_view(channel) for channel in channels.list_channels(conn)]

    def remove(self, ref: str, *, actor: str) -> Plain:
        with self._database.write() as conn:
            return channel_view(remove_channel(conn, ref, at=self._clock.now(), actor=actor))

    def test(self, ref: str) -> Plain:
        """Send an example now and say what came of it."""
        trial = send_trial(self._database, ref, allowed=self._allowed)
        return {"success": trial.success, "error": trial.error}


def channel_view(channel: Channel) -> Plain:
    """A channel as people read it; its URL masked."""
    view: Plain = msgspec.to_builtins(channel)
    return view | {"created": to_iso(channel.created)}
