"""From a model's name to its key, and where its aliases stand."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.registry import store

_NAME_LIMIT = 256


def check_model_name(name: str) -> str:
    """`name` if it can be a model's: what MLflow takes, which is nearly everything but '/' and ':'.

    Raises:
        Invalid: saying what is wrong with it.
    """
    usable = 0 < len(name) <= _NAME_LIMIT and name.strip() and name.isprintable() and not set(name) & set("/:")
    if usable:
        return name
    raise Invalid(
        f"model name {name!r:.80} is not usable",
        field="name",
        next_step=f"use 1 to {_NAME_LIMIT} printable characters without '/' and ':'",
    )


def model_key(conn: Connection, name: str, *, lock: bool = False) -> str:
    """What a model is known by, whatever it is called. With `lock` its writers take turns until the transaction ends.

    Raises:
        NotFound: when no model has this name now; the next step lists close names.
    """
    table = store.models
    query = sa.select(table.c.key).where(table.c.name == name, table.c.deleted.is_(None))
    key = conn.execute(query.with_for_update() if lock else query).scalar()
    if key is None:
        raise no_model(conn, name)
    return str(key)


def names_of(conn: Connection, keys: Iterable[str]) -> dict[str, str]:
    """Key to name, of models that are or were."""
    table = store.models
    query = sa.select(table.c.key, table.c.name).where(table.c.key.in_(sorted(set(keys))))
    return {row.key: row.name for row in conn.execute(query)}


def aliases_of(conn: Connection, model: str) -> dict[str, int]:
    """Where each alias of a model stands; nothing for one that is declared and has no version yet."""
    table = store.models
    query = sa.select(table.c.key).where(table.c.name == model, table.c.deleted.is_(None))
    key = conn.execute(query).scalar()
    return {} if key is None else aliases_of_key(conn, key)


def aliases_of_models(conn: Connection, names: Iterable[str]) -> dict[str, dict[str, int]]:
    """`aliases_of` many models at once."""
    table, wanted = store.aliases, sorted(set(names))
    query = (
        sa.select(store.models.c.name, table.c.alias, table.c.version)
        .join_from(table, store.models, table.c.model == store.models.c.key)
        .where(store.models.c.deleted.is_(None), store.models.c.name.in_(wanted))
        .order_by(table.c.alias)
    )
    found: dict[str, dict[str, int]] = {name: {} for name in wanted}
    for name, alias, version in conn.execute(query):
        found[name][alias] = version
    return found


def aliases_of_key(conn: Connection, key: str) -> dict[str, int]:
    """`aliases_of`, by the model's key."""
    table = store.aliases
    query = sa.select(table.c.alias, table.c.version).where(table.c.model == key).order_by(table.c.alias)
    return {row.alias: row.version for row in conn.execute(query)}


def alias_at(conn: Connection, model: str, alias: str) -> int:
    """The number of the version an alias stands on.

    Raises:
        NotFound: when it stands on none; the next step lists the aliases there are.
    """
    known = aliases_of_key(conn, model_key(conn, model))
    if alias not in known:
        raise no_version(conn, model, alias)
    return known[alias]


def newest_numbers(conn: Connection, keys: Iterable[str]) -> dict[str, int]:
    """`newest_number` of many models at once; those without a version are left out."""
    table = store.versions
    query = sa.select(table.c.model, sa.func.max(table.c.version)).group_by(table.c.model)
    rows = conn.execute(query.where(table.c.model.in_(list(keys)), table.c.deleted.is_(None)))
    return {row[0]: row[1] for row in rows}


def newest_number(conn: Connection, key: str, *, with_deleted: bool = False) -> int | None:
    """The highest version number of a model; a deleted one is never given again."""
    table = store.versions
    query = sa.select(sa.func.max(table.c.version)).where(table.c.model == key)
    return conn.execute(query if with_deleted else query.where(table.c.deleted.is_(None))).scalar()


def no_model(conn: Connection, name: str) -> NotFound:
    """The error for a model that is not there."""
    table = store.models
    known = (
        conn.execute(sa.select(table.c.name).where(table.c.deleted.is_(None)).order_by(table.c.name)).scalars().all()
    )
    close = get_close_matches(name, known, n=3, cutoff=0.5) or list(known[:5])
    step = f"known models: {', '.join(close)}" if close else "no model is registered yet; declare one with: apply"
    return NotFound(f"there is no model {name!r:.80}", field="model", next_step=step)


def no_version(conn: Connection, model: str, version: int | str) -> NotFound:
    """The error for a version or an alias that is not there."""
    key = model_key(conn, model)
    what = f"version {version}" if isinstance(version, int) or version.isdecimal() else f"alias {version!r:.80}"
    newest: Any = newest_number(conn, key)
    if newest is None:
        step = f"nothing is registered yet; train one with: homeostat train {model}"
    else:
        aliases = ", ".join(f"{alias} -> {number}" for alias, number in aliases_of_key(conn, key).items()) or "none"
        step = f"versions run from 1 to {newest}, aliases: {aliases}"
    return NotFound(f"model {model!r:.80} has no {what}", field="version", next_step=step)
