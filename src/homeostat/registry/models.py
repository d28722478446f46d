"""Models: the names under which versions gather. Making, describing, renaming, deleting them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.ground.ids import NAME, new_id
from homeostat.registry import store
from homeostat.registry.ledger import drop_all_aliases
from homeostat.registry.lookup import (
    aliases_of_models,
    check_model_name,
    model_key,
    newest_numbers,
)
from homeostat.registry.tags import check_tags
from homeostat.registry.types import Model
from homeostat.store.dialect import upsert
from homeostat.store.events import append_event

_COLUMNS = [store.models.c[name] for name in ("key", "name", "description", "created", "updated", "deleted")]


def create_model(
    conn: Connection,
    name: str,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    at: int,
    actor: str,
    exist_ok: bool = True,
) -> Model:
    """Make a model; one that is there already is returned as it is.

    A name that a deleted model had is a new model's: it inherits no version and no ledger.

    Raises:
        Invalid: when the name is not usable.
        Conflict: when it is there already and that is not fine (`exist_ok`).
    """
    check_model_name(name)
    found = conn.execute(_named(name)).first()
    if found is not None:
        if not exist_ok:
            raise Conflict(f"model {name!r:.80} is there already", field="name", next_step="use it, or another name")
        return get_model(conn, name)
    taken = conn.execute(sa.select(store.models.c.key).where(store.models.c.key == name)).first() is not None
    key = new_id() if taken or not NAME.fullmatch(name) else name
    row = {"key": key, "name": name, "description": description, "created": at, "updated": at}
    conn.execute(store.models.insert().values(**row))
    told = {"description": description, "tags": dict(tags or {})}
    append_event(conn, "model.created", subject=name, at=at, actor=actor, data=told)
    if tags:
        set_model_tags(conn, name, tags, at=at)
    return get_model(conn, name)


def get_model(conn: Connection, name: str) -> Model:
    """A model with its tags and where its aliases stand.

    Raises:
        NotFound: when there is none; the next step lists close names.
    """
    key = model_key(conn, name)
    return _models(conn, conn.execute(sa.select(*_COLUMNS).where(store.models.c.key == key)).mappings().all())[0]


def list_models(conn: Connection) -> list[Model]:
    """All models by name."""
    table = store.models
    query = sa.select(*_COLUMNS).where(table.c.deleted.is_(None)).order_by(table.c.name)
    return _models(conn, conn.execute(query).mappings().all())


def models_of_keys(conn: Connection, keys: Iterable[str]) -> list[Model]:
    """The models with these keys, in their order."""
    wanted = list(keys)
    rows = conn.execute(sa.select(*_COLUMNS).where(store.models.c.key.in_(wanted))).mappings().all()
    found = {row["key"]: row for row in rows}
    return _models(conn, [found[key] for key in wanted if key in found])


def update_model(conn: Connection, name: str, *, description: str, at: int, actor: str) -> Model:
    """Describe a model anew."""
    key = model_key(conn, name, lock=True)
    _set(conn, key, description=description, updated=at)
    append_event(conn, "model.updated", subject=name, at=at, actor=actor, data={"description": description})
    return get_model(conn, name)


def rename_model(conn: Connection, name: str, new_name: str, *, at: int, actor: str) -> Model:
    """Give a model another name; versions, aliases and ledger stay its own.

    Raises:
        Conflict: when another model has that name.
    """
    key = model_key(conn, name, lock=True)
    check_model_name(new_name)
    if new_name != name and conn.execute(_named(new_name)).first() is not None:
        raise Conflict(f"model {new_name!r:.80} is there already", field="new_name", next_step="choose another name")
    _set(conn, key, name=new_name, updated=at)
    append_event(conn, "model.renamed", subject=new_name, at=at, actor=actor, data={"from": name})
    return get_model(conn, new_name)


def delete_model(conn: Connection, name: str, *, at: int, actor: str) -> None:
    """Put a model and its versions into the trash; its aliases are taken away, as the ledger says. Its name is free."""
    key = model_key(conn, name, lock=True)
    drop_all_aliases(conn, key, name, at=at, actor=actor, reason="the model was deleted")
    _set(conn, key, deleted=at, updated=at)
    append_event(conn, "model.deleted", subject=name, at=at, actor=actor, data={"key": key})


def restore_model(conn: Connection, name: str, *, at: int, actor: str) -> Model:
    """Take the model that had this name last out of the trash. Its aliases stay away until they are rolled back or set.

    Raises:
        NotFound: when none of this name is there.
        Conflict: when the name was given to another model meanwhile.
    """
    table = store.models
    query = sa.select(table.c.key).where(table.c.name == name, table.c.deleted.is_not(None))
    key = conn.execute(query.order_by(table.c.deleted.desc(), table.c.key.desc()).limit(1)).scalar()
    if key is None:
        raise NotFound(f"no model {name!r:.80} was deleted", field="model", next_step="see: homeostat model ls")
    if conn.execute(_named(name)).first() is not None:
        raise Conflict(
            f"the name {name!r:.80} belongs to another model now", field="name", next_step="rename that one first"
        )
    _set(conn, key, deleted=None, updated=at)
    append_event(conn, "model.restored", subject=name, at=at, actor=actor, data={"key": key})
    return get_model(conn, name)


def set_model_tags(conn: Connection, name: str, tags: Mapping[str, str], *, at: int) -> None:
    """Set tags."""
    key = model_key(conn, name, lock=True)
    rows = [{"model": key, "key": tag, "value": value} for tag, value in check_tags(tags).items()]
    upsert(conn, store.model_tags, rows, key=["model", "key"], update=["value"])
    _set(conn, key, updated=at)


def delete_model_tag(conn: Connection, name: str, tag: str, *, at: int) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the model has no such tag.
    """
    key, table = model_key(conn, name, lock=True), store.model_tags
    if not conn.execute(table.delete().where(table.c.model == key, table.c.key == tag)).rowcount:
        raise NotFound(f"model {name!r:.80} has no tag {tag!r:.80}", field="key", next_step="list its tags")
    _set(conn, key, updated=at)


def _models(conn: Connection, rows: Iterable[Any]) -> list[Model]:
    found = list(rows)
    keys = [row["key"] for row in found]
    tags, newest = _tags(conn, keys), newest_numbers(conn, keys)
    aliases = aliases_of_models(conn, [row["name"] for row in found if row["deleted"] is None])
    return [
        Model(
            **row,
            aliases=aliases[row["name"]] if row["deleted"] is None else {},
            newest=newest.get(row["key"]),
            tags=tags.get(row["key"], {}),
        )
        for row in found
    ]


def _tags(conn: Connection, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    table = store.model_tags
    tags: dict[str, dict[str, str]] = {}
    for model, key, value in conn.execute(table.select().where(table.c.model.in_(keys)).order_by(table.c.key)):
        tags.setdefault(model, {})[key] = value
    return tags


def _named(name: str) -> sa.Select[Any]:
    return sa.select(store.models.c.key).where(store.models.c.name == name, store.models.c.deleted.is_(None))


def _set(conn: Connection, key: str, **values: Any) -> None:
    conn.execute(store.models.update().where(store.models.c.key == key).values(**values))
