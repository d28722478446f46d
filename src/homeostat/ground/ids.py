"""Identifiers: UUIDv7 as 32 hex characters, ordered by the time they were made (RFC 9562, section 5.7)."""

import os
import re
import time

from homeostat.ground.errors import Invalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def new_id() -> str:
    """A fresh id; later ids sort after earlier ones (to the millisecond).

    >>> len(new_id()), new_id()[12]
    (32, '7')
    """
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    high, low = noise >> 68, noise & ((1 << 62) - 1)
    return f"{milliseconds & ((1 << 48) - 1):012x}7{high:03x}{(0b10 << 62) | low:016x}"


def new_ids(count: int) -> list[str]:
    """Many fresh ids at a fifth of `new_id`'s price each: one look at the clock, and noise that was drawn in advance.

    >>> len(set(new_ids(300))), {len(one) for one in new_ids(3)}
    (300, {32})
    """
    head = f"{time.time_ns() // 1_000_000 & ((1 << 48) - 1):012x}7"
    return [head + _noise() for _ in range(count)]


_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)  # a child must not give what its parent gives


def _noise() -> str:
    """The random 19 hex digits of an id, the variant's among them. Taking from a list is one step for all threads."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            noise = os.urandom(9 * 256).hex()
            _drawn.extend(f"{noise[at : at + 3]}8{noise[at + 3 : at + 18]}" for at in range(0, 18 * 256, 18))


def check_name(name: str, *, what: str) -> str:
    """`name` if it can be a project, model, view or endpoint name; it is used in URLs and file names.

    Raises:
        Invalid: for anything but 1 to 128 letters, digits, `_`, `.`, `-` that starts with a letter or digit.
    """
    if NAME.fullmatch(name):
        return name
    raise Invalid(
        f"{what} name {name!r} is not usable",
        field="name",
        next_step="use 1 to 128 letters, digits, '_', '.', '-', starting with a letter or a digit",
    )
