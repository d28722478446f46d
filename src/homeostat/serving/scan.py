"""Reading the whole prediction log: sealed segments and files still being written, no row twice."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.records import PredictionBatch
from homeostat.serving.log import stream_batches, wal_files
from homeostat.serving.segments import (
    COLUMNS,
    LATER,
    LoggedRow,
    Segment,
    count_answered,
    frame_of,
    frame_schema,
    list_segments,
    rows_of,
)
from homeostat.store.blobs import BlobStore

if TYPE_CHECKING:
    import polars as pl

FRAME_ROWS = 50_000
"""Rows of a file still being written that make a frame."""


def scan_log(
    conn: Connection,
    blobs: BlobStore,
    folder: Path,
    *,
    model: str | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Iterator[LoggedRow]:
    """Rows with start <= at < end, segments first.

    Let it be the first read of its transaction: an older snapshot may not know a segment whose file is gone already.
    """
    lower = start if start is not None else -(1 << 63)
    upper = end if end is not None else (1 << 63) - 1
    with ExitStack() as stack:
        streams, segments = _open_all(conn, folder, stack)
        for segment in segments:
            if (model is None or model in segment.models) and segment.first_at < upper and segment.last_at >= lower:
                yield from _segment_rows(blobs, segment, model, lower, upper)
        for path, stream in streams:
            for batch in stream_batches(stream, path):
                if model is None or batch.model == model:
                    yield from (row for row in rows_of(batch) if lower <= row.at < upper)


def scan_frames(
    conn: Connection,
    blobs: BlobStore,
    folder: Path,
    *,
    model: str,
    start: int | None = None,
    end: int | None = None,
) -> Iterator["pl.DataFrame"]:
    """The log of a model, start <= at < end, as frames that `segments.frame_of` makes; for work on many rows."""
    import polars as pl

    lower = start if start is not None else -(1 << 63)
    upper = end if end is not None else (1 << 63) - 1
    inside = (pl.col("at") >= lower) & (pl.col("at") < upper)
    with ExitStack() as stack:
        streams, segments = _open_all(conn, folder, stack)
        for segment in segments:
            if model in segment.models and segment.first_at < upper and segment.last_at >= lower:
                yield segment_frame(blobs, segment, model).filter(inside)
        for path, stream in streams:
            yield from (frame.filter(inside) for frame in _stream_frames(path, stream, model))


def segment_frame(blobs: BlobStore, segment: Segment, model: str) -> "pl.DataFrame":
    """A model's rows of a segment, with all of `COLUMNS`."""
    import polars as pl

    frame = pl.read_parquet(io.BytesIO(blobs.get(segment.digest))).filter(pl.col("model") == model)
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in frame_schema().items() if name not in frame.columns]
    return frame.with_columns(missing).select(COLUMNS)


def scan_unsealed(
    conn: Connection, folder: Path, wanted: Callable[[PredictionBatch], bool]
) -> tuple[list[PredictionBatch], list[Segment]]:
    """Batches that are in no segment yet, and the segments that there are at the same moment."""
    with ExitStack() as stack:
        streams, segments = _open_all(conn, folder, stack)
        batches = [batch for path, stream in streams for batch in stream_batches(stream, path) if wanted(batch)]
    return batches, segments


def _stream_frames(path: Path, stream: IO[bytes], model: str) -> Iterator["pl.DataFrame"]:
    held: list[PredictionBatch] = []
    rows = 0
    for batch in stream_batches(stream, path):
        if batch.model == model:
            held.append(batch)
            rows += len(batch.request_ids)
        if rows >= FRAME_ROWS:
            yield frame_of(held)
            held, rows = [], 0
    if held:
        yield frame_of(held)


def count_predictions(conn: Connection, folder: Path, *, model: str | None = None) -> int:
    """Answered rows in the whole log: status 'ok', not a shadow's. Segments are counted from the catalogue."""
    with ExitStack() as stack:
        streams, segments = _open_all(conn, folder, stack)
        parts = [segment.models for segment in segments]
        parts += [count_answered(stream_batches(stream, path)) for path, stream in streams]
    return sum(rows for part in parts for name, rows in part.items() if model in {None, name})


def _open_all(conn: Connection, folder: Path, stack: ExitStack) -> tuple[list[tuple[Path, IO[bytes]]], list[Segment]]:
    # Files are opened before the segments are listed: one that is sealed and removed in between stays readable here,
    # and is then left out because its segment is listed.
    opened: dict[str, tuple[Path, IO[bytes]]] = {}
    for path in wal_files(folder):
        try:
            opened[path.name] = path, stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            continue
    segments = list_segments(conn)
    for segment in segments:
        opened.pop(segment.wal, None)
    return list(opened.values()), segments


def _segment_rows(blobs: BlobStore, segment: Segment, model: str | None, lower: int, upper: int) -> Iterator[LoggedRow]:
    import polars as pl

    data = blobs.get(segment.digest)
    there = pl.read_parquet_schema(io.BytesIO(data)).keys()
    frame = pl.read_parquet(io.BytesIO(data), columns=[name for name in COLUMNS if name in there or name not in LATER])
    frame = frame.filter((pl.col("at") >= lower) & (pl.col("at") < upper))
    if model is not None:
        frame = frame.filter(pl.col("model") == model)
    yield from frame_rows(frame)


def frame_rows(frame: "pl.DataFrame") -> Iterator[LoggedRow]:
    """The rows of a frame of `COLUMNS`."""
    for row in frame.iter_rows(named=True):
        yield LoggedRow(**(row | {"inputs": msgspec.json.decode(row["inputs"])}))
