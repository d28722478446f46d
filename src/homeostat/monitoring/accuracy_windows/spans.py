"""Hours, days and weeks of event time, in UTC; weeks begin on Monday."""

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid

WIDTHS = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
SHIFTS = {"hour": 0, "day": 0, "week": 4 * DAY}
"""1970-01-01 was a Thursday: the first Monday came four days later."""
SPANS = {"hour": 12, "day": 12, "week": 7}
"""Equal parts of a window between which its noise is measured: five minutes, two hours, a day."""
SHOWN = {"hour": 48, "day": 30, "week": 26}
"""Windows that are shown when nobody says which."""
MOST_WINDOWS = 1_000
ENOUGH = 200
"""Predictions that a window should have."""

_SAID = {"1h": "hour", "1d": "day", "7d": "week", "1w": "week"}


def read_window(text: str) -> str:
    """'hour', 'day' or 'week', which may be written '1h', '1d', '7d'.

    Raises:
        Invalid: for any other length: counters and windows would not meet.
    """
    found = _SAID.get(text, text)
    if found not in WIDTHS:
        raise Invalid(f"{text!r:.40} is no window", field="window", next_step="use hour, day or week")
    return found


def start_of(at: int, window: str) -> int:
    """Start of the window that a moment lies in.

    >>> start_of(5 * DAY, "week") == 4 * DAY, start_of(3 * DAY, "week") == -3 * DAY
    (True, True)
    """
    width, shift = WIDTHS[window], SHIFTS[window]
    return (at - shift) // width * width + shift


def windows_between(start: int, end: int, window: str) -> list[tuple[int, int]]:
    """All windows that have a part in [start, end), oldest first.

    Raises:
        Invalid: when there are more than `MOST_WINDOWS`.
    """
    first, width = start_of(start, window), WIDTHS[window]
    if end - first > MOST_WINDOWS * width:
        raise Invalid(
            f"that is more than {MOST_WINDOWS} windows of a {window}",
            field="window",
            next_step="ask for a shorter time, or for longer windows",
        )
    return [(begin, begin + width) for begin in range(first, end, width)]


def fitting_window(predictions: int, span: int) -> str:
    """The shortest window in which enough predictions can be expected, where `span` microseconds had so many.

    >>> fitting_window(10_000, DAY), fitting_window(300, DAY), fitting_window(3, DAY)
    ('hour', 'day', 'week')
    """
    for window in ("hour", "day"):
        if predictions * WIDTHS[window] >= ENOUGH * max(span, 1):
            return window
    return "week"
