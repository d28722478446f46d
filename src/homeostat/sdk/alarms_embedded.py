"""The alarms and channels of a home that is opened in this process."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.ground.access import LOCAL
from homeostat.ground.errors import Invalid
from homeostat.sdk.alarms import Plain
from homeostat.sdk.registry_bodies import checked_body
from homeostat.server.alarms import AckBody, Alarms, MuteBody, WordBody
from homeostat.server.channels import ChannelBody, Channels


class EmbeddedAlarms:
    """The methods on a home that is opened in this process."""

    def __init__(self, verbs: Alarms) -> None:
        self._verbs = verbs

    def list(
        self, *, model: str | None = None, state: str | None = None, severity: str | None = None, limit: int = 100
    ) -> list[Plain]:
        return self._verbs.list(model=model, state=state, severity=severity, limit=limit)

    def get(self, alarm: str) -> Plain:
        return self._verbs.get(alarm)

    def ack(self, alarm: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._verbs.acknowledge(alarm, checked_body(AckBody, comment=comment, actor=actor))

    def mute(self, alarm: str, until: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.mute(alarm, checked_body(MuteBody, until=until, reason=reason, actor=actor))

    def unmute(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.unmute(alarm, checked_body(WordBody, reason=reason, actor=actor))

    def close(self, alarm: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.close(alarm, checked_body(WordBody, reason=reason, actor=actor))


class EmbeddedChannels:
    """The channels of a home that is opened in this process; they are told while a server of this home runs."""

    def __init__(self, verbs: Channels) -> None:
        self._verbs = verbs

    def add(self, name: str, url: str, *, changes: Sequence[str] = (), **wants: Any) -> Plain:
        given = {"name": name, "url": url} | wants | ({"changes": list(changes)} if changes else {})
        try:
            body = msgspec.convert(given, ChannelBody)
        except msgspec.ValidationError as error:
            raise Invalid(str(error), field=str(error).rpartition("`$.")[2].partition("`")[0]) from error
        return self._verbs.add(body, actor=LOCAL.name)

    def list(self) -> list[Plain]:
        return self._verbs.list()

    def remove(self, channel: str) -> Plain:
        return self._verbs.remove(channel, actor=LOCAL.name)

    def test(self, channel: str) -> Plain:
        return self._verbs.test(channel)
