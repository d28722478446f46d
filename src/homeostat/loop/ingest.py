"""From the workers' write-ahead files into the catalogue: exactly once, because position and rows commit together."""

from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.ground.records import ColumnBins, PredictionBatch
from homeostat.loop.declaration import list_declarations
from homeostat.monitoring.keyed import join_key_labels
from homeostat.monitoring.keys import index_batches
from homeostat.monitoring.labels import wake_labels
from homeostat.monitoring.record import record_batches
from homeostat.monitoring.types import Latency
from homeostat.registry.versions import get_version
from homeostat.serving.log import is_finished, read_frames, wal_files
from homeostat.serving.segments import seal, set_wal_position, wal_position
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

CHUNK_BYTES = 8 << 20
"""Bytes of log that one transaction takes in."""


class Ingester:
    """Reads what workers have logged since the last call."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = folder
        self._bins: dict[tuple[str, int], tuple[ColumnBins, ...]] = {}
        self._probabilities: set[tuple[str, int]] = set()
        self._columns: dict[tuple[str, int], tuple[str, ...]] = {}
        self._read: dict[str, int] = {}

    def run(self) -> int:
        """Take in every complete frame and seal the files of workers that are gone; returns the rows taken in.

        Several processes may do this for one folder: position and rows commit together.
        """
        rows = 0
        for path in wal_files(self._folder):
            with suppress(FileNotFoundError):  # another one has just sealed it
                rows += self._file(path)
        return rows

    def _file(self, path: Path) -> int:
        finished = is_finished(path)  # asked before reading: what comes later would be read at the next call
        rows = 0
        if path.stat().st_size > self._read.get(path.name, 0):
            while (taken := self._chunk(path)) > 0:
                rows += taken
        if finished:
            self._seal(path)
        return rows

    def _chunk(self, path: Path) -> int:
        with self._database.write() as conn:
            offset, rows_before = wal_position(conn, path.name)
            batches, end = read_frames(path, offset, max_bytes=CHUNK_BYTES)
            self._read[path.name] = end
            if end == offset:
                return 0
            rows = sum(len(batch.request_ids) for batch in batches)
            self._meet(conn, batches)
            record_batches(conn, batches, bins=self._bins, slow_us=slow_limits(conn), probabilities=self._probabilities)
            wake_labels(conn, batches)
            join_key_labels(conn, index_batches(conn, batches, columns=self._columns))
            set_wal_position(conn, path.name, end, rows_before + rows)
            return max(rows, 1)

    def _meet(self, conn: Connection, batches: list[PredictionBatch]) -> None:
        """Remember of each version what it was trained on, what its vectors hold and what it answers."""
        for key in {(batch.model, batch.version) for batch in batches if batch.status == "ok"} - self._columns.keys():
            try:
                version = get_version(conn, *key)
            except NotFound:  # served from an exported folder: its catalogue is elsewhere
                self._columns[key] = ()
                continue
            self._columns[key] = tuple(column.name for column in version.signature.columns)
            if version.bins:  # registered by hand: nothing to compare with
                self._bins[key] = version.bins
            if version.signature.task == "binary":
                self._probabilities.add(key)

    def _seal(self, path: Path) -> None:
        with self._database.write() as conn:
            seal(conn, self._blobs, path)
        path.unlink(missing_ok=True)


def slow_limits(conn: Connection) -> dict[str, int]:
    """Microseconds over which a request counts as slow, by model, for those that declare hs.latency(...)."""
    return {
        declaration.model: rule.p99
        for declaration in list_declarations(conn)
        for rule in declaration.watch
        if isinstance(rule, Latency)
    }
