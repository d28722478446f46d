"""Which past windows a window may be held against: any, or in a seasonal stream those of the same hour, day or week."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid

WEEK = 7 * DAY
YEAR = 365.25 * DAY
WANTED = 19
"""Comparable windows from which a rank among them says something at 5 %."""

SEASONS = ("hour_of_week", "day_of_week", "week_of_year")


class Timed(Protocol):
    """Anything with a start, microseconds UTC."""

    @property
    def start(self) -> int: ...


One = TypeVar("One", bound=Timed)
Near = Callable[[int, int], bool]
"""Whether two starts are in the same phase."""


def comparable(
    past: Sequence[One], now: int, *, season: str | None = None, wanted: int = WANTED
) -> tuple[str, list[One]]:
    """Past windows that are like one that starts at `now`, and what makes them alike.

    The narrowest likeness of which there are `wanted`: the same hour of the week, then the same hour of working days or
    weekends; the same day of the week, then working days or weekends; within a week of the time of year, then within
    four. Where all are too few: all windows, once they span two whole cycles, so that the season is part of how much
    windows differ. Before that, the few of the narrowest likeness. Days and hours are those of UTC.

    Raises:
        Invalid: for a season that there is not.
    """
    if season is None:
        return "past", list(past)
    for name, near in _likenesses(season):
        alike = [window for window in past if near(window.start, now)]
        if len(alike) >= wanted:
            return name, alike
    cycle = YEAR if season == "week_of_year" else WEEK
    if len(past) >= wanted and now - min(window.start for window in past) >= 2 * cycle:
        return "whole_cycles", list(past)
    name, near = _likenesses(season)[0]
    return name, [window for window in past if near(window.start, now)]


def _likenesses(season: str) -> tuple[tuple[str, Near], ...]:
    match season:
        case "hour_of_week":
            return (season, lambda a, b: a // HOUR % 168 == b // HOUR % 168), ("day_kind", _same_hour_and_kind)
        case "day_of_week":
            return (season, lambda a, b: a // DAY % 7 == b // DAY % 7), ("day_kind", _same_kind)
        case "week_of_year":
            return (
                (season, lambda a, b: _apart_in_year(a, b) <= WEEK),
                ("around_week_of_year", lambda a, b: _apart_in_year(a, b) <= 4 * WEEK),
            )
    raise Invalid(f"there is no season {season!r}", field="season", next_step=f"give one of {', '.join(SEASONS)}")


def _same_hour_and_kind(a: int, b: int) -> bool:
    return a // HOUR % 24 == b // HOUR % 24 and _same_kind(a, b)


def _same_kind(a: int, b: int) -> bool:
    return _is_weekend(a) == _is_weekend(b)


def _is_weekend(at: int) -> bool:
    return (at // DAY + 3) % 7 >= 5  # 1970-01-01 was a Thursday


def _apart_in_year(a: int, b: int) -> float:
    """Microseconds between their times of year."""
    apart = abs(a - b) % YEAR
    return min(apart, YEAR - apart)
