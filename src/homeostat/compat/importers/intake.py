"""Where imports arrive: a home's catalogue and blobs; embedded it is the sink itself, a server has a route to it."""

from typing import IO

from homeostat.compat.importers.batch import ImportBatch, ImportReply
from homeostat.compat.importers.model_batch import LoggedModelBatch, RegisteredModelBatch
from homeostat.compat.importers.take_in import take_in
from homeostat.compat.importers.take_logged_model import take_logged_model
from homeostat.compat.importers.take_version import SigningKey, known_version, measure, take_registered_model
from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock
from homeostat.ground.errors import NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

Batch = ImportBatch | LoggedModelBatch | RegisteredModelBatch
"""What may arrive, told apart by its `type`."""


class Intake:
    """An open home; each stretch is one transaction."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Clock, *, signing_key: SigningKey | None = None
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._signing_key = signing_key

    def take_in(self, batch: Batch, who: Identity = LOCAL) -> ImportReply:
        """Take in a stretch.

        Raises:
            Denied: when it is about a project out of reach.
            NotFound: when the bytes of a file have not been stored.
        """
        at = self._clock.now()
        self._check_files(batch)
        if isinstance(batch, RegisteredModelBatch):
            return self._take_registered(batch, at, who)
        who.require_project(batch.head.project if isinstance(batch, ImportBatch) else batch.project)
        with self._database.write() as conn:
            if isinstance(batch, ImportBatch):
                return take_in(conn, batch, at=at, who=who)
            return take_logged_model(conn, batch, at=at, who=who)

    def put(self, source: IO[bytes]) -> tuple[str, int]:
        return self._blobs.put_stream(source)

    def close(self) -> None:
        """The home is whoever's opened it."""

    def _take_registered(self, batch: RegisteredModelBatch, at: int, who: Identity) -> ImportReply:
        who.require_project(batch.name)
        with self._database.read() as conn:
            is_known = known_version(conn, batch) is not None
        # Before the write lock is taken: a large model takes seconds to read.
        measured = None if is_known else measure(batch, self._blobs, self._signing_key, at=at, who=who)
        with self._database.write() as conn:
            return take_registered_model(conn, batch, measured, at=at, who=who)

    def _check_files(self, batch: Batch) -> None:
        files = batch.version.files if isinstance(batch, RegisteredModelBatch) and batch.version else []
        files = files if isinstance(batch, RegisteredModelBatch) else batch.files
        for file in files:
            if not self._blobs.exists(file.digest):
                raise NotFound(
                    f"the bytes of {file.path!r:.120} are not here", field="digest", next_step="upload them first"
                )
