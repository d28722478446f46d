"""Sealed parts of the prediction log: a finished write-ahead file becomes one Parquet blob and a row that names it.

The catalogue also holds how far each file has been ingested into the counters (`serving_wal`).
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict
from homeostat.ground.ids import new_id
from homeostat.ground.records import PredictionBatch
from homeostat.serving.log import is_finished, read_all
from homeostat.serving.store import serving_segments, serving_wal
from homeostat.store.blobs import BlobStore
from homeostat.store.dialect import insert_new, upsert

if TYPE_CHECKING:
    import polars as pl

COLUMNS = (
    "request_id",
    "endpoint",
    "model",
    "version",
    "arm",
    "status",
    "at",
    "received",
    "latency_us",
    "protocol",
    "score",
    "detail",
    "feature_hash",
    "vector",
    "inputs",
    "outputs",
)
LATER = {"outputs"}
"""Columns that segments of before do not have."""
_SAME_IN_BATCH = (
    "endpoint",
    "model",
    "version",
    "arm",
    "status",
    "received",
    "latency_us",
    "protocol",
    "detail",
    "feature_hash",
)


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed part of the log."""

    id: str
    wal: str
    """Name of the write-ahead file it was made from."""
    digest: str
    rows: int
    first_at: int
    last_at: int
    models: dict[str, int]
    """Per model, how many rows were answered: status 'ok' and not a shadow's."""


class LoggedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log: what was asked, what the model saw, what was answered."""

    request_id: str
    endpoint: str
    model: str
    version: int
    arm: str
    status: str
    at: int
    """Event time, microseconds UTC."""
    received: int
    latency_us: int
    protocol: str
    score: float | None
    detail: str
    feature_hash: str
    vector: list[float]
    inputs: dict[str, Any]
    outputs: list[float] | None = None
    """All of them, of a version that gives several numbers a row."""


def seal(conn: Connection, blobs: BlobStore, path: Path) -> Segment | None:
    """Turn a finished file into a segment, once; None when it holds no rows. Delete the file after the commit.

    Raises:
        Conflict: when the file is still being written.
        Corrupt: when the file is damaged.
    """
    known = find_segment(conn, path.name)
    if known is not None:
        return known
    segment = build_segment(blobs, path)
    if segment is not None:
        record_segment(conn, segment)
    return segment


def build_segment(blobs: BlobStore, path: Path) -> Segment | None:
    """The slow half of `seal`, which needs no transaction: write the Parquet blob."""
    if not is_finished(path):
        raise Conflict(f"{path.name} is still being written", field="wal", next_step="seal it when its worker is gone")
    batches = [batch for batch in read_all(path) if batch.request_ids]
    if not batches:
        return None
    times = [at for batch in batches for at in batch.times]
    return Segment(
        id=new_id(),
        wal=path.name,
        digest=blobs.put(_to_parquet(batches)),
        rows=len(times),
        first_at=min(times),
        last_at=max(times),
        models=count_answered(batches),
    )


def record_segment(conn: Connection, segment: Segment) -> None:
    """The quick half of `seal`: name the blob; a second time for the same file changes nothing."""
    insert_new(conn, serving_segments, [msgspec.to_builtins(segment)])


def find_segment(conn: Connection, wal: str) -> Segment | None:
    """The segment made from the file of that name, or None."""
    row = conn.execute(serving_segments.select().where(serving_segments.c.wal == wal)).mappings().first()
    return Segment(**row) if row else None


def list_segments(conn: Connection, *, before: int | None = None) -> list[Segment]:
    """All segments, oldest rows first; or only those that end `before` a moment."""
    query = serving_segments.select().order_by(serving_segments.c.first_at, serving_segments.c.id)
    rows = conn.execute(query if before is None else query.where(serving_segments.c.last_at < before))
    return [Segment(**row) for row in rows.mappings()]


def wal_position(conn: Connection, file: str) -> tuple[int, int]:
    """Offset up to which the file of that name was ingested, and how many rows that were; (0, 0) for a new one."""
    columns = serving_wal.c.offset, serving_wal.c.rows
    row = conn.execute(serving_wal.select().with_only_columns(*columns).where(serving_wal.c.file == file)).first()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def set_wal_position(conn: Connection, file: str, offset: int, rows: int) -> None:
    """Remember how far the file was ingested, in the transaction that counted its rows."""
    row = {"file": file, "offset": offset, "rows": rows}
    upsert(conn, serving_wal, [row], key=["file"], update=["offset", "rows"])


def count_answered(batches: Iterable[PredictionBatch]) -> dict[str, int]:
    """Answered rows per model; a model with none is listed with 0."""
    counts: dict[str, int] = {}
    for batch in batches:
        answered = len(batch.request_ids) if batch.status == "ok" and batch.arm != "shadow" else 0
        counts[batch.model] = counts.get(batch.model, 0) + answered
    return counts


def rows_of(batch: PredictionBatch) -> Iterator[LoggedRow]:
    """The rows of a batch one by one."""
    vectors, outputs = split_vectors(batch), split_outputs(batch)
    for place, inputs in enumerate(_input_rows(batch)):
        yield LoggedRow(
            request_id=batch.request_ids[place],
            endpoint=batch.endpoint,
            model=batch.model,
            version=batch.version,
            arm=batch.arm,
            status=batch.status,
            at=batch.times[place],
            received=batch.received,
            latency_us=batch.latency_us,
            protocol=batch.protocol,
            score=batch.scores[place] if batch.scores else None,
            detail=batch.detail,
            feature_hash=batch.feature_hash,
            vector=vectors[place],
            inputs=inputs,
            outputs=outputs[place],
        )


def split_vectors(batch: PredictionBatch) -> list[list[float]]:
    """The feature vector of each row; empty ones when the batch was not scored."""
    return _matrix_rows(batch.vectors, batch) or [[] for _ in batch.request_ids]


def split_outputs(batch: PredictionBatch) -> list[list[float]] | list[None]:
    """All outputs of each row; None for a version that gives one number."""
    return _matrix_rows(batch.outputs, batch) or [None] * len(batch.request_ids)


def _matrix_rows(packed: bytes, batch: PredictionBatch) -> list[list[float]]:
    if not packed:
        return []
    rows: list[list[float]] = np.frombuffer(packed, "<f8").reshape(len(batch.request_ids), -1).tolist()
    return rows


def _input_rows(batch: PredictionBatch) -> list[dict[str, Any]]:
    places = range(len(batch.request_ids))
    return [{name: values[place] for name, values in batch.inputs.items()} for place in places]


def _to_parquet(batches: list[PredictionBatch]) -> bytes:
    target = io.BytesIO()
    frame_of(batches).write_parquet(target, compression="zstd")
    return target.getvalue()


def frame_of(batches: Iterable[PredictionBatch]) -> "pl.DataFrame":
    """The rows of batches as a frame with `COLUMNS`: `vector` and `outputs` lists of floats, `inputs` JSON text."""
    import polars as pl

    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for batch in batches:
        count = len(batch.request_ids)
        for name in _SAME_IN_BATCH:
            columns[name] += [getattr(batch, name)] * count
        columns["request_id"] += batch.request_ids
        columns["at"] += batch.times
        columns["score"] += batch.scores or [None] * count
        columns["vector"] += split_vectors(batch)
        columns["outputs"] += split_outputs(batch)
        columns["inputs"] += [msgspec.json.encode(inputs).decode() for inputs in _input_rows(batch)]
    return pl.DataFrame(columns, schema=frame_schema())


def frame_schema() -> dict[str, Any]:
    """The types of `COLUMNS`."""
    import polars as pl

    return dict.fromkeys(COLUMNS, pl.String) | {
        "version": pl.Int64,
        "at": pl.Int64,
        "received": pl.Int64,
        "latency_us": pl.Int64,
        "score": pl.Float64,
        "vector": pl.List(pl.Float64),
        "outputs": pl.List(pl.Float64),
    }
