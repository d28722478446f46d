"""Finding what was answered to one request: only the parts of the log that can hold it are read."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import Connection

from homeostat.serving.scan import frame_rows, scan_unsealed
from homeostat.serving.segments import LoggedRow, Segment, rows_of
from homeostat.store.blobs import BlobStore

MOST_SEGMENTS = 50
"""Segments read for an id of which nothing is known: it was refused, failed, or never was."""

_MINTED = re.compile(r"[0-9a-f]{12}7[0-9a-f]{19}")


def find_rows(
    conn: Connection, blobs: BlobStore, folder: Path, request_id: str, *, scored: Sequence[tuple[str, int]] = ()
) -> list[LoggedRow]:
    """Every row of a request: one for each version that saw it. `scored` are model and event time where they are known.

    Let it be the first read of its transaction, as with `scan_log`.
    """
    batches, segments = scan_unsealed(conn, folder, lambda batch: request_id in batch.request_ids)
    found = [row for batch in batches for row in rows_of(batch) if row.request_id == request_id]
    if scored:
        for segment in segments:
            if any(model in segment.models and segment.first_at <= at <= segment.last_at for model, at in scored):
                found += _rows_in(blobs, segment, request_id)
        return found
    for segment in [] if found else _likely(segments, request_id):
        if found := _rows_in(blobs, segment, request_id):
            break
    return found


def _likely(segments: Sequence[Segment], request_id: str) -> list[Segment]:
    """Where an id may be that no version scored: by the time within an id of ours, or else among the newest."""
    if not _MINTED.fullmatch(request_id):
        return sorted(segments, key=lambda one: one.id, reverse=True)[:MOST_SEGMENTS]
    made = request_id[:12]
    # The file's name begins with the id that its worker drew when it started; the segment's own was drawn at sealing.
    possible = [one for one in segments if one.wal[:12] <= made <= one.id[:12]]
    return sorted(possible, key=lambda one: one.id)[:MOST_SEGMENTS]


def _rows_in(blobs: BlobStore, segment: Segment, request_id: str) -> list[LoggedRow]:
    import polars as pl

    rows = pl.scan_parquet(io.BytesIO(blobs.get(segment.digest))).filter(pl.col("request_id") == request_id)
    return list(frame_rows(rows.collect()))
