"""MLflow's runs: begin, look, change, end, the trash."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import TAG_VALUE, check_name, check_run_id, experiment_number, truncated
from homeostat.compat.mlflow.links import NO_LINKS, links_of
from homeostat.compat.mlflow.reach import actor_of, reachable_run
from homeostat.compat.mlflow.run_names import random_name
from homeostat.compat.mlflow.run_search import Search, search
from homeostat.compat.mlflow.run_view import PARENT, RUN_NAME, microseconds, run_info, run_view, status_of
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.errors import Invalid
from homeostat.ground.ids import new_id
from homeostat.tracking import runs, trash
from homeostat.tracking.lookup import run_number
from homeostat.tracking.projects import get_project
from homeostat.tracking.search.pages import Columns, fill


class Create(msgspec.Struct):
    """runs/create."""

    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Tag] = []


class ById(msgspec.Struct):
    """runs/get, delete, restore."""

    run_id: str | None = None
    run_uuid: str | None = None


class Update(msgspec.Struct):
    """runs/update."""

    run_id: str | None = None
    run_uuid: str | None = None
    status: str | int | None = None
    end_time: int | None = None
    run_name: str | None = None


def create(context: Context, body: Create) -> dict[str, Any]:
    """Begin a run."""
    tags = {
        check_name(tag.key, f"tags[{place}].key"): truncated(tag.value, TAG_VALUE)
        for place, tag in enumerate(body.tags)
    }
    tags[RUN_NAME] = name = _name(body.run_name, tags.get(RUN_NAME, ""))
    at = context.clock.now() if body.start_time is None else microseconds(body.start_time, "start_time")
    run_id = new_id()
    with context.database.write() as conn:
        project = get_project(conn, experiment_number(body.experiment_id))
        context.identity.require_project(project.name)
        runs.start_run(
            conn,
            project=project,
            name=name,
            at=at,
            actor=actor_of(context, body.user_id),
            run_id=run_id,
            parent=_parent(tags),
        )
        runs.set_tags(conn, run_id, tags)
        return {"run": _whole(conn, run_id)}


def get(context: Context, body: ById) -> dict[str, Any]:
    """A run with all it logged."""
    with context.database.read() as conn:
        run = reachable_run(context, conn, check_run_id(body.run_id, body.run_uuid))
        return {"run": _whole(conn, run.id)}


def update(context: Context, body: Update) -> dict[str, Any]:
    """Change status, end or name."""
    run_id = check_run_id(body.run_id, body.run_uuid)
    status = None if body.status is None else status_of(body.status)
    ended = None if body.end_time is None else microseconds(body.end_time, "end_time")
    with context.database.write() as conn:
        before = reachable_run(context, conn, run_id)
        if status is None and ended is not None and before.ended is not None:
            status = before.status  # only when it ended is told anew
        run = runs.update_run(
            conn,
            run_id,
            status=status,
            name=body.run_name or None,
            ended=ended,
            at=context.clock.now(),
            actor=actor_of(context),
        )
        if body.run_name:
            runs.set_tags(conn, run_id, {RUN_NAME: truncated(body.run_name, TAG_VALUE)})
    return {"run_info": run_info(run)}


def delete(context: Context, body: ById) -> dict[str, Any]:
    """Put a run into the trash."""
    with context.database.write() as conn:
        run = reachable_run(context, conn, check_run_id(body.run_id, body.run_uuid))
        trash.delete_run(conn, run.id, at=context.clock.now(), actor=actor_of(context))
    return {}


def restore(context: Context, body: ById) -> dict[str, Any]:
    """Take a run out of the trash."""
    with context.database.write() as conn:
        run = reachable_run(context, conn, check_run_id(body.run_id, body.run_uuid))
        trash.restore_run(conn, run.id, at=context.clock.now(), actor=actor_of(context))
    return {}


def _whole(conn: Connection, run_id: str) -> dict[str, Any]:
    number = run_number(conn, run_id)
    found = fill(conn, [number], Columns())[0]
    return run_view(found, links_of(conn, [run_id]).get(run_id, NO_LINKS))


def _name(given: str, tagged: str) -> str:
    if given and tagged and given != tagged:
        raise Invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name={given!r:.120}, mlflow.runName={tagged!r:.120})",
            field="run_name",
            next_step="give one of them",
        )
    return given or tagged or random_name()


def _parent(tags: dict[str, str]) -> str | None:
    parent = tags.get(PARENT, "")
    return parent if 0 < len(parent) <= 32 else None


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash or the way a run ended

ROUTES = [
    Route(("POST",), "/mlflow/runs/create", Create, create, "write", conflict=_STATE),
    Route(("GET",), "/mlflow/runs/get", ById, get, "read"),
    Route(("POST",), "/mlflow/runs/search", Search, search, "read"),
    Route(("POST",), "/mlflow/runs/update", Update, update, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/delete", ById, delete, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/restore", ById, restore, "write", conflict=_STATE),
]
