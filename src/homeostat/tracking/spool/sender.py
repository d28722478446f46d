"""The background sender of a run: ships its spool while it is written. A server that is away costs it nothing."""

import logging
import sys
import threading
import time
from collections.abc import Callable

from homeostat.ground.errors import Denied, HomeostatError, Unavailable
from homeostat.tracking.ops import Rejected
from homeostat.tracking.spool.shipment import Shipment
from homeostat.tracking.spool.target import Target
from homeostat.tracking.spool.writer import SpoolWriter

ROUND_SECONDS = 0.7
"""Between rounds: points of a round are shipped together, and the training loop has the interpreter to itself."""
_LONGEST_WAIT = 30.0
_SAY_AFTER = 2.0
_GIVE_UP_AFTER = 10.0
"""Seconds without any progress after which the end of a run no longer waits for a server."""
_log = logging.getLogger("homeostat")


class Sender:
    """A daemon thread for one spool."""

    def __init__(self, writer: SpoolWriter, open_target: Callable[[], Target]) -> None:
        self._writer = writer
        self._open_target = open_target
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._acknowledged = 0
        self._failures = 0
        self._said = ""
        self._is_waited_for = False
        self.problem = ""
        """Why the last round did not ship; empty when it did."""
        self.rejected: list[Rejected] = []
        self._thread = threading.Thread(target=self._run, name="homeostat-sender", daemon=True)
        self._thread.start()

    @property
    def left(self) -> int:
        """Bytes of the spool that are not acknowledged."""
        return self._writer.end - self._acknowledged

    def wake(self) -> None:
        """Ship now."""
        self._wake.set()

    def wait(self, seconds: float) -> bool:
        """Wait until all that is written now is acknowledged; False when that took too long."""
        goal, begun = self._writer.end, time.monotonic()
        progress, seen, say_at = begun, self._acknowledged, begun + _SAY_AFTER
        self._is_waited_for = True
        self._wake.set()
        while self._acknowledged < goal and self._thread.is_alive():
            now = time.monotonic()
            if self._acknowledged != seen:
                progress, seen = now, self._acknowledged
            if now - begun > seconds or now - progress > min(_GIVE_UP_AFTER, seconds):
                break
            if now >= say_at:
                self._say(goal)
                say_at = now + _SAY_AFTER
            time.sleep(0.002 if now - begun < 0.2 else 0.05)
        self._is_waited_for = False
        return self._acknowledged >= goal

    def stop(self) -> None:
        """End the thread; what is not shipped stays in the spool."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        target: Target | None = None
        shipment: Shipment | None = None
        while not self._stop.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            if self._stop.is_set():
                break
            try:
                if target is None or shipment is None:
                    target = self._open_target()
                    shipment = Shipment(self._writer.folder, self._writer.header, target)
                    self.rejected = shipment.rejected
                self._round(shipment)
                self._failures, self.problem = 0, ""
            except HomeostatError as error:
                self._failed(error, str(error))
            except Exception as error:  # noqa: BLE001  training goes on, whatever happens to its record
                self._failed(error, f"{type(error).__name__}: {error}")
            if shipment is not None and self._failures:
                shipment.position = None  # whether the last stretch arrived is for the target to say
        if shipment is not None:
            shipment.close()
        if target is not None:
            target.close()

    def _round(self, shipment: Shipment) -> None:
        if self._writer.waiting:
            self._writer.write_waiting()
        end = self._writer.end
        while not self._stop.is_set():
            done = shipment.ship_until(end)
            if shipment.position is not None:
                self._acknowledged = shipment.position
            if not done:
                return

    def _pause(self) -> float:
        if not self._failures:
            return ROUND_SECONDS
        longest = 1.0 if self._is_waited_for else _LONGEST_WAIT
        return float(min(longest, 0.25 * 2 ** min(self._failures, 10)))

    def _failed(self, error: Exception, text: str) -> None:
        self._failures += 1
        self.problem = text
        if text != self._said:
            self._said = text
            # A server that is away is no news; what needs a person's hand is.
            level = (
                logging.INFO if isinstance(error, Unavailable) and not isinstance(error, Denied) else logging.WARNING
            )
            _log.log(level, "run %s is kept in the spool for now: %s", self._writer.header.run, text)

    def _say(self, goal: int) -> None:
        left = max(0, goal - self._acknowledged) / 1e6
        reason = f" ({self.problem})" if self.problem else ""
        sys.stderr.write(f"homeostat: run {self._writer.header.run}: {left:.1f} MB to send{reason}\n")
