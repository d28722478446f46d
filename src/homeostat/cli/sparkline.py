"""A series as one line of text."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], *, width: int) -> str:
    """One character for each stretch of values: the height of its highest one; a space where there is none.

    >>> sparkline([0, 1, 2, None, 4, 8], width=6)
    '▁▁▂ ▄█'
    """
    size = max(1, -(-len(values) // width))
    stretches = [values[start : start + size] for start in range(0, len(values), size)]
    highest = [max((value for value in part if value is not None), default=None) for part in stretches]
    known = [value for value in highest if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    reach = (high - low) or 1.0
    return "".join(" " if value is None else _BARS[int((value - low) / reach * (len(_BARS) - 1))] for value in highest)
