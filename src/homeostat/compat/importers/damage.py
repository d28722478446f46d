"""What a reader of logs says of bytes that it could not read."""

import msgspec

RECORD_LIMIT = 256 << 20
"""Bytes. A record is held in memory whole; what the tools write stays far below."""


class Damage(msgspec.Struct, frozen=True):
    """Bytes that hold no readable record: `at` from the file's start. `is_tail`: nothing follows them."""

    at: int
    size: int
    reason: str
    is_tail: bool = False
