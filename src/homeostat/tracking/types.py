"""The nouns of tracking."""

from typing import Any, Literal

import msgspec

Status = Literal["running", "scheduled", "finished", "failed", "killed"]
Ending = Literal["finished", "failed", "killed"]
View = Literal["active", "deleted", "all"]
"""Which side of the trash is meant."""

DEFAULT_PROJECT = "Default"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace for runs; MLflow calls it an experiment. Times are microseconds UTC."""

    id: int
    name: str
    created: int
    updated: int
    deleted: int | None = None
    """When it went to the trash; its name is free since then."""
    tags: dict[str, str] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, without its series. Times are microseconds UTC; `ended` is None while it runs."""

    id: str
    project: str
    project_id: int
    name: str
    status: Status
    cause: str
    """'person', 'ci' or 'cycle:<id>'."""
    actor: str
    started: int
    ended: int | None = None
    deleted: int | None = None
    parent: str | None = None
    """The run it is nested in."""
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


class Metric(msgspec.Struct, frozen=True):
    """What is known of a series without its points. NaN is never min or max; None when there is nothing but NaN.

    The last point is the one with the highest step; among equals the latest, then the greatest.
    """

    key: str
    last: float
    last_step: int
    last_at: int
    min: float | None
    max: float | None
    points: int


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A data set that a run read, as the client described it; `tags` say in which role (`mlflow.data.context`)."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class FoundRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as search returns it: what was asked for of its params, metrics and tags."""

    run: Run
    params: dict[str, str]
    metrics: list[Metric]
    tags: dict[str, str]


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A run with everything that is known about it; `metrics` holds the last value of each series."""

    run: Run
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifacts: list[Artifact]
    inputs: list[str]
    """Digests of the dataset versions it read, in the order they were added."""
    datasets: list[DatasetInput]
    code: dict[str, Any]
    environment: dict[str, Any]


ModelStatus = Literal["pending", "ready", "upload_failed"]
Direction = Literal["input", "output"]
"""Whether a run read a logged model or made it."""


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A number that a run measured of a logged model, perhaps on a data set. `at` is microseconds UTC."""

    key: str
    value: float
    at: int
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model as its run logged it. Times are microseconds UTC; its files are artifacts under its id."""

    id: str
    project: str
    project_id: int
    name: str
    model_type: str
    source_run: str | None
    status: ModelStatus
    message: str
    created: int
    updated: int
    deleted: int | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[ModelMetric] = []


class RunModel(msgspec.Struct, frozen=True):
    """A logged model that a run read or made, and at which step."""

    model_id: str
    step: int = 0


TraceState = Literal["unspecified", "ok", "error", "in_progress"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One timed step within a trace. Times are nanoseconds UTC, as OpenTelemetry has them."""

    id: str
    """16 hex characters."""
    parent: str | None
    name: str
    type: str
    """What kind of step: UNKNOWN, LLM, TOOL, ..."""
    status: str
    """UNSET, OK or ERROR."""
    started: int
    ended: int | None
    data: str
    """All of it, as JSON text in the form it is read again."""


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or a judge says of a trace."""

    id: str
    trace_id: str
    name: str
    kind: str
    """feedback, expectation or issue."""
    value: Any
    is_valid: bool
    """False once another one has taken its place."""
    created: int
    updated: int
    data: dict[str, Any]
    """All of it, in the form it came."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One request followed through a program, without its spans. Times are microseconds UTC."""

    id: str
    project: str
    project_id: int
    requested: int
    duration: int | None
    """Microseconds; None while it runs."""
    state: TraceState
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    assessments: list[Assessment] = []
