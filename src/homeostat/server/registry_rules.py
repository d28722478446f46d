"""What the registry's verbs see to before they act: who asks, what they say, whether a thing is in service."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import from_datetime, from_iso, to_iso
from homeostat.ground.errors import Conflict, Invalid
from homeostat.loop.in_service import check_version_idle
from homeostat.registry.lookup import aliases_of
from homeostat.registry.promotion import Action

Moment = str | int | datetime
_TEXT = 100_000
_ACTOR = 200
_LAST_MOMENT = from_iso("9999-12-31T23:59:59Z")


def why_kept(conn: Connection, name: str, version: int) -> Action | None:
    """Why a version cannot be deleted; None when it can."""
    standing = [alias for alias, number in aliases_of(conn, name).items() if number == version]
    if standing:
        why = f"{', '.join(standing)} stands on it"
        return Action(action="delete", allowed=False, why=why, next_step="move the alias first")
    try:
        check_version_idle(conn, name, version)
    except Conflict as error:
        return Action(action="delete", allowed=False, why=error.message, next_step=error.next_step)
    return None


def numbered(name: str, version: int | str) -> int:
    """A version's number; an alias would be somewhere else tomorrow, and what is deleted is gone."""
    if isinstance(version, int) or version.isdecimal():
        return int(version)
    raise Invalid(
        f"{version!r:.80} does not say which version", field="version", next_step=f"name it by its number: {name}@4"
    )


def permitted(action: Action, who: Identity) -> Action:
    """The action, refused when the one who asks may not deploy."""
    if not action.allowed or "deploy" in who.permissions:
        return action
    step = "ask for a token with deploy"
    return Action(action=action.action, allowed=False, why=f"{who.name} lacks the permission deploy", next_step=step)


def actor_of(said: str, who: Identity) -> str:
    """With tokens, whoever asks; without, who they say they are."""
    return checked_text(said, "actor", most=_ACTOR) if who is LOCAL else who.name


def checked_text(text: str, field: str, *, most: int = _TEXT) -> str:
    """The text, if both databases can keep it."""
    if len(text) <= most and "\x00" not in text:
        return text
    raise Invalid(f"{field} cannot be kept", field=field, next_step=f"use up to {most} characters, none of them NUL")


def given_tags(tags: Mapping[str, str | None]) -> dict[str, str]:
    """Those that are to be set."""
    return {key: value for key, value in tags.items() if value is not None}


def taken_tags(tags: Mapping[str, str | None]) -> list[str]:
    """Those that are to be taken away."""
    return [key for key, value in tags.items() if value is None]


def moment_of(time: Moment) -> int:
    """ISO text, a datetime (UTC when it has no zone) or microseconds, be they text."""
    if isinstance(time, datetime):
        return from_datetime(time)
    moment = int(time) if isinstance(time, int) or time.isdecimal() else from_iso(time)
    if 0 <= moment <= _LAST_MOMENT:
        return moment
    raise Invalid(f"{str(time)!r:.40} is no time", field="time", next_step=f"up to {to_iso(_LAST_MOMENT)}")
