"""Rows of the prediction log, evenly over a stretch of time: for checks that need values and not counters."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from homeostat.ground.records import PredictionBatch
from homeostat.monitoring.breaks.types import Sample
from homeostat.serving.scan import scan_frames, scan_unsealed
from homeostat.serving.segments import Segment
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

if TYPE_CHECKING:
    import polars as pl

MOST_SEGMENTS = 24
"""Sealed parts of the log that a sample reads."""


def log_frames(
    database: Database, blobs: BlobStore, folder: Path, model: str, *, start: int, end: int
) -> "list[pl.DataFrame]":
    """The answered rows of a time, as the log has them in parts."""
    import polars as pl

    with database.read() as conn:
        return [
            frame.filter(pl.col("status") == "ok", pl.col("arm") != "shadow")
            for frame in scan_frames(conn, blobs, folder, model=model, start=start, end=end)
        ]


def sample_vectors(
    database: Database,
    blobs: BlobStore,
    folder: Path,
    model: str,
    version: int,
    *,
    spans: Sequence[tuple[int, int]],
    width: int,
    most: int = 4_000,
) -> list[Sample | None]:
    """Vectors that a version answered in each span, some `most` of them evenly; None where the log has none.

    What is still written to is read once for all spans; of sealed parts `MOST_SEGMENTS` a span, and of these the
    vectors only: inputs are most of the log, and most of the time it takes to read.
    """
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    with database.read() as conn:
        batches, segments = scan_unsealed(
            conn, folder, lambda one: _is_answer(one, model, version) and _meets(one, first, last)
        )
    parts = [_of_batch(one, width) for one in batches if len(one.vectors) == 8 * width * len(one.times)]
    found: list[Sample | None] = []
    for start, end in spans:
        overlapping = [one for one in segments if model in one.models and one.first_at < end and one.last_at >= start]
        step = -(-len(overlapping) // MOST_SEGMENTS) or 1
        sealed = [_of_segment(blobs, one, model, version, width) for one in overlapping[::step]]
        found.append(_thinned([*parts, *sealed], start, end, most))
    return found


def _is_answer(batch: PredictionBatch, model: str, version: int) -> bool:
    return batch.model == model and batch.version == version and batch.status == "ok" and batch.arm != "shadow"


def _meets(batch: PredictionBatch, start: int, end: int) -> bool:
    return bool(batch.times) and min(batch.times) < end and max(batch.times) >= start


def _of_batch(batch: PredictionBatch, width: int) -> Sample:
    values = np.frombuffer(batch.vectors, "<f8").reshape(len(batch.times), width)
    return Sample(at=np.array(batch.times, dtype=np.int64), values=values)


def _of_segment(blobs: BlobStore, segment: Segment, model: str, version: int, width: int) -> Sample:
    import polars as pl

    rows = (
        pl.scan_parquet(io.BytesIO(blobs.get(segment.digest)))
        .filter(pl.col("model") == model, pl.col("version") == version)
        .filter(pl.col("status") == "ok", pl.col("arm") != "shadow", pl.col("vector").list.len() == width)
        .select("at", "vector")
        .collect()
    )
    # None within a vector is what NaN reads as.
    flat = rows["vector"].explode(empty_as_null=False).to_numpy() if len(rows) else np.zeros(0)
    return Sample(at=rows["at"].to_numpy(), values=np.asarray(flat, dtype=np.float64).reshape(len(rows), width))


def _thinned(parts: Sequence[Sample], start: int, end: int, most: int) -> Sample | None:
    chosen = [(one, np.flatnonzero((one.at >= start) & (one.at < end))) for one in parts]
    chosen = [(one, places) for one, places in chosen if len(places)]
    if not chosen:
        return None
    at = np.concatenate([one.at[places] for one, places in chosen])
    values = np.concatenate([one.values[places] for one, places in chosen])
    order = np.argsort(at, kind="stable")[:: max(1, len(at) // most)]
    return Sample(at=at[order], values=values[order])


def refusals(database: Database, folder: Path, model: str, *, since: int, most: int = 200) -> list[str]:
    """What callers were told whose requests were refused, as far as it is in files that are still written to."""
    with database.read() as conn:
        batches, _ = scan_unsealed(conn, folder, lambda one: one.model == model and one.status == "rejected")
    return [one.detail for one in batches if not one.times or one.times[0] >= since][-most:]
