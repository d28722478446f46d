"""Indexing the log of before for a new set of label keys: a segment at a time, going on where a crash cut it off."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.monitoring.keyed import join_all
from homeostat.monitoring.keys import KeySet, Row, batch_values, index_rows, key_rows, list_key_sets, set_progress
from homeostat.registry.versions import get_version
from homeostat.serving.scan import scan_unsealed, segment_frame
from homeostat.serving.segments import Segment, list_segments
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

if TYPE_CHECKING:
    import polars as pl

SECONDS_A_LOOK = 2.0
"""How long one look of the loop may index; the rest comes at the next."""


def index_log(database: Database, blobs: BlobStore, folder: Path, *, seconds: float = SECONDS_A_LOOK) -> bool:
    """Index what was logged before a key set was new; true when nothing is left to do."""
    deadline = time.monotonic() + seconds
    while True:
        with database.read() as conn:
            waiting = [one for one in list_key_sets(conn) if one.progress is not None]
        if not waiting:
            return True
        _step(database, blobs, folder, waiting[0])
        if time.monotonic() >= deadline:
            return False


def _step(database: Database, blobs: BlobStore, folder: Path, key_set: KeySet) -> None:
    """First what is in no segment yet, then the segments that there were then, by age."""
    assert key_set.progress is not None  # asked for by `index_log`
    if "until" not in key_set.progress:
        rows, until = _unsealed_rows(database, folder, key_set)
        progress: dict[str, Any] | None = {"after": "", "until": until}
    else:
        segment = _next_segment(database, key_set)
        rows = _segment_rows(database, blobs, key_set, segment) if segment else []
        progress = key_set.progress | {"after": segment.id} if segment else None
    with database.write() as conn:
        index_rows(conn, rows)
        set_progress(conn, key_set, progress)
        if progress is None:
            join_all(conn, key_set.model)


def _unsealed_rows(database: Database, folder: Path, key_set: KeySet) -> tuple[list[Row], str]:
    rows: list[Row] = []
    columns: dict[int, Sequence[str]] = {}
    with database.read() as conn:
        batches, segments = scan_unsealed(conn, folder, lambda batch: batch.model == key_set.model)
        for batch in batches:
            if batch.status == "ok":
                named = _vector_columns(conn, key_set.model, batch.version, columns)
                values = batch_values(batch, key_set.names, named)
                rows += key_rows(key_set, values, batch.times, batch.request_ids)
    return rows, max((segment.id for segment in segments), default="")


def _next_segment(database: Database, key_set: KeySet) -> Segment | None:
    assert key_set.progress is not None
    after, until = key_set.progress["after"], key_set.progress["until"]
    with database.read() as conn:
        left = [one for one in list_segments(conn) if after < one.id <= until and key_set.model in one.models]
    return min(left, key=lambda one: one.id, default=None)


def _segment_rows(database: Database, blobs: BlobStore, key_set: KeySet, segment: Segment) -> list[Row]:
    import polars as pl

    rows: list[Row] = []
    columns: dict[int, Sequence[str]] = {}
    answered = segment_frame(blobs, segment, key_set.model).filter(pl.col("status") == "ok")
    for (version,), part in answered.partition_by("version", as_dict=True).items():
        with database.read() as conn:
            named = _vector_columns(conn, key_set.model, int(version), columns)
        rows += key_rows(
            key_set, _frame_values(part, key_set, named), part["at"].to_list(), part["request_id"].to_list()
        )
    return rows


def _frame_values(frame: "pl.DataFrame", key_set: KeySet, vector_columns: Sequence[str]) -> list[Sequence[Any]]:
    inputs = [msgspec.json.decode(text) for text in frame["inputs"]]
    vectors = frame["vector"].to_list()
    found: list[Sequence[Any]] = []
    for name in key_set.names:
        place = list(vector_columns).index(name) if name in vector_columns else None
        found.append(
            [
                row[name] if name in row else vector[place] if place is not None and vector else None
                for row, vector in zip(inputs, vectors, strict=True)
            ]
        )
    return found


def _vector_columns(conn: Connection, model: str, version: int, known: dict[int, Sequence[str]]) -> Sequence[str]:
    if version not in known:
        try:
            known[version] = tuple(column.name for column in get_version(conn, model, version).signature.columns)
        except NotFound:
            known[version] = ()
    return known[version]
