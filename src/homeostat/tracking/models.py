"""Logged models: making, finishing, describing, deleting. Their files are artifacts under the model's id."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.store.events import append_event
from homeostat.tracking import store
from homeostat.tracking.model_metrics import metrics_of
from homeostat.tracking.owned import checked_texts, delete_text, set_texts, texts_of
from homeostat.tracking.projects import get_project, require_active
from homeostat.tracking.types import LoggedModel, ModelStatus
from homeostat.tracking.values import storable

KEY_LIMIT = 250
PARAM_LIMIT = 6_000
TAG_LIMIT = 8_000
_NAME_LIMIT = 500
_FORBIDDEN_IN_NAME = "/:.%\"'"
_STATUSES = ("pending", "ready", "upload_failed")

COLUMNS = [
    *(
        store.models.c[name]
        for name in (
            *("no", "id", "name", "model_type", "source_run", "status", "message"),
            *("created", "updated", "deleted"),
        )
    ),
    store.models.c.project.label("project_id"),
    store.projects.c.name.label("project"),
]
JOINED = store.models.join(store.projects, store.projects.c.id == store.models.c.project)


def create_model(
    conn: Connection,
    project_id: int,
    *,
    name: str = "",
    model_type: str = "",
    source_run: str | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    model_id: str | None = None,
    at: int,
    actor: str,
) -> LoggedModel:
    """Make a logged model, pending until its files are there. Names may repeat; without one the id is its name.

    An import brings the `model_id` with it; it has to be free.

    Raises:
        NotFound: when there is no such project.
        Conflict: when the project is in the trash.
        Invalid: when the name, the type, a param or a tag is not usable.
    """
    require_active(get_project(conn, project_id))
    model_id = model_id or f"m-{new_id()}"
    row = {
        "id": model_id,
        "project": project_id,
        "name": _checked_name(name) or model_id,
        "model_type": _checked_type(model_type),
        "source_run": _checked_run(source_run or "") or None,
        "status": "pending",
        "message": "",
        "created": at,
        "updated": at,
    }
    made = conn.execute(store.models.insert().values(**row))
    assert made.inserted_primary_key is not None
    number = int(made.inserted_primary_key[0])
    set_texts(conn, store.model_params, number, project_id, _params(params or {}))
    set_texts(conn, store.model_tags, number, project_id, _tags(tags or {}))
    append_event(conn, "model.logged", subject=model_id, at=at, actor=actor, data={"name": row["name"]})
    return get_model(conn, model_id)


def get_model(conn: Connection, model_id: str, *, allow_deleted: bool = False) -> LoggedModel:
    """A logged model with its params, tags and metrics.

    Raises:
        NotFound: when there is none, or it is in the trash and that is not allowed.
    """
    query = sa.select(store.models.c.no).where(store.models.c.id == model_id)
    if not allow_deleted:
        query = query.where(store.models.c.deleted.is_(None))
    number = conn.execute(query).scalar()
    if number is None:
        raise no_model(model_id)
    return models_of(conn, [number])[0]


def finalise_model(
    conn: Connection, model_id: str, *, status: ModelStatus, message: str = "", at: int, actor: str
) -> LoggedModel:
    """Say how the upload of its files went.

    Raises:
        NotFound: when there is no such model outside the trash.
        Invalid: when the status is none.
    """
    if status not in _STATUSES:
        raise Invalid(f"{status!r:.40} is no status of a model", field="status", next_step="use ready or upload_failed")
    number, _ = find_model(conn, model_id)
    values: dict[str, Any] = {"status": status, "message": storable(message), "updated": at}
    conn.execute(store.models.update().where(store.models.c.no == number).values(**values))
    append_event(conn, "model.finalised", subject=model_id, at=at, actor=actor, data={"status": status})
    return models_of(conn, [number])[0]


def delete_model(conn: Connection, model_id: str, *, at: int, actor: str) -> None:
    """Put a logged model into the trash; its name is free, and names may repeat anyway.

    Raises:
        NotFound: when there is no such model outside the trash.
    """
    number, _ = find_model(conn, model_id)
    conn.execute(store.models.update().where(store.models.c.no == number).values(deleted=at, updated=at))
    append_event(conn, "model.trashed", subject=model_id, at=at, actor=actor, data={})


def log_model_params(conn: Connection, model_id: str, params: Mapping[str, str], *, at: int) -> None:
    """Record parameters of a logged model. The same value again is fine.

    Raises:
        Conflict: when one has another value already. Nothing is recorded then.
    """
    number, project = find_model(conn, model_id)
    given = _params(params)
    stored = texts_of(conn, store.model_params, [number]).get(number, {})
    for key, value in given.items():
        if stored.get(key, value) != value:
            raise Conflict(
                f"parameter {key!r:.80} of model {model_id} is {stored[key]!r:.200} and cannot become {value!r:.200}",
                field=key,
                next_step="log it under another name",
            )
    set_texts(conn, store.model_params, number, project, given)
    _touch(conn, number, at)


def set_model_tags(conn: Connection, model_id: str, tags: Mapping[str, str], *, at: int) -> LoggedModel:
    """Set tags; unlike parameters they may change."""
    number, project = find_model(conn, model_id)
    set_texts(conn, store.model_tags, number, project, _tags(tags))
    _touch(conn, number, at)
    return models_of(conn, [number])[0]


def delete_model_tag(conn: Connection, model_id: str, key: str, *, at: int) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the model has no such tag.
    """
    number, _ = find_model(conn, model_id)
    if not delete_text(conn, store.model_tags, number, key):
        raise NotFound(f"model {model_id} has no tag {key!r:.80}", field="tag_key", next_step="list its tags")
    _touch(conn, number, at)


def find_model(conn: Connection, model_id: str) -> tuple[int, int]:
    """The number of a model outside the trash, and its project's.

    Raises:
        NotFound: when there is none.
    """
    table = store.models
    query = sa.select(table.c.no, table.c.project).where(table.c.id == model_id, table.c.deleted.is_(None))
    row = conn.execute(query).first()
    if row is None:
        raise no_model(model_id)
    return row.no, row.project


def models_of(conn: Connection, numbers: Sequence[int]) -> list[LoggedModel]:
    """The models with these numbers, in their order, with all that is known of them."""
    rows = conn.execute(sa.select(*COLUMNS).select_from(JOINED).where(store.models.c.no.in_(numbers))).mappings()
    found = {row["no"]: LoggedModel(**{key: value for key, value in row.items() if key != "no"}) for row in rows}
    params, tags = (texts_of(conn, table, numbers) for table in (store.model_params, store.model_tags))
    metrics = metrics_of(conn, numbers)
    return [
        msgspec.structs.replace(
            found[number],
            params=params.get(number, {}),
            tags=tags.get(number, {}),
            metrics=metrics.get(number, []),
        )
        for number in numbers
        if number in found
    ]


def no_model(model_id: str) -> NotFound:
    """The error for a logged model that is not there."""
    return NotFound(
        f"there is no logged model {model_id!r:.80}", field="model_id", next_step="search for it by name or run"
    )


def _touch(conn: Connection, number: int, at: int) -> None:
    conn.execute(store.models.update().where(store.models.c.no == number).values(updated=at))


def _params(params: Mapping[str, str]) -> dict[str, str]:
    return checked_texts(params, "parameter", key_limit=KEY_LIMIT, value_limit=PARAM_LIMIT)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return checked_texts(tags, "tag", key_limit=KEY_LIMIT, value_limit=TAG_LIMIT)


def _checked_run(run_id: str) -> str:
    # It need not be here: a model may come from a run of another server.
    if len(run_id) <= 32 and storable(run_id) == run_id:
        return run_id
    raise Invalid(f"{run_id!r:.80} is no run id", field="source_run_id", next_step="give the id of its run")


def _checked_name(name: str) -> str:
    # A name stands in `models:/name/...`, so what separates there cannot be in it.
    if len(name) <= _NAME_LIMIT and storable(name) == name and not set(name) & set(_FORBIDDEN_IN_NAME):
        return name
    raise Invalid(
        f"model name {name!r:.80} is not usable",
        field="name",
        next_step=f"use at most {_NAME_LIMIT} characters, none of {' '.join(_FORBIDDEN_IN_NAME)}",
    )


def _checked_type(model_type: str) -> str:
    if len(model_type) <= _NAME_LIMIT:
        return storable(model_type)
    raise Invalid(
        f"model type {model_type!r:.80} is too long", field="model_type", next_step=f"use at most {_NAME_LIMIT}"
    )
