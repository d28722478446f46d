"""Registered models and their versions as MLflow shows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.wire import Tag
from homeostat.ground.access import LOCAL
from homeostat.ground.errors import Invalid
from homeostat.registry.lookup import aliases_of_models
from homeostat.registry.stages import ARCHIVED, latest_of_models, stages_of
from homeostat.registry.types import Model, ModelVersion

_SPOKEN = {"": "None", "staging": "Staging", "production": "Production", ARCHIVED: "Archived"}
_STAGES = {word.lower(): stage for stage, word in _SPOKEN.items()}


def model_view(conn: Connection, model: Model) -> dict[str, Any]:
    """MLflow's RegisteredModel, with the newest version of each stage."""
    return models_view(conn, [model])[0]


def models_view(conn: Connection, models: Sequence[Model]) -> list[dict[str, Any]]:
    """`model_view` of many models at once."""
    latest = latest_of_models(conn, models)
    return [_model_view(model, latest[model.name]) for model in models]


def _model_view(model: Model, latest: Sequence[ModelVersion]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": model.name,
        "creation_timestamp": model.created // 1000,
        "last_updated_timestamp": model.updated // 1000,
    }
    if model.description:
        view["description"] = model.description
    if latest:
        view["latest_versions"] = [version_view(version) for version in latest]
    if model.tags:
        view["tags"] = [Tag(key, value) for key, value in model.tags.items()]
    if model.aliases:
        view["aliases"] = [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()]
    return view


def version_view(version: ModelVersion, aliases: Mapping[str, int] | None = None) -> dict[str, Any]:
    """MLflow's ModelVersion; `aliases` are those of its model."""
    view: dict[str, Any] = {
        "name": version.model,
        "version": str(version.version),
        "creation_timestamp": version.created // 1000,
        "last_updated_timestamp": version.updated // 1000,
        "current_stage": spoken_stage(version.stage),
        "description": version.description,
        "source": source_of(version),
        "run_id": version.run_id or "",
        "status": "READY",
        "run_link": version.run_link,
    }
    if version.actor != LOCAL.name:
        view["user_id"] = version.actor
    if version.tags:
        view["tags"] = [Tag(key, value) for key, value in version.tags.items()]
    standing = [alias for alias, number in (aliases or {}).items() if number == version.version]
    return view | ({"aliases": standing} if standing else {})


def versions_view(conn: Connection, versions: Iterable[ModelVersion]) -> list[dict[str, Any]]:
    """Versions of any models, each with the aliases that stand on it."""
    found = list(versions)
    standing = aliases_of_models(conn, [version.model for version in found])
    return [version_view(version, standing[version.model]) for version in found]


def source_of(version: ModelVersion) -> str:
    """Where a version comes from; one that was trained here is its own source."""
    return version.source or f"models:/{version.model}/{version.version}"


def spoken_stage(stage: str) -> str:
    """MLflow's word for a stage; a declared one keeps its name."""
    return _SPOKEN.get(stage, stage)


def stage_of(conn: Connection, model: str, word: str) -> str:
    """The stage that a word of MLflow's means ('' for None), or the declared one of this name.

    Raises:
        Invalid: listing the words.
    """
    declared = [stage.name for stage in stages_of(conn, model)]
    known = ["", *declared, ARCHIVED]
    stage = word if word in declared else _STAGES.get(word.lower(), word)
    if stage in known:
        return stage
    raise Invalid(
        f"Invalid Model Version stage: {word:.80}. Value must be one of {', '.join(map(spoken_stage, known))}.",
        field="stage",
    )
