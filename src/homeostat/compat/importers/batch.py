"""What an import sends in one go, and what comes back: plain structs that travel to a server as well."""

from typing import Any

import msgspec
import numpy as np

from homeostat.compat.importers.records import ImportedRun, Loss
from homeostat.tracking.points import Points, points_of
from homeostat.tracking.types import DatasetInput, Status

Plain = dict[str, Any]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A run without its series and files."""

    identity: str
    label: str
    project: str
    project_tags: dict[str, str] = {}
    name: str
    status: Status
    started: int
    ended: int | None = None
    error: str = ""
    actor: str = ""
    wanted_id: str | None = None
    parent: str | None = None
    parent_wanted_id: str | None = None
    deleted: bool = False
    params: Plain = {}
    tags: dict[str, str] = {}
    datasets: list[DatasetInput] = []
    code: Plain = {}
    environment: Plain = {}


class SeriesPart(msgspec.Struct, frozen=True):
    """Points of one series: three little-endian arrays."""

    key: str
    steps: bytes
    at: bytes
    values: bytes

    @classmethod
    def of(cls, key: str, points: Points) -> "SeriesPart":
        return cls(key, points.steps.tobytes(), points.at.tobytes(), points.values.tobytes())

    def points(self) -> Points:
        """The points again.

        Raises:
            Invalid: when the arrays differ in length.
        """
        cut = [data[: len(data) // 8 * 8] for data in (self.steps, self.at, self.values)]
        return points_of(
            np.frombuffer(cut[0], np.int64), np.frombuffer(cut[1], np.int64), np.frombuffer(cut[2], np.float64)
        )


class FilePart(msgspec.Struct, frozen=True):
    """A file whose bytes are stored under `digest` already."""

    path: str
    digest: str
    size: int


class ImportBatch(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """A stretch of one run. Sending it twice is sending it once."""

    head: Head
    series: list[SeriesPart] = []
    files: list[FilePart] = []
    is_last: bool = False
    """Nothing of this run follows: it gets its end now, and goes to the trash if it was there."""


class ImportReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a stretch changed."""

    run_id: str | None
    """What it is here: a run's or a logged model's id, a model's name; None when nothing of it is taken in."""
    is_new: bool = False
    points: int = 0
    files: int = 0
    versions: int = 0
    losses: list[Loss] = []


def head_of(run: ImportedRun) -> Head:
    """A run's head, ready to be sent."""
    return Head(
        identity=run.identity,
        label=run.label,
        project=run.project.name,
        project_tags=run.project.tags,
        name=run.name,
        status=run.status,
        started=run.started,
        ended=run.ended,
        error=run.error,
        actor=run.actor,
        wanted_id=run.wanted_id,
        parent=run.parent,
        parent_wanted_id=run.parent_wanted_id,
        deleted=run.deleted or run.project.deleted,
        params=run.params,
        tags=run.tags,
        datasets=run.datasets,
        code=run.code,
        environment=run.environment,
    )
