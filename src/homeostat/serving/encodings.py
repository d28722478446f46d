"""Compressed request bodies (`Content-Encoding`), inflated to no more than a body may have."""

import zlib

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.serving.types import WrongContentType

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before it was compressed.

    Raises:
        WrongContentType: for an encoding that is not read here.
        Invalid: when it is not what the header says. TooLarge: when it grows over the limit.
    """
    kind = encoding.strip().lower()
    if kind in {"", "identity"}:
        return body
    if kind not in _WINDOW_BITS:
        raise WrongContentType(
            f"bodies are not read in {kind!r:.40}", field="content-encoding", next_step="use gzip, deflate or nothing"
        )
    reader = zlib.decompressobj(_WINDOW_BITS[kind])
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error as error:
        raise Invalid(
            f"the body is not {kind}: {error}", field="body", next_step="mend it, or send it plain"
        ) from error
    if len(plain) > limit:
        raise TooLarge(
            f"the body is over {limit} bytes", field="body", next_step="send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB"
        )
    if not reader.eof:
        raise Invalid("the body ends within its compressed data", field="body", next_step="send it whole")
    return plain
