"""How late labels are, and until when more of them are to be expected."""

from collections.abc import Iterable

import numpy as np

from homeostat.ground.clock import SECOND
from homeostat.monitoring.accuracy_windows.types import Ints, Lateness

PER_DECADE = 20
"""Buckets are 12 % wide, from a second up."""
MOST = 9 * PER_DECADE
"""A thousand million seconds; nobody waits longer."""
MATURE = 200
"""Labels of windows that are through, from which on only such windows are asked."""

Late = tuple[tuple[int, int], ...]


def lateness_of(delays: Ints) -> Lateness | None:
    """Median, 90 % and 99 % of delays in microseconds; None without any."""
    if not len(delays):
        return None
    median, p90, p99 = (int(value) for value in np.quantile(delays, (0.5, 0.9, 0.99), method="inverted_cdf"))
    return Lateness(median, p90, p99)


def counted(delays: Ints) -> Late:
    """Delays by bucket, those that occur."""
    seconds = np.maximum(delays / SECOND, 1.0)
    buckets = np.minimum(np.ceil(np.log10(seconds) * PER_DECADE), MOST).astype(np.int64)
    found, counts = np.unique(buckets, return_counts=True)
    return tuple(zip(found.tolist(), counts.tolist(), strict=True))


def usual_lateness(windows: Iterable[tuple[int, Late]], now: int) -> int | None:
    """The lateness (microseconds) within which 99 % of labels come, by all that is known so far; None without labels.

    `windows` are ends and labels by bucket. In a young window only the quick labels have come, so once there are
    enough old ones the young are left out: the 99 % of all windows says which are young.
    """
    known = list(windows)
    usual = _quantile(known)
    if usual is None:
        return None
    old = [(end, late) for end, late in known if end + usual <= now]
    if sum(count for _, late in old for _, count in late) >= MATURE:
        return _quantile(old)
    return usual


def _quantile(windows: Iterable[tuple[int, Late]], share: float = 0.99) -> int | None:
    counts = np.zeros(MOST + 1, dtype=np.int64)
    for _, late in windows:
        for bucket, count in late:
            counts[bucket] += count
    growing = np.cumsum(counts)
    if not growing[-1]:
        return None
    bucket = int(np.searchsorted(growing, share * growing[-1], side="left"))
    return round(10 ** (bucket / PER_DECADE) * SECOND)
