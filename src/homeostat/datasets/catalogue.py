"""Dataset versions in the catalogue: recording, finding, listing. Light: no frame is touched here."""

import re
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.datasets import store
from homeostat.datasets.types import DatasetVersion, Fragment
from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event

_REF = re.compile(r"(?:(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)@)?(?P<prefix>[0-9a-f]{4,64})")


def record_dataset(
    conn: Connection, version: DatasetVersion, *, at: int, actor: str, parent: str | None = None
) -> DatasetVersion:
    """Enter a version that `put_dataset` wrote; entering it again gives the one that is there."""
    row = {
        "digest": version.digest,
        "name": version.name,
        "rows": version.rows,
        "schema": [[column, dtype] for column, dtype in version.schema.items()],
        "manifest": msgspec.to_builtins(version.fragments),
        "created": at,
        "parent": parent or version.parent,
    }
    if insert_new(conn, store.versions, [row]):
        data = {"digest": version.digest, "rows": version.rows, "parent": row["parent"]}
        append_event(conn, "dataset.recorded", subject=version.name, at=at, actor=actor, data=data)
    return get_dataset(conn, version.digest)


def get_dataset(conn: Connection, ref: str) -> DatasetVersion:
    """The version with this digest, unique digest prefix (4 characters or more), or `name@prefix`.

    Raises:
        Invalid: when `ref` is none of these.
        NotFound: when there is no such version.
        Conflict: when the prefix fits several; the next step lists them.
    """
    match = _REF.fullmatch(ref)
    if match is None:
        raise Invalid(f"{ref!r} is not a dataset reference", field="dataset", next_step="write NAME@7f3a12ab")
    query = store.versions.select().where(store.versions.c.digest.startswith(match["prefix"]))
    if match["name"]:
        query = query.where(store.versions.c.name == match["name"])
    found = [_version(row) for row in conn.execute(query.order_by(store.versions.c.digest).limit(6)).mappings()]
    if not found:
        raise NotFound(f"there is no dataset version {ref!r}", field="dataset", next_step=_known(conn, match["name"]))
    if len(found) > 1:
        names = ", ".join(f"{version.name}@{version.digest[:16]}" for version in found)
        raise Conflict(f"{ref!r} fits several dataset versions", field="dataset", next_step=f"one of: {names}")
    return found[0]


def list_datasets(conn: Connection, *, name: str | None = None, limit: int = 100) -> list[DatasetVersion]:
    """Versions, newest first."""
    order = (store.versions.c.created.desc(), store.versions.c.digest)
    query = store.versions.select().order_by(*order).limit(limit)
    if name is not None:
        query = query.where(store.versions.c.name == name)
    return [_version(row) for row in conn.execute(query).mappings()]


def _version(row: Any) -> DatasetVersion:  # a RowMapping; its values are what the table holds
    return DatasetVersion(
        digest=row["digest"],
        name=row["name"],
        rows=row["rows"],
        schema=dict(row["schema"]),
        fragments=msgspec.convert(row["manifest"], tuple[Fragment, ...]),
        created=row["created"],
        parent=row["parent"],
    )


def _known(conn: Connection, name: str | None) -> str:
    known = list_datasets(conn, name=name, limit=5) or list_datasets(conn, limit=5)
    return f"the newest are: {', '.join(version.short for version in known)}" if known else "none is recorded yet"
