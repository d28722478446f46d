"""Logged and registered models as an import sends them."""

from collections.abc import Mapping

import msgspec

from homeostat.compat.importers.batch import FilePart
from homeostat.compat.importers.identity import identity_of
from homeostat.compat.importers.records import ImportedLoggedModel, ImportedModel, ImportedVersion, ModelLink
from homeostat.tracking.types import ModelMetric, ModelStatus


class LoggedModelBatch(msgspec.Struct, frozen=True, kw_only=True, tag="logged_model"):
    """A logged model, or a stretch of its files. Sending it twice is sending it once."""

    identity: str
    id: str
    project: str
    name: str
    model_type: str = ""
    source_run: str = ""
    status: ModelStatus
    created: int
    deleted: bool = False
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[ModelMetric] = []
    links: list[ModelLink] = []
    files: list[FilePart] = []
    is_last: bool = False


class VersionPart(msgspec.Struct, frozen=True, kw_only=True):
    """A version with all its files, whose bytes are stored already."""

    identity: str
    number: int
    source: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    stage: str = ""
    created: int
    actor: str = ""
    tags: dict[str, str] = {}
    files: list[FilePart] = []


class RegisteredModelBatch(msgspec.Struct, frozen=True, kw_only=True, tag="model"):
    """A registered model with one of its versions, or, after the last one, with its aliases."""

    name: str
    description: str = ""
    created: int
    tags: dict[str, str] = {}
    version: VersionPart | None = None
    aliases: dict[str, str] = {}
    """Alias to the identity of the version it stands on."""


def logged_model_batch(model: ImportedLoggedModel, runs: Mapping[str, str]) -> LoggedModelBatch:
    """A logged model's head; `runs` says which ids its runs have here."""
    return LoggedModelBatch(
        identity=identity_of("mlflow-model", [model.id]),
        id=model.id,
        project=model.project.name,
        name=model.name,
        model_type=model.model_type,
        source_run=runs.get(model.source_run, model.source_run),
        status=model.status,
        created=model.created,
        deleted=model.deleted or model.project.deleted,
        params=model.params,
        tags=model.tags,
        metrics=[
            msgspec.structs.replace(metric, run_id=runs.get(metric.run_id, metric.run_id)) for metric in model.metrics
        ],
        links=[msgspec.structs.replace(link, run_id=runs.get(link.run_id, link.run_id)) for link in model.links],
    )


def version_identity(model: ImportedModel, version: ImportedVersion) -> str:
    """The identity of a version: MLflow gives none an id, and may give a number again; its second helps."""
    return identity_of("mlflow-version", [model.name, str(version.number), str(version.created)])


def version_part(
    model: ImportedModel, version: ImportedVersion, files: list[FilePart], runs: Mapping[str, str]
) -> VersionPart:
    """A version, ready to be sent; `runs` says which ids runs have here."""
    return VersionPart(
        identity=version_identity(model, version),
        number=version.number,
        source=version.source,
        run_id=runs.get(version.run_id, ""),
        model_id=version.model_id,
        run_link=version.run_link,
        description=version.description,
        stage=version.stage,
        created=version.created,
        actor=version.actor,
        tags=version.tags,
        files=files,
    )
