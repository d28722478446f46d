"""A run as a training script writes it: `with hs.run("exp") as run: run.log(loss=0.3)`."""

import functools
import threading
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.ids import new_id
from homeostat.tracking import process
from homeostat.tracking.bulk import BulkLog
from homeostat.tracking.current import Nesting
from homeostat.tracking.media.log import MediaLog
from homeostat.tracking.observe import Observers
from homeostat.tracking.open_run import Outlet
from homeostat.tracking.ops import EndRun, Inputs, Op, Params, ResumeRun, StartRun, Tags
from homeostat.tracking.place import Place
from homeostat.tracking.resume import Begun, find_last, forget, look_up, note_begun, ship_what_children_left
from homeostat.tracking.spool.points import PointLog
from homeostat.tracking.types import Ending
from homeostat.tracking.values import as_text, check_key, check_project_name, storable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

NOTE = "mlflow.note.content"
"""The tag of a run's note, where MLflow's page looks for it too."""
X_AXIS = "homeostat.x."
"""Begins the tags that say along which metric another is drawn."""
_TRACEBACK_LIMIT = 20_000
_open_runs: Nesting["ActiveRun"] = Nesting("homeostat-runs")


class ActiveRun(BulkLog, MediaLog):
    """A run that is being written: a context manager, a decorator, or just an object to log to until `end`.

    It begins with the first thing that is done with it. All is written to a local spool at once and shipped in the
    background, so logging neither waits for a server nor fails with it. Threads may share a run; a forked child that
    logs joins it with a spool of its own.
    """

    def __init__(
        self,
        place: Place,
        project: str = "",
        *,
        name: str = "",
        run_id: str | None = None,
        parent: str | None = None,
        resume: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        note: str = "",
    ) -> None:
        self.id = run_id or new_id()
        self.project = check_project_name(project) if project else ""
        self.name = name
        self.parent = parent
        self._place = place
        self._resume = resume
        self._first = (dict(params or {}), dict(tags or {}), note)
        self._params: dict[str, str] = {}
        self._outlet: Outlet | None = None
        self._points: PointLog | None = None
        self._observers: Observers | None = None
        self._steps_at_fork: dict[str, int] | None = None
        self._is_ended = False
        self._state = threading.RLock()

    def log(self, step: int | None = None, **values: Any) -> None:
        """Log numbers by name: `run.log(loss=0.3)`. Without a step each series counts by itself.

        Raises:
            Invalid: when a value is not a number; the message names it.
        """
        (self._points or self._begun().points).log(values, step)

    def define_metric(self, key: str, *, x: str) -> None:
        """Draw the metric `key` along the metric `x` instead of steps; the two are joined by step."""
        self.tags({X_AXIS + check_key(key, "metric"): check_key(x, "metric")})

    def params(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record parameters; one that is there cannot change.

        Raises:
            Conflict: when one has another value already; nothing is recorded then.
        """
        given = {check_key(key, "parameter"): as_text(value) for key, value in (dict(values or {}) | more).items()}
        outlet = self._begun()
        with self._state:
            for key, value in given.items():
                if self._params.get(key, value) != value:
                    raise Conflict(
                        f"parameter {key!r:.80} of run {self.id} is {self._params[key]!r:.200} and cannot become "
                        f"{value!r:.200}",
                        field=key,
                        next_step="log it under another name, or start a new run",
                    )
            outlet.write(Params(self.id, given))
            self._params |= given

    log_params = params

    def has_param(self, key: str) -> bool:
        """Whether this parameter is recorded already, as far as this process knows."""
        return key in self._params

    def tags(self, values: Mapping[str, str] | None = None, /, **more: str) -> None:
        """Set tags; unlike parameters they may change."""
        given = dict(values or {}) | more
        op = Tags(self.id, {check_key(key, "tag"): storable(str(value)) for key, value in given.items()})
        self._begun().write(op)

    def note(self, text: str) -> None:
        """Say in words what this run is about; Markdown is shown as such."""
        self.tags({NOTE: text})

    def input(self, data: Any, *, name: str = "", context: str = "") -> None:
        """Note what the run reads: the digest of a dataset version, or a table, of which a description is kept."""
        op = Inputs(self.id, [data]) if isinstance(data, str) else self._describe(data, name=name, context=context)
        self._begun().write(op)

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything that was logged has arrived; when it does not (False), it is safe in the spool."""
        sender = self._begun().sender
        return sender.wait(timeout) if sender else False

    def begin(self) -> Self:
        """Begin the run now rather than with the first thing that is logged."""
        self._begun()
        return self

    def end(self, status: Ending = "finished", error: str = "") -> None:
        """End the run and wait, for a bounded time, until it has arrived; a second call does nothing."""
        with self._state:
            if self._is_ended:
                return
            outlet = self._begun()
            if self._observers:
                self._observers.stop()
            if self._steps_at_fork is None:  # a forked child leaves the end to its parent
                text = storable(error)[-_TRACEBACK_LIMIT:]
                outlet.write(EndRun(self.id, status, self._place.clock.now(), text))
            self._is_ended = True
        _open_runs.leave(self)
        outlet.close()
        if process.has_forked() and self._steps_at_fork is None and not self._place.is_offline:
            ship_what_children_left(self._place, self.id)
        if status == "finished":
            forget(self._place.home, self.id)

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.end()
            return
        # The end of a traceback tells most, so that is what is kept.
        text = "".join(traceback.format_exception(kind, error, trace))
        self.end("failed" if isinstance(error, Exception) else "killed", text)

    def __call__(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """As a decorator: each call of the function is a run of its own; inside, `hs.log` and `hs.current_run`."""

        @functools.wraps(function)
        def tracked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with self._another(self.name or function.__name__):
                return function(*args, **kwargs)

        return tracked

    def __reduce__(self) -> Any:
        raise Invalid(
            f"run {self.id} cannot be pickled: it is an open file of this process",
            field="run",
            next_step=f"give its id to the other process and call hs.run(resume={self.id!r}) there",
        )

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.project or 'Default'!r}>"

    def _another(self, name: str) -> "ActiveRun":
        params, tags, note = self._first
        return ActiveRun(self._place, self.project, name=name, parent=self.parent, params=params, tags=tags, note=note)

    def _begun(self) -> Outlet:
        with self._state:
            if self._outlet is None:
                self._outlet = self._join() if self._steps_at_fork is not None else self._begin()
            return self._outlet

    def _begin(self) -> Outlet:
        around = _open_runs.innermost()
        if around is not None and around is not self:
            self.parent = self.parent or around.id
            self.project = self.project or around.project
        self.project = self.project or "Default"
        outlet = self._resumed() or self._open([self._start()], {})
        self._outlet = outlet  # what follows logs to this run itself
        _open_runs.enter(self)
        process.watch(self)
        note_begun(self._place.home, Begun(self.id, self.project, self.name))
        params, tags, note = self._first
        if params:
            self.params(params)
        if tags or note:
            self.tags(tags | ({NOTE: note} if note else {}))
        self._observers = Observers(self._place, self, folder=outlet.writer.folder)
        return outlet

    def _start(self) -> StartRun:
        code, environment = self._place.snapshots()
        return StartRun(
            self.id,
            self.project,
            storable(self.name),
            self._place.clock.now(),
            cause=self._place.cause,
            parent=self.parent,
            code=code,
            environment=environment,
        )

    def _resumed(self) -> Outlet | None:
        wanted = self._resume
        if wanted == "auto":
            wanted = find_last(self._place.home, self.project, self.name)
        if not wanted:
            return None
        known = look_up(self._place, wanted)
        self.id, self.project, self._params = wanted, known.project or self.project, dict(known.params)
        return self._open([ResumeRun(self.id)], known.steps)

    def _open(self, opening: list[Op], steps: Mapping[str, int]) -> Outlet:
        ends_run = self._steps_at_fork is None
        outlet = Outlet(self._place, run=self.id, project=self.project, opening=opening, steps=steps, ends_run=ends_run)
        self._points = outlet.points
        return outlet

    def _join(self) -> Outlet:
        """Go on in a forked child, with a spool of its own that does not end the run."""
        # The run is named once more, for the child's spool may arrive before the parent's.
        start = StartRun(self.id, self.project, storable(self.name), self._place.clock.now(), parent=self.parent)
        outlet = self._open([start], self._steps_at_fork or {})
        process.end_with_child(self)
        return outlet

    def _forked(self) -> None:
        """In a forked child: the parent's open ends are let go of, and never written to."""
        self._state = threading.RLock()
        if self._observers:
            self._observers.forked()
        if self._outlet:
            self._outlet.writer.abandon()
            self._steps_at_fork = self._outlet.points.steps()
        self._outlet = self._points = self._observers = None


def current_run() -> ActiveRun | None:
    """The run that this code runs in: the innermost that is open, None when there is none."""
    return _open_runs.innermost()


def log(step: int | None = None, **values: Any) -> None:
    """Log numbers to the current run; without one it does nothing, so that a function logs wherever it is called."""
    run = _open_runs.innermost()
    if run is not None:
        run.log(step, **values)
