"""What every reader yields: runs of another tool as plain records, with a line for whatever cannot be carried over."""

from collections.abc import Callable, Iterable
from typing import IO, Any

import msgspec

from homeostat.tracking.points import Points
from homeostat.tracking.types import DatasetInput, Direction, ModelMetric, ModelStatus, Status


class Loss(msgspec.Struct, frozen=True):
    """Something that was not carried over, and why; `count` of the same kind."""

    subject: str
    """The run, model or file it is about, as its own tool names it."""
    what: str
    reason: str
    count: int = 1


class Losses:
    """Gathers losses while a source is read; the same words about the same subject are counted, not repeated."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}

    def add(self, subject: str, what: str, reason: str, count: int = 1) -> None:
        key = (subject, what, reason)
        self._counts[key] = self._counts.get(key, 0) + count

    def once(self, loss: Loss) -> None:
        """Add a loss unless it is noted: every stretch of a run repeats what is wrong with its head."""
        self._counts.setdefault((loss.subject, loss.what, loss.reason), loss.count)

    def all(self) -> list[Loss]:
        return [Loss(*key, count) for key, count in self._counts.items()]


class ImportedFile(msgspec.Struct, frozen=True):
    """A file of a run: where it goes, and how its bytes are had (opened once, when they are stored)."""

    path: str
    open: Callable[[], IO[bytes]]


class ImportedProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project as its own tool has it; `id` is what it was called there."""

    name: str
    id: str = ""
    tags: dict[str, str] = {}
    deleted: bool = False


class ImportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its own tool has it. `series` and `files` may be read only when they are asked for, and once."""

    identity: str
    """The same for the same run however often and from wherever it is read."""
    label: str
    """How the report speaks of it."""
    project: ImportedProject
    name: str
    status: Status
    started: int
    ended: int | None = None
    error: str = ""
    actor: str = ""
    wanted_id: str | None = None
    """Its own id, kept when nobody else has it (32 hex characters)."""
    parent: str | None = None
    """The identity of the run it is nested in."""
    parent_wanted_id: str | None = None
    deleted: bool = False
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    datasets: list[DatasetInput] = []
    code: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    series: Iterable[tuple[str, Points]] = ()
    files: Iterable[ImportedFile] = ()


class ModelLink(msgspec.Struct, frozen=True):
    """That a run made ('output') or read ('input') a logged model."""

    run_id: str
    direction: Direction
    step: int = 0


class ImportedLoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model as its own tool has it; `id` is kept when nobody else has it."""

    id: str
    label: str
    project: ImportedProject
    name: str
    model_type: str = ""
    source_run: str = ""
    status: ModelStatus = "ready"
    created: int
    deleted: bool = False
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[ModelMetric] = []
    links: list[ModelLink] = []
    files: Iterable[ImportedFile] = ()


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model as its own tool has it."""

    number: int
    source: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    stage: str = ""
    """The word the other tool has for it; empty for none."""
    created: int
    actor: str = ""
    tags: dict[str, str] = {}
    files: Iterable[ImportedFile] = ()


class ImportedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model as its own tool has it, its versions in the order of their numbers."""

    name: str
    description: str = ""
    created: int
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    versions: Iterable[ImportedVersion] = ()
