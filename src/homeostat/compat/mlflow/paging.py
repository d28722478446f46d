"""Page tokens of lists that are filtered in memory: where the page begins, and a mark of the query it belongs to."""

import base64
import binascii
import hashlib

import msgspec

from homeostat.ground.errors import Invalid


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins."""

    mark: str
    offset: int


def mark_of(*parts: object) -> str:
    """A short name for a query."""
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:12]


def write_token(mark: str, offset: int) -> str:
    """A place as opaque text."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(Place(mark, offset))).decode()


def read_token(token: str | None, mark: str) -> int:
    """The offset a token stands for; 0 without one.

    Raises:
        Invalid: when it is no token, or one of another query.
    """
    if not token:
        return 0
    try:
        place = msgspec.msgpack.decode(base64.urlsafe_b64decode(token.encode()), type=Place)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Invalid("Invalid page token", field="page_token", next_step="leave it out to begin anew") from error
    if place.mark != mark or place.offset < 0:
        raise Invalid(
            "Invalid page token: it belongs to another query",
            field="page_token",
            next_step="send the filter and the order it came from, or leave it out",
        )
    return place.offset
