"""MLflow's model versions: registered, described, moved between stages, found, deleted, fetched."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.artifact_paths import safe_path
from homeostat.compat.mlflow.frozen_files import FrozenPlace, frozen_uri, open_frozen
from homeostat.compat.mlflow.limits import page_size
from homeostat.compat.mlflow.reach import actor_of
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.registry_reach import (
    checked_description,
    checked_tags,
    look_before,
    missing_is_fine,
    reachable_model,
    reachable_version,
)
from homeostat.compat.mlflow.registry_view import source_of, spoken_stage, stage_of, version_view, versions_view
from homeostat.compat.mlflow.version_intake import register
from homeostat.compat.mlflow.version_sources import live_uri
from homeostat.compat.mlflow.wire import Context, FileAnswer, Route, Tag
from homeostat.ground.errors import Invalid, Refused
from homeostat.loop import promotions
from homeostat.loop.in_service import check_version_idle
from homeostat.loop.releases import CHAMPION
from homeostat.registry import versions
from homeostat.registry.lookup import aliases_of, model_key
from homeostat.registry.promotion import Request
from homeostat.registry.search import search_versions
from homeostat.registry.stages import ARCHIVED, stages_of
from homeostat.registry.types import ModelVersion

_PAGE, _LARGEST_PAGE = 10_000, 200_000
_LINK = 2000


class Create(msgspec.Struct):
    """model-versions/create."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    model_id: str = ""
    tags: list[Tag] = []
    run_link: str = ""
    description: str = ""


class OneVersion(msgspec.Struct):
    """model-versions/get, delete, get-download-uri."""

    name: str = ""
    version: str | int = ""


class Update(msgspec.Struct):
    """model-versions/update."""

    name: str = ""
    version: str | int = ""
    description: str = ""


class Transition(msgspec.Struct):
    """model-versions/transition-stage."""

    name: str = ""
    version: str | int = ""
    stage: str = ""
    archive_existing_versions: bool = False


class OneTag(msgspec.Struct):
    """model-versions/set-tag and delete-tag."""

    name: str = ""
    version: str | int = ""
    key: str = ""
    value: str = ""


class Search(msgspec.Struct):
    """model-versions/search."""

    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


class OneFile(msgspec.Struct):
    """/model-versions/get-artifact."""

    name: str = ""
    version: str | int = ""
    path: str = ""


def create(context: Context, body: Create) -> dict[str, Any]:
    """Register what a source names, as it is now."""
    with context.database.read() as conn:
        reachable_model(context, conn, body.name)
    version = register(
        context,
        body.name,
        require(body.source, "source"),
        run_id=body.run_id,
        model_id=body.model_id,
        tags=checked_tags(body.tags),
        run_link=checked_description(body.run_link),
        description=checked_description(body.description),
    )
    return {"model_version": version_view(version)}


def get(context: Context, body: OneVersion) -> dict[str, Any]:
    """One version."""
    with context.database.read() as conn:
        return _answer(conn, reachable_version(context, conn, body.name, str(body.version)))


def update(context: Context, body: Update) -> dict[str, Any]:
    """Describe it anew."""
    text = checked_description(body.description)
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        at, actor = context.clock.now(), actor_of(context)
        return _answer(
            conn, versions.update_version(conn, body.name, found.version, description=text, at=at, actor=actor)
        )


def delete(context: Context, body: OneVersion) -> dict[str, Any]:
    """Out of sight, with the aliases on it; its number is not given again."""
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        check_version_idle(conn, body.name, found.version)
        versions.delete_version(conn, body.name, found.version, at=context.clock.now(), actor=actor_of(context))
    return {}


def transition(context: Context, body: Transition) -> dict[str, Any]:
    """Into a stage, out of it, or to the archive. Where somebody else must agree, a request is left behind."""
    word = require(body.stage, "stage")
    if word == CHAMPION:
        look_before(context, body.name, str(body.version))
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        stage = stage_of(conn, body.name, word)
        if body.archive_existing_versions and stage in ("", ARCHIVED):
            active = [spoken_stage(item.name) for item in stages_of(conn, body.name)]
            raise Invalid(
                "Model version transition cannot archive existing model versions because "
                f"'{word:.80}' is not an Active stage. Valid stages are {', '.join(active)}",
                field="stage",
            )
        request = _asked(context, conn, found, stage)
        if request is None:
            moved = promotions.transition(
                conn,
                body.name,
                found.version,
                stage,
                archive_others=body.archive_existing_versions,
                at=context.clock.now(),
                actor=actor_of(context),
                reason="through MLflow's API",
            )
            return _answer(conn, moved)
    raise Refused(
        f"{found.ref} may not enter {stage} before somebody else approves: request {request.id} waits",
        field="stage",
        next_step=f"let somebody else run: homeostat model approve {request.id}",
    )


def _asked(context: Context, conn: Connection, version: ModelVersion, stage: str) -> Request | None:
    """The request for another person's word, where the stage needs it."""
    needs_word = any(item.name == stage and item.approval for item in stages_of(conn, version.model))
    if not needs_word or version.stage == stage:
        return None
    at, actor = context.clock.now(), actor_of(context)
    return promotions.promote(conn, version.model, version.version, stage, at=at, actor=actor).request


def get_download_uri(context: Context, body: OneVersion) -> dict[str, Any]:
    """Where its files are: frozen when it was registered, or where they will be when there were none yet."""
    with context.database.read() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        if found.package.manifest:
            return {"artifact_uri": frozen_uri(conn, found)}
        return {"artifact_uri": live_uri(conn, source_of(found))}


def search(context: Context, body: Search) -> dict[str, Any]:
    """A page of versions of any models; those out of reach are left out."""
    with context.database.read() as conn:
        page = search_versions(
            conn,
            text=body.filter,
            order_by=body.order_by,
            limit=page_size(body.max_results, default=_PAGE, most=_LARGEST_PAGE),
            page_token=body.page_token or None,
            names=context.identity.projects,
            now=context.clock.now(),
        )
        found: dict[str, Any] = {"model_versions": versions_view(conn, page.versions)} if page.versions else {}
    return found | ({"next_page_token": page.next_token} if page.next_token else {})


def set_tag(context: Context, body: OneTag) -> dict[str, Any]:
    """Set a tag."""
    tags = checked_tags([Tag(require(body.key, "key"), body.value)])
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        at, actor = context.clock.now(), actor_of(context)
        versions.set_version_tags(conn, body.name, found.version, tags, at=at, actor=actor)
    return {}


def delete_tag(context: Context, body: OneTag) -> dict[str, Any]:
    """Take a tag away."""
    key = require(body.key, "key")
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        at, actor = context.clock.now(), actor_of(context)
        with missing_is_fine():
            versions.delete_version_tag(conn, body.name, found.version, key, at=at, actor=actor)
    return {}


def get_artifact(context: Context, body: OneFile) -> FileAnswer:
    """One of its files, for the page."""
    path = safe_path(require(body.path, "path"))
    with context.database.read() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        return open_frozen(context, conn, FrozenPlace(model_key(conn, found.model), found.version, path))


def _answer(conn: Connection, version: ModelVersion) -> dict[str, Any]:
    return {"model_version": version_view(version, aliases_of(conn, version.model))}


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about what is in service, or stands there already
_AT = "/mlflow/model-versions"

ROUTES = [
    Route(("POST",), f"{_AT}/create", Create, create, "write", conflict=_STATE),
    Route(("GET",), f"{_AT}/get", OneVersion, get, "read"),
    Route(("PATCH",), f"{_AT}/update", Update, update, "write"),
    Route(("DELETE",), f"{_AT}/delete", OneVersion, delete, "deploy", conflict=_STATE),
    Route(("POST",), f"{_AT}/transition-stage", Transition, transition, "deploy", conflict=_STATE),
    Route(("GET",), f"{_AT}/get-download-uri", OneVersion, get_download_uri, "read"),
    Route(("GET", "POST"), f"{_AT}/search", Search, search, "read"),
    Route(("POST",), f"{_AT}/set-tag", OneTag, set_tag, "write"),
    Route(("DELETE",), f"{_AT}/delete-tag", OneTag, delete_tag, "write"),
    Route(("GET",), "/model-versions/get-artifact", OneFile, get_artifact, "read"),
]
