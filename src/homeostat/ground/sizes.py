"""Sizes: whole bytes, spelled the way people write them."""

import re

from homeostat.ground.errors import Invalid

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def parse_size(text: str | int, *, field: str = "size") -> int:
    """Bytes of '500MB', '1.5GB', '256MiB'; a bare integer is bytes already.

    >>> parse_size("500MB"), parse_size("2KiB")
    (500000000, 2048)
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", text)
    if match is None or match[2].lower() not in _UNITS:
        raise Invalid(f"{text!r} is not a size", field=field, next_step="write it like '500MB' or '1.5GB'")
    return round(float(match[1]) * _UNITS[match[2].lower()])


def format_size(size: int) -> str:
    """The shortest spelling to three digits.

    >>> format_size(500_000_000), format_size(1_234_567), format_size(12)
    ('500MB', '1.23MB', '12B')
    """
    for unit in ("gb", "mb", "kb"):
        if abs(size) >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g}{unit.upper()}"
    return f"{size}B"
