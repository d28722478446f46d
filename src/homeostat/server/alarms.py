"""The verbs of alarms, over a home: what routes, commands and the embedded client call."""

from typing import Any

import msgspec

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock, to_iso
from homeostat.ground.errors import Invalid
from homeostat.monitoring import alarms
from homeostat.monitoring.alarms import Alarm
from homeostat.monitoring.notify.channels import list_channels
from homeostat.monitoring.notify.decide import told_of
from homeostat.monitoring.notify.texts import plain_alarm
from homeostat.server.registry_rules import actor_of, checked_text
from homeostat.server.views.access import moment_after
from homeostat.store.database import Database
from homeostat.store.outbox import message_states

Plain = dict[str, Any]
STATES = ("open", "acknowledged", "muted", "closed")


class WordBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and who where no tokens are asked for."""

    reason: str = ""
    actor: str = "person"


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody is on it."""

    comment: str = ""
    actor: str = "person"


class MuteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tell nobody of it for a while."""

    until: str
    """A time, or a duration such as '7d'."""
    reason: str = ""
    actor: str = "person"


class Alarms:
    """Every method is one verb and returns plain data; whoever asks reaches the projects of their identity only."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list(
        self,
        *,
        model: str | None = None,
        state: str | None = None,
        severity: str | None = None,
        limit: int = 100,
        who: Identity = LOCAL,
    ) -> list[Plain]:
        """Alarms, those that opened last first; without a `state` those that are not closed.

        Raises:
            Invalid: when there is no such state or severity.
        """
        if state is not None and state not in (*STATES, "all"):
            raise Invalid(
                f"{state!r:.40} is no state", field="state", next_step=f"states are {', '.join(STATES)}, or all"
            )
        if not 1 <= limit <= 10_000:
            raise Invalid(f"limit is {limit}", field="limit", next_step="give 1 to 10,000")
        least = 0 if severity is None else alarms.rank(severity)
        if model is not None:
            who.require_project(model)
        is_open = None if state == "all" else state != "closed"
        now = self._clock.now()
        with self._database.read() as conn:
            # More than are shown may be another project's, or in another state.
            found = alarms.newest_alarms(conn, model=model, is_open=is_open, limit=10_000)
        chosen = [
            one
            for one in found
            if who.may_touch(one.model)
            and alarms.rank(one.severity) >= least
            and state in {None, "all", one.state(now)}
        ]
        return [alarm_view(one, now) for one in chosen[:limit]]

    def get(self, alarm_id: str, who: Identity = LOCAL) -> Plain:
        """One alarm, and who was told what of it."""
        now = self._clock.now()
        with self._database.read() as conn:
            alarm = alarms.get_alarm(conn, alarm_id)
            who.require_project(alarm.model)
            names = {channel.id: channel.name for channel in list_channels(conn)}
            told = told_of(conn, alarm.id)
            states = message_states(conn, [one.message for one in told if one.message])
        notices = [
            {
                "channel": names.get(one.channel, one.channel),
                "at": to_iso(one.at),
                "delivery": states[one.message].state,
                "error": states[one.message].error,
            }
            for one in told
            if one.message in states
        ]
        return alarm_view(alarm, now) | {"told": notices}

    def acknowledge(self, alarm_id: str, body: AckBody, who: Identity = LOCAL) -> Plain:
        now = self._clock.now()
        with self._database.write() as conn:
            alarm = self._reached(alarms.get_alarm(conn, alarm_id), who)
            done = alarms.acknowledge_alarm(
                conn, alarm.id, at=now, actor=actor_of(body.actor, who), comment=checked_text(body.comment, "comment")
            )
        return alarm_view(done, now)

    def mute(self, alarm_id: str, body: MuteBody, who: Identity = LOCAL) -> Plain:
        now = self._clock.now()
        until = moment_after(body.until, now, field="until")
        with self._database.write() as conn:
            alarm = self._reached(alarms.get_alarm(conn, alarm_id), who)
            done = alarms.mute_alarm(
                conn, alarm.id, until=until, at=now, actor=actor_of(body.actor, who), reason=body.reason
            )
        return alarm_view(done, now)

    def unmute(self, alarm_id: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        now = self._clock.now()
        with self._database.write() as conn:
            alarm = self._reached(alarms.get_alarm(conn, alarm_id), who)
            done = alarms.unmute_alarm(conn, alarm.id, at=now, actor=actor_of(body.actor, who), reason=body.reason)
        return alarm_view(done, now)

    def close(self, alarm_id: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        now = self._clock.now()
        with self._database.write() as conn:
            alarm = self._reached(alarms.get_alarm(conn, alarm_id), who)
            done = alarms.close_by_hand(conn, alarm.id, at=now, actor=actor_of(body.actor, who), reason=body.reason)
        return alarm_view(done, now)

    def _reached(self, alarm: Alarm, who: Identity) -> Alarm:
        who.require_project(alarm.model)
        return alarm


def alarm_view(alarm: Alarm, now: int) -> Plain:
    """An alarm as people read it."""
    return plain_alarm(alarm) | {"state": alarm.state(now)}
