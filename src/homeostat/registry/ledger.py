"""The ledger: every move of an alias is a row that says who, when, from, to, why, on what evidence. It only grows."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.ids import new_id
from homeostat.registry import store
from homeostat.registry.lookup import aliases_of_key, names_of
from homeostat.registry.types import AliasMove, Kind
from homeostat.store.dialect import upsert
from homeostat.store.events import append_event


def move_alias(
    conn: Connection,
    model: tuple[str, str],
    alias: str,
    *,
    current: int | None,
    version: int | None,
    at: int,
    actor: str,
    reason: str,
    kind: Kind,
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> AliasMove:
    """Set an alias of a model (its key and its name) and write the move down; `version` None takes the alias away."""
    model_key, name = model
    if version is None:
        same = sa.and_(store.aliases.c.model == model_key, store.aliases.c.alias == alias)
        conn.execute(store.aliases.delete().where(same))
    else:
        row = {"model": model_key, "alias": alias, "version": version}
        upsert(conn, store.aliases, [row], key=["model", "alias"], update=["version"])
    move_id = new_id()
    entry = {
        "id": move_id,
        "model": model_key,
        "alias": alias,
        "from_version": current,
        "to_version": version,
        "at": at,
        "actor": actor,
        "reason": reason,
        "evidence": dict(evidence or {}),
        "kind": kind,
        "key": key,
    }
    conn.execute(store.ledger.insert().values(**entry))
    if current != version:
        data = {"alias": alias, "from": current, "to": version, "kind": kind, "move": move_id}
        append_event(conn, "alias.moved", subject=name, at=at, actor=actor, reason=reason, data=data)
    row_made = conn.execute(store.ledger.select().where(store.ledger.c.id == move_id)).mappings().one()
    return AliasMove(**{**row_made, "model": name})


def moves_of(conn: Connection, key: str, alias: str | None = None) -> list[AliasMove]:
    """The moves of a model (by key), or of one of its aliases, oldest first."""
    query = store.ledger.select().where(store.ledger.c.model == key).order_by(store.ledger.c.seq)
    if alias is not None:
        query = query.where(store.ledger.c.alias == alias)
    name = names_of(conn, [key]).get(key, key)
    return [AliasMove(**{**row, "model": name}) for row in conn.execute(query).mappings()]


def drop_all_aliases(conn: Connection, key: str, name: str, *, at: int, actor: str, reason: str) -> None:
    """Take every alias of a model away."""
    for alias, current in aliases_of_key(conn, key).items():
        _drop(conn, (key, name), alias, current, at=at, actor=actor, reason=reason)


def drop_aliases_at(conn: Connection, key: str, name: str, version: int, *, at: int, actor: str, reason: str) -> None:
    """Take away the aliases that stand on a version."""
    for alias, current in aliases_of_key(conn, key).items():
        if current == version:
            _drop(conn, (key, name), alias, current, at=at, actor=actor, reason=reason)


def _drop(
    conn: Connection, model: tuple[str, str], alias: str, current: int, *, at: int, actor: str, reason: str
) -> None:
    move_alias(conn, model, alias, current=current, version=None, at=at, actor=actor, reason=reason, kind="remove")
