"""Shipping into a catalogue of this process."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from homeostat.ground.clock import Clock
from homeostat.ground.errors import NotFound, Unavailable
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking.ingest import ingest, spool_position
from homeostat.tracking.ops import IngestBatch, IngestReply
from homeostat.tracking.spool.bundles import bundles_of, is_small
from homeostat.tracking.spool.known import known_run
from homeostat.tracking.spool.target import KnownRun


class CatalogueTarget:
    """Takes in spools where the catalogue is."""

    def __init__(
        self, database: Database, blobs: BlobStore, *, clock: Clock, actor: str = "person", owns_database: bool = False
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._actor = actor
        self._owns_database = owns_database

    def position(self, spool: str) -> int:
        with self._database.read() as conn:
            return spool_position(conn, spool)

    def ship(self, batch: IngestBatch) -> IngestReply:
        try:
            with self._database.write() as conn:
                return ingest(conn, batch, at=self._clock.now(), actor=self._actor)
        except sa.exc.OperationalError as error:
            raise Unavailable(
                "the catalogue is busy or away", field="database", next_step="it is tried again"
            ) from error

    def put_files(self, files: Mapping[str, Path]) -> None:
        new = [path for digest, path in files.items() if not self._blobs.exists(digest)]
        for bundle in bundles_of(new):
            self._blobs.put_many([path.read_bytes() for path in bundle])
        for path in new:
            if not is_small(path):
                self._blobs.put_file(path)

    def run(self, run_id: str) -> KnownRun | None:
        try:
            with self._database.read() as conn:
                return known_run(conn, run_id)
        except NotFound:
            return None

    def close(self) -> None:
        if self._owns_database:
            self._database.close()
