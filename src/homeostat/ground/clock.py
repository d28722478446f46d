"""Time: whole microseconds since 1970 in UTC, read from a clock that is handed in.

Whatever decides (windows, label delays, bake times) reads a `Clock`. Live, a replay of a year and a test run the
same code; only the clock differs. Leases and timeouts of real work use the machine's own time instead.
"""

import re
import time
from datetime import UTC, datetime
from typing import Protocol

from homeostat.ground.errors import Invalid

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

FIRST, LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND
"""Years 1 to 9999: what a datetime can say."""

_UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


class Clock(Protocol):
    """Says what time it is, in microseconds since 1970 UTC."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000


class DrivenClock:
    """A clock that moves when it is told to: replays and tests. It never goes back."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance_to(self, moment: int) -> None:
        """Move to `moment`.

        Raises:
            Invalid: when `moment` lies before the current time.
        """
        if moment < self._now:
            raise Invalid(
                f"the clock stands at {to_iso(self._now)} and cannot go back to {to_iso(moment)}",
                field="now",
                next_step="send a later time",
            )
        self._now = moment


def parse_duration(text: str | int, *, field: str = "duration") -> int:
    """Microseconds of '90s', '15min', '3h', '60d', '2w'; a bare integer is microseconds already.

    >>> parse_duration("3h") // HOUR
    3
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text)
    if match is None or match[2] not in _UNITS:
        raise Invalid(f"{text!r} is not a duration", field=field, next_step="write it like '50ms', '15min', '3h', '7d'")
    unit = _UNITS[match[2]]
    return int(match[1]) * unit if match[1].isdecimal() else round(float(match[1]) * unit)


def format_duration(microseconds: int) -> str:
    """The shortest exact spelling that `parse_duration` reads back.

    >>> format_duration(90 * MINUTE), format_duration(7 * DAY)
    ('90min', '7d')
    """
    for unit in ("d", "h", "min", "s", "ms"):
        if microseconds % _UNITS[unit] == 0:
            return f"{microseconds // _UNITS[unit]}{unit}"
    return f"{microseconds}us"


def to_iso(moment: int) -> str:
    """ISO 8601 in UTC, to the second when there is nothing finer.

    >>> to_iso(0)
    '1970-01-01T00:00:00Z'
    """
    return to_datetime(moment).isoformat().replace("+00:00", "Z")


def from_iso(text: str, *, field: str = "time") -> int:
    """Microseconds of an ISO 8601 time; without a zone it is read as UTC.

    >>> to_iso(from_iso("2013-03-12T08:00:00Z"))
    '2013-03-12T08:00:00Z'
    """
    try:
        return from_datetime(datetime.fromisoformat(text))
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time", field=field, next_step="write it like 2013-03-12T08:00:00Z") from error


def parse_moment(given: str | int, *, field: str = "time") -> int:
    """Microseconds of a time: ISO 8601 text, or microseconds already (a number, or its digits).

    >>> parse_moment("2013-03-12T08:00:00Z") == parse_moment("1363075200000000") == parse_moment(1363075200000000)
    True
    """
    if isinstance(given, str):
        is_number = given.removeprefix("-").isdecimal() and len(given) < 20
        given = int(given) if is_number else from_iso(given, field=field)
    if not FIRST <= given < LAST:
        raise Invalid(f"{given} is not a time", field=field, next_step="write it like 2013-03-12T08:00:00Z")
    return given


def from_datetime(moment: datetime) -> int:
    """Microseconds since 1970; a naive datetime is read as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def to_datetime(moment: int) -> datetime:
    """The aware UTC datetime of a moment."""
    seconds, rest = divmod(moment, SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
