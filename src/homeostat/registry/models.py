"""Models and their versions: creating, registering, finding."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.ground.ids import check_name
from homeostat.ground.records import ColumnBins, Signature
from homeostat.registry import store
from homeostat.registry.types import Model, ModelVersion, PackageFile, StoredPackage
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event


def create_model(conn: Connection, name: str, *, description: str = "", at: int, actor: str) -> Model:
    """Make a model; one that is there already is returned as it is."""
    check_name(name, what="model")
    if insert_new(conn, store.models, [{"name": name, "description": description, "created": at}]):
        append_event(conn, "model.created", subject=name, at=at, actor=actor, data={"description": description})
    return get_model(conn, name)


def get_model(conn: Connection, name: str) -> Model:
    """A model with its aliases.

    Raises:
        NotFound: when there is none; the next step lists close names.
    """
    row = conn.execute(store.models.select().where(store.models.c.name == name)).mappings().first()
    if row is None:
        raise _no_model(conn, name)
    aliases, newest = aliases_of(conn, name), _newest(conn, name)
    return Model(**row, aliases=aliases, newest=newest)


def list_models(conn: Connection) -> list[Model]:
    """All models by name."""
    names = conn.execute(sa.select(store.models.c.name).order_by(store.models.c.name)).scalars().all()
    return [get_model(conn, name) for name in names]


def register_version(
    conn: Connection,
    *,
    model: str,
    run_id: str,
    package: StoredPackage,
    signature: Signature,
    bins: Sequence[ColumnBins] = (),
    evaluation: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    lineage: Mapping[str, Any] | None = None,
    signed: Mapping[str, Any] | None = None,
    at: int,
    actor: str,
) -> ModelVersion:
    """Give the next number of `model` to what `run_id` made; the same run again returns the version it has.

    Raises:
        NotFound: when the model has not been created.
    """
    lock_model(conn, model)
    done = conn.execute(_of(model).where(store.versions.c.run_id == run_id)).mappings().first()
    if done is not None:
        return _version(done)
    row = {
        "model": model,
        "version": (_newest(conn, model) or 0) + 1,
        "run_id": run_id,
        "flavor": package.flavor,
        "package": msgspec.to_builtins(package.manifest),
        "package_digest": package.digest,
        "signature": msgspec.to_builtins(signature),
        "bins": msgspec.to_builtins(list(bins)),
        "evaluation": dict(evaluation or {}),
        "dataset": dataset,
        "lineage": dict(lineage or {}),
        "created": at,
        "actor": actor,
        "signed": None if signed is None else dict(signed),
    }
    conn.execute(store.versions.insert().values(**row))
    data = {"version": row["version"], "run_id": run_id, "package_digest": package.digest, "dataset": dataset}
    append_event(conn, "version.registered", subject=model, at=at, actor=actor, data=data)
    return get_version(conn, model, row["version"])


def get_version(conn: Connection, model: str, version: int | str) -> ModelVersion:
    """The version with this number, or the one an alias stands on.

    Raises:
        NotFound: naming the model; the next step lists its aliases and newest version.
    """
    number = int(version) if isinstance(version, int) or version.isdecimal() else alias_at(conn, model, version)
    row = conn.execute(_of(model).where(store.versions.c.version == number)).mappings().first()
    if row is None:
        raise _no_version(conn, model, version)
    return _version(row)


def list_versions(conn: Connection, model: str) -> list[ModelVersion]:
    """All versions of a model, newest first."""
    rows = conn.execute(_of(model).order_by(store.versions.c.version.desc())).mappings().all()
    if not rows:
        get_model(conn, model)
    return [_version(row) for row in rows]


def aliases_of(conn: Connection, model: str) -> dict[str, int]:
    """Where each alias of a model stands."""
    table = store.aliases
    query = sa.select(table.c.alias, table.c.version).where(table.c.model == model).order_by(table.c.alias)
    return {row.alias: row.version for row in conn.execute(query)}


def alias_at(conn: Connection, model: str, alias: str) -> int:
    """The number of the version an alias stands on.

    Raises:
        NotFound: when it stands on none; the next step lists the aliases there are.
    """
    known = aliases_of(conn, model)
    if alias not in known:
        raise _no_version(conn, model, alias)
    return known[alias]


def lock_model(conn: Connection, name: str) -> None:
    """Hold the model's row until the transaction ends, so that its writers take turns (SQLite has one writer anyway).

    Raises:
        NotFound: when there is no such model.
    """
    query = sa.select(store.models.c.name).where(store.models.c.name == name).with_for_update()
    if conn.execute(query).first() is None:
        raise _no_model(conn, name)


def _of(model: str) -> sa.Select[Any]:
    return store.versions.select().where(store.versions.c.model == model)


def _newest(conn: Connection, model: str) -> int | None:
    query = sa.select(sa.func.max(store.versions.c.version)).where(store.versions.c.model == model)
    return conn.execute(query).scalar()


def _version(row: Any) -> ModelVersion:  # a RowMapping; its values are what the table holds
    values = dict(row)
    manifest = msgspec.convert(values["package"], dict[str, PackageFile])
    values["package"] = StoredPackage(values.pop("flavor"), manifest)
    values["signature"] = msgspec.convert(values["signature"], Signature)
    values["bins"] = msgspec.convert(values["bins"], tuple[ColumnBins, ...])
    return ModelVersion(**values)


def _no_model(conn: Connection, name: str) -> NotFound:
    known = conn.execute(sa.select(store.models.c.name).order_by(store.models.c.name)).scalars().all()
    close = get_close_matches(name, known, n=3, cutoff=0.5) or list(known[:5])
    step = f"known models: {', '.join(close)}" if close else "no model is registered yet; declare one with: apply"
    return NotFound(f"there is no model {name!r}", field="model", next_step=step)


def _no_version(conn: Connection, model: str, version: int | str) -> NotFound:
    found = get_model(conn, model)
    what = f"version {version}" if isinstance(version, int) or version.isdecimal() else f"alias {version!r}"
    if found.newest is None:
        step = f"nothing is registered yet; train one with: homeostat train {model}"
    else:
        aliases = ", ".join(f"{alias} -> {number}" for alias, number in found.aliases.items()) or "none"
        step = f"versions run from 1 to {found.newest}, aliases: {aliases}"
    return NotFound(f"model {model!r} has no {what}", field="version", next_step=step)
