"""The nouns of tracking."""

from typing import Any, Literal

import msgspec

Status = Literal["running", "finished", "failed", "killed"]
Ending = Literal["finished", "failed", "killed"]


class Project(msgspec.Struct, frozen=True):
    """A namespace for runs; MLflow calls it an experiment."""

    name: str
    created: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, without its series. Times are microseconds UTC; `ended` is None while it runs."""

    id: str
    project: str
    name: str
    status: Status
    cause: str
    """'person', 'ci' or 'cycle:<id>'."""
    actor: str
    started: int
    ended: int | None = None
    error: str = ""


class Artifact(msgspec.Struct, frozen=True):
    """A file of a run: a relative path that stands for a blob. `size` is bytes."""

    path: str
    digest: str
    size: int


class MetricPoint(msgspec.Struct, frozen=True):
    """One point of a series. `value` may be NaN or infinite; `at` is microseconds UTC."""

    step: int
    value: float
    at: int


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A run with everything that is known about it; `metrics` holds the last value of each series."""

    run: Run
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifacts: list[Artifact]
    inputs: list[str]
    """Digests of the dataset versions it read, in the order they were added."""
    code: dict[str, Any]
    environment: dict[str, Any]
