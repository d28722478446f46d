"""What an import asks of an MLflow store, whichever way it is read: over HTTP, from its database, from its folders."""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from homeostat.compat.importers.identity import identity_of
from homeostat.compat.importers.records import (
    ImportedFile,
    ImportedLoggedModel,
    ImportedModel,
    ImportedProject,
    ImportedRun,
    Losses,
    ModelLink,
)
from homeostat.tracking.points import Points
from homeostat.tracking.types import DatasetInput, ModelMetric, ModelStatus, Status

MILLISECOND = 1_000
STATUSES: dict[str, Status] = {
    "RUNNING": "running",
    "SCHEDULED": "scheduled",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
STATUS_NUMBERS: dict[int, Status] = {1: "running", 2: "scheduled", 3: "finished", 4: "failed", 5: "killed"}
MODEL_STATUSES: dict[str, ModelStatus] = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "upload_failed",
}
MODEL_STATUS_NUMBERS: dict[int, ModelStatus] = {1: "pending", 2: "ready", 3: "upload_failed"}


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of MLflow's."""

    id: str
    name: str
    tags: dict[str, str] = {}
    deleted: bool = False


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the store has it, times in milliseconds."""

    id: str
    name: str = ""
    user: str = ""
    status: Status = "finished"
    start: int = 0
    end: int | None = None
    deleted: bool = False
    artifact_uri: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    datasets: list[DatasetInput] = []
    metric_keys: list[str] = []


class StoredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model as the store has it, times in milliseconds (those of metrics in microseconds)."""

    id: str
    name: str = ""
    model_type: str = ""
    source_run: str = ""
    status: ModelStatus = "ready"
    created: int = 0
    deleted: bool = False
    artifact_uri: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[ModelMetric] = []


class MlflowStore(Protocol):
    """A store that is open for reading."""

    links: dict[str, list[ModelLink]]
    """By logged model: the runs that made or read it. Complete once all runs have been read."""

    def experiments(self) -> list[Experiment]: ...

    def runs(self, experiment: Experiment) -> Iterator[StoredRun]:
        """Runs in the order they were started, so that parents come before their children."""
        ...

    def series(self, run: StoredRun) -> Iterator[tuple[str, Points]]: ...

    def run_files(self, run: StoredRun) -> Iterator[ImportedFile]: ...

    def logged_models(self, experiment: Experiment) -> Iterator[StoredModel]: ...

    def model_files(self, model: StoredModel) -> Iterator[ImportedFile]: ...

    def registered_models(self) -> Iterator[ImportedModel]: ...

    def close(self) -> None: ...


def run_identity(run_id: str) -> str:
    """The identity of an MLflow run: its id is unique by itself."""
    return identity_of("mlflow", [run_id])


def imported_runs(store: MlflowStore, *, project: str | None, losses: Losses) -> Iterator[ImportedRun]:
    """Every run of a store."""
    for experiment in store.experiments():
        home = _project(experiment, project)
        for run in store.runs(experiment):
            parent = run.tags.get("mlflow.parentRunId")
            if run.status == "running":
                losses.add(run.id, "end of the run", "it is still running there; import again when it has ended")
            commit = run.tags.get("mlflow.source.git.commit")
            yield ImportedRun(
                identity=run_identity(run.id),
                label=run.id,
                project=home,
                name=run.name or run.tags.get("mlflow.runName", ""),
                status=run.status,
                started=run.start * MILLISECOND,
                ended=None if run.end is None else run.end * MILLISECOND,
                actor=run.user or run.tags.get("mlflow.user", ""),
                wanted_id=run.id,
                parent=run_identity(parent) if parent else None,
                parent_wanted_id=parent,
                deleted=run.deleted,
                params=run.params,
                tags=run.tags | {"homeostat.import.experiment_id": experiment.id},
                datasets=run.datasets,
                code={"commit": commit} if commit else {},
                series=store.series(run),
                files=store.run_files(run),
            )


def imported_logged_models(store: MlflowStore, *, project: str | None) -> Iterator[ImportedLoggedModel]:
    """Every logged model of a store; after its runs, so that links lead somewhere."""
    for experiment in store.experiments():
        for model in store.logged_models(experiment):
            yield ImportedLoggedModel(
                id=model.id,
                label=model.id,
                project=_project(experiment, project),
                name=model.name,
                model_type=model.model_type,
                source_run=model.source_run,
                status=model.status,
                created=model.created * MILLISECOND,
                deleted=model.deleted,
                params=model.params,
                tags=model.tags,
                metrics=model.metrics,
                links=store.links.get(model.id, []),
                files=store.model_files(model),
            )


def _project(experiment: Experiment, project: str | None) -> ImportedProject:
    tags = {} if project else experiment.tags
    return ImportedProject(name=project or experiment.name, id=experiment.id, tags=tags, deleted=experiment.deleted)
