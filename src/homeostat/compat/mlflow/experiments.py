"""MLflow's experiments: our projects."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.experiment_search import Search, search
from homeostat.compat.mlflow.experiment_view import ASKED_LOCATION, project_view
from homeostat.compat.mlflow.limits import EXPERIMENT_TAG_VALUE, check_length, check_name, experiment_number
from homeostat.compat.mlflow.reach import reachable_project
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking import trash
from homeostat.tracking.projects import (
    create_project,
    delete_project_tag,
    find_by_name,
    get_project,
    rename_project,
    set_project_tags,
)


class Create(msgspec.Struct):
    """experiments/create."""

    name: str = ""
    artifact_location: str = ""
    tags: list[Tag] = []


class ById(msgspec.Struct):
    """experiments/get, delete, restore."""

    experiment_id: str | None = None


class ByName(msgspec.Struct):
    """experiments/get-by-name."""

    experiment_name: str = ""


class Update(msgspec.Struct):
    """experiments/update."""

    experiment_id: str | None = None
    new_name: str = ""


class SetTag(msgspec.Struct):
    """experiments/set-experiment-tag and delete-experiment-tag."""

    experiment_id: str | None = None
    key: str = ""
    value: str = ""


def create(context: Context, body: Create) -> dict[str, Any]:
    """Make a project; an artifact location that was asked for is kept as a tag."""
    name = require(body.name, "name")
    context.identity.require_project(name)
    tags = {check_name(tag.key, "key"): check_length(tag.value, "value", EXPERIMENT_TAG_VALUE) for tag in body.tags}
    if body.artifact_location.startswith("runs:"):
        raise Invalid("Artifact location cannot be a runs:/ URI", field="artifact_location", next_step="leave it out")
    if body.artifact_location:
        # Roots are ours, so that no client can name a folder or a bucket of the server's; what was asked is kept.
        tags[ASKED_LOCATION] = check_length(body.artifact_location, "artifact_location", 2048)
    at, actor = context.clock.now(), context.identity.name
    with context.database.write() as conn:
        project = create_project(conn, name, at=at, actor=actor)
        if tags:
            set_project_tags(conn, project.id, tags, at=at)
    return {"experiment_id": str(project.id)}


def get(context: Context, body: ById) -> dict[str, Any]:
    """One project by number."""
    with context.database.read() as conn:
        project = get_project(conn, experiment_number(body.experiment_id))
    context.identity.require_project(project.name)
    return {"experiment": project_view(project)}


def get_by_name(context: Context, body: ByName) -> dict[str, Any]:
    """One project by name; those in the trash have none."""
    name = require(body.experiment_name, "experiment_name")
    context.identity.require_project(name)
    with context.database.read() as conn:
        project = find_by_name(conn, name)
    if project is None:
        raise NotFound(f"Could not find experiment with name {name!r:.120}", field="experiment_name")
    return {"experiment": project_view(project)}


def update(context: Context, body: Update) -> dict[str, Any]:
    """Rename a project."""
    number, name = experiment_number(body.experiment_id), require(body.new_name, "new_name")
    context.identity.require_project(name)
    with context.database.write() as conn:
        if reachable_project(context, conn, number).deleted is not None:
            raise Invalid("Cannot rename a non-active experiment", field="experiment_id", next_step="restore it first")
        rename_project(conn, number, name, at=context.clock.now(), actor=context.identity.name)
    return {}


def delete(context: Context, body: ById) -> dict[str, Any]:
    """Put a project into the trash."""
    number = experiment_number(body.experiment_id)
    with context.database.write() as conn:
        if reachable_project(context, conn, number).deleted is not None:
            raise NotFound(
                f"No Experiment with id={number} exists", field="experiment_id", next_step="it is in the trash"
            )
        trash.delete_project(conn, number, at=context.clock.now(), actor=context.identity.name)
    return {}


def restore(context: Context, body: ById) -> dict[str, Any]:
    """Take a project out of the trash."""
    number = experiment_number(body.experiment_id)
    with context.database.write() as conn:
        if reachable_project(context, conn, number).deleted is None:
            raise NotFound(f"No deleted Experiment with id={number} exists", field="experiment_id")
        trash.restore_project(conn, number, at=context.clock.now(), actor=context.identity.name)
    return {}


def set_tag(context: Context, body: SetTag) -> dict[str, Any]:
    """Set a tag."""
    number = experiment_number(body.experiment_id)
    tags = {check_name(body.key, "key"): check_length(body.value, "value", EXPERIMENT_TAG_VALUE)}
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        set_project_tags(conn, number, tags, at=context.clock.now())
    return {}


def delete_tag(context: Context, body: SetTag) -> dict[str, Any]:
    """Take a tag away."""
    number = experiment_number(body.experiment_id)
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        delete_project_tag(conn, number, require(body.key, "key"), at=context.clock.now())
    return {}


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash

ROUTES = [
    Route(("POST",), "/mlflow/experiments/create", Create, create, "write"),
    Route(("GET",), "/mlflow/experiments/get", ById, get, "read"),
    Route(("GET",), "/mlflow/experiments/get-by-name", ByName, get_by_name, "read"),
    Route(("GET", "POST"), "/mlflow/experiments/search", Search, search, "read"),
    Route(("POST",), "/mlflow/experiments/update", Update, update, "write"),
    Route(("POST",), "/mlflow/experiments/delete", ById, delete, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/experiments/restore", ById, restore, "write"),
    Route(("POST",), "/mlflow/experiments/set-experiment-tag", SetTag, set_tag, "write", conflict=_STATE),
    Route(
        ("POST", "DELETE"), "/mlflow/experiments/delete-experiment-tag", SetTag, delete_tag, "write", conflict=_STATE
    ),
]
