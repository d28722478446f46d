"""The loop itself: look at what happened, move what is moving, start what is called for."""

import math
import threading
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, SECOND, Clock, DrivenClock, SystemClock, parse_duration
from homeostat.ground.settings import Settings
from homeostat.loop.accuracy import AccuracyKeeper
from homeostat.loop.cycle import CycleSteps, start_cycle
from homeostat.loop.declaration import Declaration, list_declarations
from homeostat.loop.durable import Worker
from homeostat.loop.ingest import Ingester
from homeostat.loop.judged import judged_model, unknown_measures
from homeostat.loop.key_index import SECONDS_A_LOOK, index_log
from homeostat.loop.log_retention import drop_old_predictions
from homeostat.loop.monitors import watch_monitors
from homeostat.loop.parity_watch import ParityWatch
from homeostat.loop.posted_log import PostedLog
from homeostat.loop.quality import QualityWatch
from homeostat.loop.rollouts import advance_rollouts
from homeostat.loop.segments import SegmentWatch
from homeostat.loop.table_source import TableReader
from homeostat.loop.watch import due_cause, look_at_model, note_blocked, settle_model
from homeostat.loop.workers import MemoryWatch, Workers, no_workers
from homeostat.monitoring.labels import label_high_water
from homeostat.rollout.store import open_rollouts
from homeostat.serving.log import FOLDER
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


class TickReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one look did."""

    now: int
    ingested: int
    moved: tuple[str, ...]
    started: tuple[str, ...]


class Engine:
    """One per server process. `tick` is idempotent: whatever a crash cut off, the next tick does."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        settings: Settings,
        clock: Clock,
        *,
        workers: Workers = no_workers,
    ) -> None:
        self._database = database
        self._clock = clock
        self._workers = workers
        self._memory = MemoryWatch()
        self._blobs = blobs
        self._settings = settings
        self._ingester = Ingester(database, blobs, log_folder(settings))
        self._posted = PostedLog(database, blobs)
        self.tables = TableReader(database, settings, clock)
        self._accuracy = AccuracyKeeper(database, blobs, log_folder(settings))
        self._quality = QualityWatch(database, blobs, log_folder(settings))
        self._segments = SegmentWatch(database, blobs, log_folder(settings))
        self._parity = ParityWatch(database, settings)
        self._watched: dict[str, int] = {}
        self._lock = threading.Lock()
        steps = CycleSteps(database, blobs, settings, clock)
        self.worker = Worker(
            database,
            steps.handlers(),
            on_failure=steps.on_failure,
            now=clock.now,
            lease=parse_duration(settings.lease) / SECOND,
        )

    def tick(self) -> TickReport:
        """Take in the logs, then move rollouts on the labels that were there before, then watch, then trigger."""
        with self._lock:
            now = self._clock.now()
            ingested, moved = self._take_in_and_move(now)
            if isinstance(self._clock, DrivenClock):  # live, they have a thread of their own: a database may be slow
                self.tables.look()
            self._posted.seal(now=SystemClock().now(), at_once=isinstance(self._clock, DrivenClock))
            self._index_keys()
            self._accuracy.look(now=now)
            self._quality.look(now=now)  # before the triggers: what is broken is not learned from
            self._segments.look(now=now)
            self._parity.look(now=now)
            started = self._look_after_models(now)
            watch_monitors(self._database, now=now)
            drop_old_predictions(self._database, self._blobs, self._settings, now=now)
            return TickReport(now=now, ingested=ingested, moved=tuple(moved), started=tuple(started))

    def look_at_rollouts(self) -> list[str]:
        """Between two ticks: when a rollout is running, see what came and move it; returns what moved.

        A rollout has to react within seconds; a reverse shadow waits for labels, and a tick is soon enough. Without a
        rollout this reads a row, and the workers' sizes.
        """
        with self._database.read() as conn:
            is_walking = any(state == "running" for _, state in open_rollouts(conn))
        if not is_walking:
            self._memory.at_rest(self._workers())
            return []
        with self._lock:
            return self._take_in_and_move(self._clock.now())[1]

    def _take_in_and_move(self, now: int) -> tuple[int, list[str]]:
        with self._database.read() as conn:
            # Read before the logs: every label up to here belongs to a prediction that is in them.
            high_water = label_high_water(conn)
        ingested = self._ingester.run()
        moved = advance_rollouts(
            self._database, now=now, label_seq=high_water, workers=self._workers, memory=self._memory
        )
        return ingested, moved

    def run_cycles(self) -> int:
        """Walk the open cycles as far as they go; long, so it has its own thread when live."""
        return self.worker.run_pending()

    def _index_keys(self) -> None:
        # A driven clock waits until everything that is due is done.
        seconds = math.inf if isinstance(self._clock, DrivenClock) else SECONDS_A_LOOK
        index_log(self._database, self._blobs, log_folder(self._settings), seconds=seconds)

    def _look_after_models(self, now: int) -> list[str]:
        with self._database.read() as conn:
            declared = list_declarations(conn)
        return [cycle for declaration in declared if (cycle := self._look_after(declaration, now))]

    def _look_after(self, declaration: Declaration, now: int) -> str | None:
        model = declaration.model
        if now - self._watched.get(model, 0) < DAY:
            return None
        with self._database.read() as conn:
            measures = unknown_measures(self._blobs, judged_model(conn, model))
            looked = look_at_model(conn, declaration, now=now, measures=measures)
        if looked is not None:
            with self._database.write() as conn:
                settle_model(conn, model, looked, now=now)
        self._watched[model] = now
        return self._trigger(declaration, now)

    def _trigger(self, declaration: Declaration, now: int) -> str | None:
        with self._database.read() as conn:
            cause = due_cause(conn, declaration, now=now)
        if cause is None:
            return None
        with self._database.write() as conn:
            if cause.block is not None:
                note_blocked(conn, declaration.model, cause, now=now)
                return None
            return _start(conn, declaration, cause.text, cause.evidence, now)


def _start(conn: Connection, declaration: Declaration, text: str, evidence: dict[str, object], now: int) -> str | None:
    cycle, is_new = start_cycle(conn, declaration.model, cause=text, actor="loop", as_of=now, evidence=evidence)
    return cycle.id if is_new else None


def log_folder(settings: Settings) -> Path:
    """Where the serving workers of this home append their logs."""
    return settings.home_path / FOLDER
