"""Frames of the log as one Arrow IPC stream, a frame at a time: however much it is, little of it is in memory."""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_END = b"\xff\xff\xff\xff\0\0\0\0"


def arrow_stream(frames: Iterable["pl.DataFrame"]) -> Iterator[bytes]:
    """One stream of frames that have one schema; nothing at all when there are none.

    Each frame is written as a stream of its own, of which the schema (the first message, which has no body) and the
    end mark are needed once.
    """
    import polars as pl

    is_first = True
    for frame in frames:
        held = io.BytesIO()
        frame.rechunk().write_ipc_stream(held, compression="zstd", compat_level=pl.CompatLevel.oldest())
        data = held.getvalue().removesuffix(_END)
        schema = 8 + int.from_bytes(data[4:8], "little")
        yield data if is_first else data[schema:]
        is_first = False
    if not is_first:
        yield _END
