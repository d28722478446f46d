"""Carrying runs into a home, in this process."""

from typing import IO

from homeostat.compat.importers.batch import ImportBatch, ImportReply
from homeostat.compat.importers.take_in import take_in
from homeostat.ground.clock import Clock
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


class LocalSink:
    """An open home; each stretch is one transaction."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, *, actor: str = "person") -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._actor = actor

    def take_in(self, batch: ImportBatch) -> ImportReply:
        with self._database.write() as conn:
            return take_in(conn, batch, at=self._clock.now(), actor=self._actor)

    def put(self, source: IO[bytes]) -> tuple[str, int]:
        return self._blobs.put_stream(source)
