"""What every part of a run's client builds on: the open spool behind a run."""

import functools
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.ground.ids import new_id
from homeostat.tracking.ops import Op
from homeostat.tracking.place import Place
from homeostat.tracking.spool.folder import Header, remove_spool, spools_of
from homeostat.tracking.spool.points import PointLog
from homeostat.tracking.spool.records import OP, RECORD_LIMIT
from homeostat.tracking.spool.sender import Sender
from homeostat.tracking.spool.writer import SpoolWriter

_log = logging.getLogger("homeostat")


class Outlet:
    """An open spool and, unless it is offline, its sender."""

    def __init__(
        self,
        place: Place,
        *,
        run: str,
        project: str,
        opening: Sequence[Op],
        steps: Mapping[str, int],
        ends_run: bool = True,
    ) -> None:
        self.place = place
        self.run = run
        spool, now = new_id(), place.clock.now()
        header = Header(
            spool=spool, run=run, project=project, target=place.target, pid=os.getpid(), created=now, ends_run=ends_run
        )
        self.writer = SpoolWriter(spools_of(place.home) / spool, header)
        for op in opening:
            self.write(op)
        self.points = PointLog(self.writer, place.clock, steps=steps)
        open_target = functools.partial(place.open_target, place.target)
        self.sender = None if place.is_offline else Sender(self.writer, open_target)

    def write(self, op: Op) -> None:
        """Write an operation.

        Raises:
            Invalid: when it is too large for a record.
        """
        payload = OP + msgspec.msgpack.encode(op)
        if len(payload) > RECORD_LIMIT:
            what = type(op).__name__.lower()
            raise Invalid(
                f"{what} of {len(payload)} bytes are too much for one record (limit {RECORD_LIMIT})",
                field=what,
                next_step="keep large text as an artifact",
            )
        self.writer.append(payload)

    def wake(self) -> None:
        """Send what is there now."""
        if self.sender:
            self.sender.wake()

    def close(self) -> None:
        """Wait, for a bounded time, until all has arrived; say what has not."""
        self.writer.write_waiting()
        arrived = self.sender.wait(self.place.wait) if self.sender else False
        if self.sender:
            self.sender.stop()
        if arrived and not self.writer.waiting:
            remove_spool(self.writer.folder)  # before its lock is given up: nobody finds it half removed
        self.writer.close()
        self._say_what_is_left(arrived=arrived)

    def _say_what_is_left(self, *, arrived: bool) -> None:
        sender, home = self.sender, self.place.home
        if self.writer.lost:
            _log.warning("run %s: %d records were lost, the disk was full", self.run, self.writer.lost)
        if sender and sender.rejected:
            _log.warning("run %s: the server refused %d operations", self.run, len(sender.rejected))
        if sender and not arrived:
            size, reason = sender.left / 1e6, f" ({sender.problem})" if sender.problem else ""
            text = "run %s: %.1f MB are not sent yet%s; ship them with: homeostat sync --home %s"
            _log.warning(text, self.run, size, reason, home)


class OpenRun(ABC):
    """A run that can be written to."""

    id: str

    @abstractmethod
    def _begun(self) -> Outlet:
        """The open spool, opened now if it is not yet."""

    def log_metrics(self, values: Mapping[str, Any], *, step: int | None = None) -> None:
        """Log a number for each name. Without a step each series counts by itself.

        Raises:
            Invalid: when a value is not a number; the message names it.
        """
        self._begun().points.log(values, step)
