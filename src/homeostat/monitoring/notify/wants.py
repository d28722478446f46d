"""What a channel wants to hear, and when: severity, models, kinds, changes, how long to wait, hours of rest.

homeostat notify add ops 'slack://...' --severity page --model 'late*' --after 30min
"""

import re
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

import msgspec

from homeostat.ground.clock import parse_duration, to_datetime
from homeostat.ground.errors import Invalid
from homeostat.monitoring.alarms import Alarm, rank

CHANGES = ("opened", "reopened", "raised", "acknowledged", "closed")
"""What can be told of an alarm."""
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_MOST_AFTER = 30 * 24 * 3600 * 1_000_000


class Wants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel's wishes. Patterns are of shells: `late*`."""

    severity: str = "warn"
    """This and worse."""
    model: str = "*"
    kind: str = "*"
    changes: tuple[str, ...] = CHANGES
    after: int = 0
    """Microseconds that an alarm must have been open, and nobody have acknowledged it: the next to be called."""
    quiet: str = ""
    """Hours in which only a page gets through, such as '22:00-07:00'; what was held back is told after them."""
    zone: str = "UTC"
    """Whose hours those are, such as 'Europe/Berlin'."""
    digest: int = 5
    """More changes than this at once are told in one message."""

    def concerns(self, alarm: Alarm) -> bool:
        """Whether it is about such an alarm at all."""
        return (
            rank(alarm.severity) >= rank(self.severity)
            and fnmatchcase(alarm.model, self.model)
            and fnmatchcase(alarm.kind, self.kind)
        )

    def rests(self, severity: str, now: int) -> bool:
        """Whether something this bad has to wait for the end of the hours of rest."""
        return severity != "page" and bool(self.quiet) and _is_within(self.quiet, self.zone, now)


def checked(wants: Wants) -> Wants:
    """The wishes, if they can be followed.

    Raises:
        Invalid: naming the field.
    """
    rank(wants.severity)
    unknown = sorted(set(wants.changes) - set(CHANGES))
    if unknown or not wants.changes:
        raise Invalid(
            f"{unknown[0]!r:.40} is no change of an alarm" if unknown else "a channel without changes hears nothing",
            field="changes",
            next_step=f"changes are {', '.join(CHANGES)}",
        )
    for name in ("model", "kind"):
        if not 0 < len(getattr(wants, name)) <= 256:
            raise Invalid(f"{name} is no pattern", field=name, next_step="write it like 'late*', or '*' for all")
    if not 0 <= wants.after <= _MOST_AFTER:
        raise Invalid(f"after is {wants.after}", field="after", next_step="give a duration of up to 30 days")
    if wants.quiet and not _HOURS.fullmatch(wants.quiet):
        raise Invalid(f"{wants.quiet!r:.40} are no hours", field="quiet", next_step="write them like 22:00-07:00")
    if not 1 <= wants.digest <= 1_000:
        raise Invalid(f"digest is {wants.digest}", field="digest", next_step="give 1 to 1,000")
    _zone(wants.zone)
    return wants


def duration(text: str | int) -> int:
    """How long `after` is."""
    return parse_duration(text, field="after")


def _is_within(hours: str, zone: str, now: int) -> bool:
    """Whether a moment lies in hours that may go over midnight.

    >>> from homeostat.ground.clock import HOUR
    >>> [_is_within("22:00-07:00", "UTC", hour * HOUR) for hour in (6, 7, 21, 22)]
    [True, False, False, True]
    """
    found = _HOURS.fullmatch(hours)
    assert found is not None  # `checked` saw to it
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    local = to_datetime(now).astimezone(_zone(zone))
    minute = local.hour * 60 + local.minute
    return start <= minute < end if start <= end else minute >= start or minute < end


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # there without a table of zones
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not there, or no name at all
        raise Invalid(f"{name!r:.60} is no time zone", field="zone", next_step="write it like Europe/Berlin") from error
