"""MLflow's registered models: made, described, renamed, found, deleted. A name in the trash is free at once."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.limits import page_size
from homeostat.compat.mlflow.reach import actor_of
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.registry_reach import (
    checked_description,
    checked_model_name,
    checked_tags,
    missing_is_fine,
    reachable_model,
)
from homeostat.compat.mlflow.registry_view import model_view, models_view, stage_of, versions_view
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.errors import Conflict
from homeostat.loop.in_service import check_idle, check_renamable
from homeostat.registry import models
from homeostat.registry.search import search_models
from homeostat.registry.stages import latest_versions

_PAGE, _LARGEST_PAGE = 100, 1000


class Create(msgspec.Struct):
    """registered-models/create."""

    name: str = ""
    description: str = ""
    tags: list[Tag] = []


class Named(msgspec.Struct):
    """registered-models/get and delete."""

    name: str = ""


class Update(msgspec.Struct):
    """registered-models/update."""

    name: str = ""
    description: str = ""


class Rename(msgspec.Struct):
    """registered-models/rename."""

    name: str = ""
    new_name: str = ""


class OneTag(msgspec.Struct):
    """registered-models/set-tag and delete-tag."""

    name: str = ""
    key: str = ""
    value: str = ""


class Latest(msgspec.Struct):
    """registered-models/get-latest-versions."""

    name: str = ""
    stages: list[str] = []


class Search(msgspec.Struct):
    """registered-models/search."""

    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


def create(context: Context, body: Create) -> dict[str, Any]:
    """Make a model without versions."""
    name = checked_model_name(body.name)
    context.identity.require_project(name)
    try:
        with context.database.write() as conn:
            made = models.create_model(
                conn,
                name,
                description=checked_description(body.description),
                tags=checked_tags(body.tags),
                at=context.clock.now(),
                actor=actor_of(context),
                exist_ok=False,
            )
            return {"registered_model": model_view(conn, made)}
    except Conflict as error:
        raise Conflict(f"Registered Model (name={name}) already exists.", field="name") from error


def get(context: Context, body: Named) -> dict[str, Any]:
    """One model."""
    with context.database.read() as conn:
        return {"registered_model": model_view(conn, reachable_model(context, conn, body.name))}


def update(context: Context, body: Update) -> dict[str, Any]:
    """Describe it anew."""
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        text, at, actor = checked_description(body.description), context.clock.now(), actor_of(context)
        return {
            "registered_model": model_view(
                conn, models.update_model(conn, body.name, description=text, at=at, actor=actor)
            )
        }


def rename(context: Context, body: Rename) -> dict[str, Any]:
    """Give it another name; versions, aliases and ledger stay its own."""
    new_name = checked_model_name(body.new_name, "new_name")
    context.identity.require_project(new_name)
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        check_renamable(conn, body.name)
        try:
            renamed = models.rename_model(conn, body.name, new_name, at=context.clock.now(), actor=actor_of(context))
        except Conflict as error:
            raise Conflict(f"Registered Model (name={new_name}) already exists.", field="new_name") from error
        return {"registered_model": model_view(conn, renamed)}


def delete(context: Context, body: Named) -> dict[str, Any]:
    """Into the trash, with its versions."""
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        check_idle(conn, body.name)
        models.delete_model(conn, body.name, at=context.clock.now(), actor=actor_of(context))
    return {}


def search(context: Context, body: Search) -> dict[str, Any]:
    """A page of models; those out of reach are left out, as MLflow's own auth does."""
    with context.database.read() as conn:
        page = search_models(
            conn,
            text=body.filter,
            order_by=body.order_by,
            limit=page_size(body.max_results, default=_PAGE, most=_LARGEST_PAGE),
            page_token=body.page_token or None,
            names=context.identity.projects,
            now=context.clock.now(),
        )
        found: dict[str, Any] = {}
        if page.models:
            found["registered_models"] = models_view(conn, page.models)
    return found | ({"next_page_token": page.next_token} if page.next_token else {})


def get_latest(context: Context, body: Latest) -> dict[str, Any]:
    """The newest version in each of some stages, or in every stage."""
    with context.database.read() as conn:
        model = reachable_model(context, conn, body.name)
        wanted = list(dict.fromkeys(stage_of(conn, model.name, stage) for stage in body.stages))
        found = versions_view(conn, latest_versions(conn, model.name, wanted))
    return {"model_versions": found} if found else {}


def set_tag(context: Context, body: OneTag) -> dict[str, Any]:
    """Set a tag."""
    tags = checked_tags([Tag(require(body.key, "key"), body.value)])
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        models.set_model_tags(conn, body.name, tags, at=context.clock.now())
    return {}


def delete_tag(context: Context, body: OneTag) -> dict[str, Any]:
    """Take a tag away."""
    key = require(body.key, "key")
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        with missing_is_fine():
            models.delete_model_tag(conn, body.name, key, at=context.clock.now())
    return {}


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about what is in service
_AT = "/mlflow/registered-models"

ROUTES = [
    Route(("POST",), f"{_AT}/create", Create, create, "write"),
    Route(("GET",), f"{_AT}/get", Named, get, "read"),
    Route(("PATCH",), f"{_AT}/update", Update, update, "write"),
    Route(("POST",), f"{_AT}/rename", Rename, rename, "deploy"),
    Route(("DELETE",), f"{_AT}/delete", Named, delete, "deploy", conflict=_STATE),
    Route(("GET", "POST"), f"{_AT}/search", Search, search, "read"),
    Route(("GET", "POST"), f"{_AT}/get-latest-versions", Latest, get_latest, "read"),
    Route(("POST",), f"{_AT}/set-tag", OneTag, set_tag, "write"),
    Route(("DELETE",), f"{_AT}/delete-tag", OneTag, delete_tag, "write"),
]
