"""Shipping one spool: stretch after stretch to its target, files before the operations that name them."""

import logging
import os
from pathlib import Path

from homeostat.ground.errors import Conflict, HomeostatError, Invalid, TooLarge, Unavailable
from homeostat.tracking.ops import Files, IngestBatch, Op, Rejected
from homeostat.tracking.spool.decode import Decoder
from homeostat.tracking.spool.folder import FILES, LOG, Header, mapped_log
from homeostat.tracking.spool.records import Stretch, checked_stretches, whole_records
from homeostat.tracking.spool.target import Target

BATCH_BYTES = 6 << 20
"""Bytes of the log that are shipped at once; a record of `RECORD_LIMIT` and a bit more."""
_SMALLEST_BATCH = 1 << 14
_log = logging.getLogger("homeostat")


class Shipment:
    """Reads a spool and hands it over. `position` is what the target has acknowledged."""

    def __init__(self, folder: Path, header: Header, target: Target) -> None:
        self._folder = folder
        self._header = header
        self._target = target
        self._decoder = Decoder(header.run)
        self._descriptor = os.open(folder / LOG, os.O_RDONLY | os.O_CLOEXEC)
        self._decoded = 0
        self._batch_bytes = BATCH_BYTES
        self.position: int | None = None
        """None until the target has been asked."""
        self.damaged = 0
        self.rejected: list[Rejected] = []

    def ship_until(self, end: int) -> int:
        """Ship at most one batch of the whole records before `end`; returns how many bytes it covered.

        Raises:
            Unavailable: when the target is away.
        """
        start = self._known_position()
        if start >= end:
            return 0
        data = os.pread(self._descriptor, min(end - start, 2 * BATCH_BYTES), start)
        data = data[: whole_records(memoryview(data), self._batch_bytes)]
        ops = self._put_files(self._decode(start, data))
        if not self._ship(IngestBatch(self._header.spool, start, start + len(data), ops)):
            return -1
        return len(data)

    @property
    def unnamed(self) -> int:
        """Records that were whole, but whose keys stood in a damaged stretch."""
        return self._decoder.unnamed

    def ship_left(self) -> None:
        """Ship everything of a spool whose writer is gone; damage is passed over, a torn tail is left out."""
        for stretch in self.stretches():
            if stretch.is_damaged:
                self._skip(stretch)
            else:
                while self.ship_until(stretch.end):
                    continue

    def stretches(self) -> list[Stretch]:
        """What the log of a writer that is gone holds."""
        with mapped_log(self._folder) as log:
            return checked_stretches(log)

    def close(self) -> None:
        os.close(self._descriptor)

    def _known_position(self) -> int:
        if self.position is None:
            self.position = self._target.position(self._header.spool)
            if self._decoded < self.position:  # shipped by an earlier process: only the keys of its shapes matter
                self._decode_past(self.position)
        return self.position

    def _decode_past(self, end: int) -> None:
        for stretch in self.stretches():
            while not stretch.is_damaged and self._decoded < min(stretch.end, end):
                self._decoded = max(self._decoded, stretch.start)
                data = os.pread(self._descriptor, min(stretch.end - self._decoded, 2 * BATCH_BYTES), self._decoded)
                self._decode(self._decoded, data[: whole_records(memoryview(data), BATCH_BYTES)])

    def _decode(self, start: int, data: bytes) -> list[Op]:
        ops = self._decoder.decode(data)
        self._decoded = max(self._decoded, start + len(data))
        return ops

    def _put_files(self, ops: list[Op]) -> list[Op]:
        """Bring files before the operations that name them; gives the operations without those whose file is gone."""
        kept: list[Op] = []
        files: dict[str, Path] = {}
        for op in ops:
            if isinstance(op, Files):
                path = self._folder / FILES / op.digest
                if not path.exists():
                    _log.warning("run %s: the bytes of %s are gone from the spool", op.run, op.path)
                    self.rejected.append(Rejected(len(kept), f"the bytes of {op.path} are gone", "path"))
                    continue
                files[op.digest] = path
            kept.append(op)
        self._target.put_files(files)
        return kept

    def _ship(self, batch: IngestBatch) -> bool:
        """Hand a batch over; False when it has to be cut or placed anew."""
        try:
            reply = self._target.ship(batch)
        except Unavailable:
            raise
        except Conflict:
            self.position = None
            return False
        except (TooLarge, Invalid) as error:
            if self._batch_bytes > _SMALLEST_BATCH:
                self._batch_bytes //= 2
                return False
            if not error.field:  # a proxy's word, not our server's: what is refused today may pass tomorrow
                raise
            reply = self._target.ship(self._refused(batch, error))
        self._batch_bytes = min(BATCH_BYTES, 2 * self._batch_bytes)
        self.position = reply.position
        for rejected in reply.rejected:
            _log.warning("run %s: the server refused: %s", self._header.run, rejected.error)
        self.rejected += reply.rejected
        return True

    def _refused(self, batch: IngestBatch, error: HomeostatError) -> IngestBatch:
        """The batch without its operations, which can never be taken in; what comes after them can."""
        _log.warning("run %s: %s", self._header.run, error)
        self.rejected += [Rejected(index, str(error), error.field) for index in range(len(batch.ops))]
        return IngestBatch(batch.spool, batch.start, batch.end, [])

    def _skip(self, stretch: Stretch) -> None:
        self.damaged += stretch.end - stretch.start
        if self._known_position() < stretch.end:
            start = self._known_position()
            self._ship(IngestBatch(self._header.spool, start, stretch.end, []))
