"""Versions: registering, finding, describing, deleting them. What a version is made of never changes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.ground.records import ColumnBins, Signature
from homeostat.registry import store
from homeostat.registry.ledger import drop_aliases_at
from homeostat.registry.lookup import alias_at, model_key, names_of, newest_number, no_version
from homeostat.registry.tags import check_tags
from homeostat.registry.types import ModelVersion, PackageFile, StoredPackage
from homeostat.store.dialect import upsert
from homeostat.store.events import append_event

_AT_ONCE = 5_000
"""Places a query; SQLite takes 32,766 values."""
NO_SIGNATURE = Signature(task="", inputs=(), columns=(), feature_hash="")
"""Of versions whose makers said nothing that we could read."""


def register_version(
    conn: Connection,
    *,
    model: str,
    run_id: str | None,
    package: StoredPackage,
    signature: Signature = NO_SIGNATURE,
    bins: Sequence[ColumnBins] = (),
    evaluation: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    lineage: Mapping[str, Any] | None = None,
    signed: Mapping[str, Any] | None = None,
    source: str = "",
    run_link: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    again: bool = False,
    number: int | None = None,
    at: int,
    actor: str,
) -> ModelVersion:
    """Give the next number of `model` to a package. The same run gives the version it has, unless `again`.

    An import asks for the `number` it had elsewhere, and gets it when it is beyond all that were given.

    Raises:
        NotFound: when the model has not been created.
    """
    key = model_key(conn, model, lock=True)
    if run_id is not None and not again:
        done = conn.execute(_of(key).where(store.versions.c.run_id == run_id)).mappings().first()
        if done is not None:
            return _versions(conn, [done])[0]
    following = (newest_number(conn, key, with_deleted=True) or 0) + 1
    row = {
        "model": key,
        "version": max(following, number or 0),
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
        "source": source,
        "run_link": run_link,
        "description": description,
        "stage": "",
        "updated": at,
    }
    conn.execute(store.versions.insert().values(**row))
    conn.execute(store.models.update().where(store.models.c.key == key).values(updated=at))
    data = {"version": row["version"], "run_id": run_id, "package_digest": package.digest, "dataset": dataset}
    data |= {"source": source, "description": description, "tags": dict(tags or {})}
    append_event(conn, "version.registered", subject=model, at=at, actor=actor, data=data)
    if tags:
        set_version_tags(conn, model, row["version"], tags, at=at, actor=actor, announce=False)
    return get_version(conn, model, row["version"])


def get_version(conn: Connection, model: str, version: int | str) -> ModelVersion:
    """The version with this number, or the one an alias stands on.

    Raises:
        NotFound: naming the model; the next step lists its aliases and newest version.
    """
    key = model_key(conn, model)
    number = int(version) if isinstance(version, int) or version.isdecimal() else alias_at(conn, model, version)
    row = None
    if 0 < number < 2**31:  # what the column holds; PostgreSQL refuses to compare it with more
        row = conn.execute(_of(key).where(store.versions.c.version == number)).mappings().first()
    if row is None:
        raise no_version(conn, model, version)
    return _versions(conn, [row])[0]


def list_versions(conn: Connection, model: str) -> list[ModelVersion]:
    """All versions of a model, newest first."""
    query = _of(model_key(conn, model)).order_by(store.versions.c.version.desc())
    return _versions(conn, conn.execute(query).mappings().all())


def versions_of_run(conn: Connection, model: str, run_id: str) -> list[ModelVersion]:
    """The versions of a model that came from a run."""
    query = _of(model_key(conn, model)).where(store.versions.c.run_id == run_id).order_by(store.versions.c.version)
    return _versions(conn, conn.execute(query).mappings().all())


def count_versions(conn: Connection, model: str) -> int:
    """How many versions a model has, without reading them."""
    table = store.versions
    same = sa.and_(table.c.model == model_key(conn, model), table.c.deleted.is_(None))
    return conn.execute(sa.select(sa.func.count()).select_from(table).where(same)).scalar_one()


def versions_at(conn: Connection, places: Sequence[tuple[str, int]]) -> list[ModelVersion]:
    """The versions with these model keys and numbers, in this order."""
    table, found = store.versions, {}
    for start in range(0, len(places), _AT_ONCE):
        some = sa.tuple_(table.c.model, table.c.version).in_(places[start : start + _AT_ONCE])
        for row in conn.execute(table.select().where(some)).mappings():
            found[row["model"], row["version"]] = row
    return _versions(conn, [found[place] for place in places])


def newest_by_stage(conn: Connection, keys: Iterable[str]) -> dict[str, dict[str, ModelVersion]]:
    """The newest version of each stage ('' for those in none), of the models with these keys."""
    table, wanted = store.versions, list(keys)
    query = (
        sa.select(table.c.model, table.c.stage, sa.func.max(table.c.version))
        .where(table.c.model.in_(wanted), table.c.deleted.is_(None))
        .group_by(table.c.model, table.c.stage)
    )
    rows = conn.execute(query).all()
    found: dict[str, dict[str, ModelVersion]] = {key: {} for key in wanted}
    for row, version in zip(rows, versions_at(conn, [(row[0], row[2]) for row in rows]), strict=True):
        found[row[0]][row[1]] = version
    return found


def update_version(
    conn: Connection, model: str, version: int, *, description: str, at: int, actor: str
) -> ModelVersion:
    """Describe a version anew; its package stays what it is."""
    found = get_version(conn, model, version)
    _set(conn, model_key(conn, model, lock=True), found.version, description=description, updated=at)
    data = {"version": found.version, "description": description}
    append_event(conn, "version.updated", subject=model, at=at, actor=actor, data=data)
    return get_version(conn, model, version)


def keep_signature(
    conn: Connection, model: str, version: int, signature: Signature, *, at: int, actor: str
) -> ModelVersion:
    """Note what somebody who looked at a version found; one whose answers are known keeps what it has."""
    found = get_version(conn, model, version)
    if not found.signature.task:
        plain = msgspec.to_builtins(signature)
        _set(conn, model_key(conn, model, lock=True), found.version, signature=plain, updated=at)
        data = {"version": found.version, "task": signature.task, "obstacle": signature.obstacle}
        append_event(conn, "version.inspected", subject=model, at=at, actor=actor, data=data)
    return get_version(conn, model, version)


def delete_version(conn: Connection, model: str, version: int, *, at: int, actor: str) -> None:
    """Take a version out of sight. Aliases on it are taken away (the ledger says so); its number is never reused."""
    key = model_key(conn, model, lock=True)
    found = get_version(conn, model, version)
    drop_aliases_at(conn, key, model, found.version, at=at, actor=actor, reason=f"version {found.version} was deleted")
    _set(conn, key, found.version, deleted=at, updated=at, stage="")
    append_event(conn, "version.deleted", subject=model, at=at, actor=actor, data={"version": found.version})


def set_version_tags(
    conn: Connection, model: str, version: int, tags: Mapping[str, str], *, at: int, actor: str, announce: bool = True
) -> None:
    """Set tags."""
    key = model_key(conn, model, lock=True)
    number = get_version(conn, model, version).version
    checked = check_tags(tags)
    rows = [{"model": key, "version": number, "key": tag, "value": value} for tag, value in checked.items()]
    upsert(conn, store.version_tags, rows, key=["model", "version", "key"], update=["value"])
    if announce:
        _set(conn, key, number, updated=at)
        for tag, value in checked.items():
            data = {"version": number, "key": tag, "value": value[:1000]}
            append_event(conn, "version.tag_set", subject=model, at=at, actor=actor, data=data)


def delete_version_tag(conn: Connection, model: str, version: int, tag: str, *, at: int, actor: str) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the version has no such tag.
    """
    key, table = model_key(conn, model, lock=True), store.version_tags
    number = get_version(conn, model, version).version
    same = sa.and_(table.c.model == key, table.c.version == number, table.c.key == tag)
    if not conn.execute(table.delete().where(same)).rowcount:
        raise NotFound(f"{model}@{number} has no tag {tag!r:.80}", field="key", next_step="list its tags")
    _set(conn, key, number, updated=at)
    append_event(conn, "version.tag_removed", subject=model, at=at, actor=actor, data={"version": number, "key": tag})


def _of(key: str) -> sa.Select[Any]:
    return store.versions.select().where(store.versions.c.model == key, store.versions.c.deleted.is_(None))


def _set(conn: Connection, key: str, version: int, **values: Any) -> None:
    same = sa.and_(store.versions.c.model == key, store.versions.c.version == version)
    conn.execute(store.versions.update().where(same).values(**values))


def _versions(conn: Connection, rows: Iterable[Any]) -> list[ModelVersion]:  # RowMappings of registry_versions
    found = list(rows)
    if not found:
        return []
    keys = {row["model"] for row in found}
    names, tags = names_of(conn, keys), _tags(conn, keys, {row["version"] for row in found})
    return [_version(row, names[row["model"]], tags.get((row["model"], row["version"]), {})) for row in found]


def _version(row: Any, name: str, tags: dict[str, str]) -> ModelVersion:
    values = dict(row)
    manifest = msgspec.convert(values["package"], dict[str, PackageFile])
    values["model"] = name
    values["package"] = StoredPackage(values.pop("flavor"), manifest)
    values["signature"] = msgspec.convert(values["signature"], Signature)
    values["bins"] = msgspec.convert(values["bins"], tuple[ColumnBins, ...])
    del values["deleted"]
    return ModelVersion(**values, tags=tags)


def _tags(conn: Connection, keys: set[str], numbers: set[int]) -> dict[tuple[str, int], dict[str, str]]:
    table = store.version_tags
    found: dict[tuple[str, int], dict[str, str]] = {}
    query = table.select().where(table.c.model.in_(keys)).order_by(table.c.key)
    if len(numbers) < _AT_ONCE:
        query = query.where(table.c.version.in_(numbers))
    for model, version, key, value in conn.execute(query):
        found.setdefault((model, version), {})[key] = value
    return found
