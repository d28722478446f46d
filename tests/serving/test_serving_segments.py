"""Sealing, positions, and reading the whole log with no row twice."""

import io
import json
from pathlib import Path

import polars as pl
import pytest
from serving_linear import batch

from homeostat.ground.errors import Conflict
from homeostat.serving.log import PredictionLog, wal_files
from homeostat.serving.scan import count_predictions, scan_log
from homeostat.serving.segments import COLUMNS, list_segments, seal, set_wal_position, wal_position
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def write(folder: Path, *numbers: int, model: str = "late", close: bool = True) -> PredictionLog:
    log = PredictionLog(folder)
    for number in numbers:
        one = batch(number)
        one.model = model
        log.append([one])
    if close:
        log.close()
    return log


def test_a_finished_file_becomes_a_parquet_segment_once(database: Database, blobs: BlobStore, tmp_path: Path) -> None:
    write(tmp_path, 5, 3, 9)
    [path] = wal_files(tmp_path)
    with database.write() as conn:
        segment = seal(conn, blobs, path)
    with database.write() as conn:
        assert seal(conn, blobs, path) == segment
        assert list_segments(conn) == [segment]
    assert segment is not None
    assert (segment.wal, segment.rows, segment.first_at, segment.last_at) == (path.name, 3, 3, 9)
    assert segment.models == {"late": 3}
    frame = pl.read_parquet(io.BytesIO(blobs.get(segment.digest)))
    assert tuple(frame.columns) == COLUMNS
    assert frame["request_id"].to_list() == ["r5", "r3", "r9"]
    assert frame["vector"].to_list() == [[0.0, 0.0]] * 3
    assert json.loads(frame["inputs"][0]) == {"carrier": "AA", "distance": 1.5}


def test_a_file_that_is_being_written_is_not_sealed(
    sqlite_database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    log = write(tmp_path, 1, close=False)
    with sqlite_database.write() as conn, pytest.raises(Conflict, match="still being written"):
        seal(conn, blobs, wal_files(tmp_path)[0])
    log.close()


def test_a_rejected_request_is_sealed_with_its_reason(
    sqlite_database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    log = PredictionLog(tmp_path)
    refused = batch(1)
    refused.status, refused.detail = "rejected", "distance: not a number"
    refused.vectors, refused.scores, refused.inputs = b"", [], {}
    log.append([refused])
    log.close()
    with sqlite_database.write() as conn:
        seal(conn, blobs, wal_files(tmp_path)[0])
        wal_files(tmp_path)[0].unlink()
        [row] = scan_log(conn, blobs, tmp_path)
        assert (row.status, row.detail, row.score, row.vector) == ("rejected", "distance: not a number", None, [])
        assert count_predictions(conn, tmp_path, model="late") == 0


def test_segments_and_live_files_are_read_together_and_no_row_twice(
    database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    write(tmp_path, 1, 2)
    [first] = wal_files(tmp_path)
    write(tmp_path, 3, model="other")
    [second] = set(wal_files(tmp_path)) - {first}
    log = write(tmp_path, 4, 5, close=False)
    with database.write() as conn:
        seal(conn, blobs, first)  # its file is still there, as after a crash between commit and removal
        seal(conn, blobs, second)
    second.unlink()
    with database.read() as conn:
        everything = [row.request_id for row in scan_log(conn, blobs, tmp_path)]
        assert sorted(everything) == ["r1", "r2", "r3", "r4", "r5"]
        late = [row.request_id for row in scan_log(conn, blobs, tmp_path, model="late", start=2, end=5)]
        assert late == ["r2", "r4"]
        assert count_predictions(conn, tmp_path) == 5
        assert count_predictions(conn, tmp_path, model="late") == 4
    log.close()


def test_sealed_and_live_rows_look_alike(sqlite_database: Database, blobs: BlobStore, tmp_path: Path) -> None:
    write(tmp_path, 1)
    with sqlite_database.write() as conn:
        live = list(scan_log(conn, blobs, tmp_path))
        seal(conn, blobs, wal_files(tmp_path)[0])
        assert list(scan_log(conn, blobs, tmp_path)) == live


def test_shadows_are_not_counted_as_predictions(sqlite_database: Database, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    shadow = batch(2)
    shadow.arm = "shadow"
    log.append([batch(1), shadow])
    with sqlite_database.read() as conn:
        assert count_predictions(conn, tmp_path) == 1
    log.close()


def test_a_position_is_remembered(database: Database) -> None:
    with database.write() as conn:
        assert wal_position(conn, "a-0.wal") == (0, 0)
        set_wal_position(conn, "a-0.wal", 120, 3)
        set_wal_position(conn, "a-0.wal", 5_000_000_000, 9)
        assert wal_position(conn, "a-0.wal") == (5_000_000_000, 9)
