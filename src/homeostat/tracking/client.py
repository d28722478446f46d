"""The two-line client: `with open_run(database, blobs, "exp") as run: run.log(loss=0.3)`."""

import time
import traceback
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from homeostat.ground.clock import Clock, SystemClock
from homeostat.ground.errors import Invalid
from homeostat.ground.ids import new_id
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking import artifacts, runs, series
from homeostat.tracking.types import Ending, MetricPoint, Run
from homeostat.tracking.values import as_number

_FLUSH_SECONDS = 1.0
_FLUSH_POINTS = 1_000
_TRACEBACK_LIMIT = 20_000


class ActiveRun:
    """A run that is being written. Leaving the block ends it: finished, failed (with the traceback) or killed.

    Points are gathered and written once a second, so that logging does not slow a training loop: a commit costs
    milliseconds, a gathered point microseconds. A process that is killed loses at most that second.
    """

    def __init__(self, database: Database, blobs: BlobStore, run: Run, *, clock: Clock) -> None:
        self.id = run.id
        self.project = run.project
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._waiting: defaultdict[str, list[MetricPoint]] = defaultdict(list)
        self._waiting_count = 0
        self._next_step: defaultdict[str, int] = defaultdict(int)
        self._flushed = 0.0
        self._ended = False

    def log(self, step: int | None = None, **values: Any) -> None:
        """Log numbers by name: `run.log(loss=0.3)`. Without a step each series counts by itself.

        Raises:
            Invalid: when a value is not a number; the message names it.
        """
        self.log_metrics(values, step=step)

    def log_metrics(self, values: Mapping[str, Any], *, step: int | None = None) -> None:
        """As `log`, for names that are not Python identifiers."""
        checked = {key: as_number(key, value) for key, value in values.items()}
        at = self._clock.now()
        for key, value in checked.items():
            at_step = self._next_step[key] if step is None else step
            self._next_step[key] = at_step + 1
            self._waiting[key].append(MetricPoint(at_step, value, at))
        self._waiting_count += len(checked)
        if self._waiting_count >= _FLUSH_POINTS or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; one that is there cannot change."""
        with self._database.write() as conn:
            runs.log_params(conn, self.id, values)

    log_params = params

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        with self._database.write() as conn:
            runs.set_tags(conn, self.id, values)

    def artifact(self, name: str, content: bytes | Path) -> str:
        """Store bytes, or the file at a path, as the run's file `name`; returns the digest."""
        if not isinstance(content, bytes | Path):
            raise Invalid(
                f"artifact {name!r} is a {type(content).__name__}", field=name, next_step="give bytes or a pathlib.Path"
            )
        data = content if isinstance(content, bytes) else content.read_bytes()
        with self._database.write() as conn:
            return artifacts.log_artifact(conn, self._blobs, self.id, name, data).digest

    def input(self, digest: str) -> None:
        """Note a dataset version the run reads."""
        with self._database.write() as conn:
            runs.add_input(conn, self.id, digest)

    def flush(self) -> None:
        """Write the points that wait."""
        self._flushed = time.monotonic()
        if not self._waiting_count:
            return
        with self._database.write() as conn:
            series.log_points(conn, self.id, self._waiting)
        self._waiting.clear()
        self._waiting_count = 0

    def end(self, status: Ending = "finished", error: str = "") -> None:
        """End the run; a second call does nothing."""
        if self._ended:
            return
        self.flush()
        with self._database.write() as conn:
            runs.end_run(conn, self.id, status=status, error=error, at=self._clock.now())
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.end()
            return
        # The end of a traceback tells most, so that is what is kept.
        text = "".join(traceback.format_exception(kind, error, trace))[-_TRACEBACK_LIMIT:]
        self.end("failed" if isinstance(error, Exception) else "killed", text)


def open_run(
    database: Database,
    blobs: BlobStore,
    project: str,
    *,
    name: str = "",
    cause: str = "person",
    actor: str = "person",
    clock: Clock | None = None,
    run_id: str | None = None,
    code: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
) -> ActiveRun:
    """Start a run (or join the one with `run_id`) and hand out its writer; use it in a `with` block."""
    clock = clock or SystemClock()
    with database.write() as conn:
        run = runs.start_run(
            conn,
            project=project,
            name=name,
            cause=cause,
            at=clock.now(),
            actor=actor,
            run_id=run_id or new_id(),
            code=code,
            environment=environment,
        )
    return ActiveRun(database, blobs, run, clock=clock)
