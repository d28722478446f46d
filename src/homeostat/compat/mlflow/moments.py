"""Times and durations as proto JSON writes them: `2026-11-23T04:40:49.539Z`, `0.008s`."""

import re

from homeostat.ground.clock import from_iso, to_datetime
from homeostat.ground.errors import Invalid

_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")


def timestamp(moment: int) -> str:
    """A moment (microseconds UTC), with as many digits as it needs: none, three or six.

    >>> timestamp(1795408849539000)
    '2026-11-23T04:40:49.539Z'
    """
    return f"{to_datetime(moment):%Y-%m-%dT%H:%M:%S}{_fraction(moment % 1_000_000)}Z"


def read_timestamp(text: str, field: str) -> int:
    """The moment a text stands for."""
    return from_iso(text, field=field)


def duration(length: int) -> str:
    """A length (microseconds).

    >>> duration(8000)
    '0.008s'
    """
    sign = "-" if length < 0 else ""
    return f"{sign}{abs(length) // 1_000_000}{_fraction(abs(length) % 1_000_000)}s"


def read_duration(text: str, field: str) -> int:
    """The length a text stands for.

    >>> read_duration("1.5s", "execution_duration")
    1500000
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r:.60} is no duration", field=field, next_step="write it like 0.008s")
    length = int(match[2]) * 1_000_000 + int((match[3] or "").ljust(9, "0")[:6])
    return -length if match[1] else length


def _fraction(microseconds: int) -> str:
    if not microseconds:
        return ""
    return f".{microseconds // 1000:03d}" if microseconds % 1000 == 0 else f".{microseconds:06d}"
