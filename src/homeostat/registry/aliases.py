"""Aliases and their ledger: every move is a row that says who, when, from, to, why, on what evidence.

Rolling back is moving back. The ledger is walked as a stack, so a second rollback goes further back instead of
returning to where the first one came from.
"""

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.ids import check_name, new_id
from homeostat.registry import store
from homeostat.registry.models import aliases_of, get_model, get_version, lock_model
from homeostat.registry.types import AliasMove, Kind
from homeostat.store.dialect import upsert
from homeostat.store.events import append_event

# A reference reads `NAME@4` as a version, so no alias may look like one.
_RESERVED = re.compile(r"\d+|[vV]\d+|latest")


def set_alias(
    conn: Connection,
    model: str,
    alias: str,
    version: int,
    *,
    at: int,
    actor: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    expected: int | UnsetType | None = UNSET,
    key: str | None = None,
    kind: Kind = "set",
) -> AliasMove:
    """Move an alias to a version and write the move into the ledger.

    `expected` makes it compare-and-set: the version the alias must stand on now (None: on none). The same `key` again
    returns the move it made the first time. Without a key, an alias that stands there already is not moved.

    Raises:
        NotFound: when the model or the version is not there.
        Conflict: when the alias stands elsewhere than `expected`, or `key` was used for another move.
    """
    _check_alias(alias)
    lock_model(conn, model)
    done = _move_with_key(conn, model, key)
    if done is not None:
        return _same_move(done, alias, version)
    get_version(conn, model, version)
    current = aliases_of(conn, model).get(alias)
    if expected is not UNSET and current != expected:
        raise Conflict(
            f"{alias} of {model!r} is at {_spoken(current)}, expected {_spoken(expected)}",
            field="expected",
            next_step="look at the history and decide again",
        )
    if current == version and key is None:
        return _moves(conn, model, alias)[-1]
    return _move(
        conn, model, alias, current, version, at=at, actor=actor, reason=reason, evidence=evidence, key=key, kind=kind
    )


def remove_alias(
    conn: Connection,
    model: str,
    alias: str,
    *,
    at: int,
    actor: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> AliasMove:
    """Take an alias away; a rollback brings it back.

    Raises:
        NotFound: when the alias stands on no version.
    """
    lock_model(conn, model)
    done = _move_with_key(conn, model, key)
    if done is not None:
        return _same_move(done, alias, None)
    current = get_version(conn, model, _check_alias(alias)).version
    return _move(
        conn, model, alias, current, None, at=at, actor=actor, reason=reason, evidence=evidence, key=key, kind="remove"
    )


def rollback(
    conn: Connection,
    model: str,
    *,
    alias: str = "champion",
    at: int,
    actor: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    to: int | None = None,
    key: str | None = None,
) -> AliasMove:
    """Move an alias back to the version that held it before, or to an earlier holder `to`.

    Raises:
        Conflict: when there is nothing to go back to, or `to` never held the alias.
    """
    lock_model(conn, model)
    done = _move_with_key(conn, model, key)
    if done is not None:
        return _same_move(done, _check_alias(alias), done.to_version if to is None else to)
    target = _rollback_target(model, alias, _moves(conn, model, alias), to)
    current = aliases_of(conn, model).get(alias)
    return _move(
        conn,
        model,
        alias,
        current,
        target,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
        key=key,
        kind="rollback",
    )


def history(conn: Connection, model: str, *, alias: str | None = None) -> list[AliasMove]:
    """The ledger of a model (or of one of its aliases), oldest first."""
    moves = _moves(conn, model, alias)
    if not moves:
        get_model(conn, model)
    return moves


def version_at(conn: Connection, model: str, alias: str, time: int) -> int | None:
    """The version an alias stood on at `time` (microseconds UTC); None when it stood on none."""
    table = store.ledger
    query = (
        sa.select(table.c.to_version)
        .where(table.c.model == model, table.c.alias == alias, table.c.at <= time)
        .order_by(table.c.at.desc(), table.c.seq.desc())
        .limit(1)
    )
    row = conn.execute(query).first()
    if row is None:
        get_model(conn, model)
        return None
    return row.to_version if row.to_version is None else int(row.to_version)


def _move(
    conn: Connection,
    model: str,
    alias: str,
    current: int | None,
    version: int | None,
    *,
    at: int,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None,
    key: str | None,
    kind: Kind,
) -> AliasMove:
    if version is None:
        same = sa.and_(store.aliases.c.model == model, store.aliases.c.alias == alias)
        conn.execute(store.aliases.delete().where(same))
    else:
        row = {"model": model, "alias": alias, "version": version}
        upsert(conn, store.aliases, [row], key=["model", "alias"], update=["version"])
    move_id = new_id()
    entry = {
        "id": move_id,
        "model": model,
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
        append_event(conn, "alias.moved", subject=model, at=at, actor=actor, reason=reason, data=data)
    row_made = conn.execute(store.ledger.select().where(store.ledger.c.id == move_id)).mappings().one()
    return AliasMove(**row_made)


def _moves(conn: Connection, model: str, alias: str | None) -> list[AliasMove]:
    query = store.ledger.select().where(store.ledger.c.model == model).order_by(store.ledger.c.seq)
    if alias is not None:
        query = query.where(store.ledger.c.alias == alias)
    return [AliasMove(**row) for row in conn.execute(query).mappings()]


def _rollback_target(model: str, alias: str, moves: list[AliasMove], to: int | None) -> int:
    holders = _holders(moves)
    current = holders[-1] if holders else None
    held = sorted({move.to_version for move in moves if move.to_version is not None})
    if to is not None:
        if to not in held or to == current:
            raise Conflict(
                f"{alias} of {model!r} cannot go back to version {to}: it "
                + ("stands there already" if to == current else "never held the alias"),
                field="to",
                next_step=f"versions that held it: {', '.join(map(str, held)) or 'none'}",
            )
        return to
    before = [holder for holder in holders[:-1] if holder is not None and holder != current]
    if not before:
        raise Conflict(
            f"{alias} of {model!r} has nothing to go back to: it is at {_spoken(current)}, none held it before",
            field="alias",
            next_step=f"promote another version, or remove the alias; versions that held it: "
            f"{', '.join(map(str, held)) or 'none'}",
        )
    return before[-1]


def _holders(moves: list[AliasMove]) -> list[int | None]:
    """The stack of holders, the present one last: moves push, rollbacks pop down to where they went."""
    stack: list[int | None] = []
    for move in moves:
        if move.kind == "rollback" and move.to_version in stack:
            while stack[-1] != move.to_version:
                stack.pop()
        elif not stack or stack[-1] != move.to_version:
            stack.append(move.to_version)
    return stack


def _move_with_key(conn: Connection, model: str, key: str | None) -> AliasMove | None:
    if key is None:
        return None
    query = store.ledger.select().where(store.ledger.c.model == model, store.ledger.c.key == key)
    row = conn.execute(query).mappings().first()
    return AliasMove(**row) if row else None


def _same_move(done: AliasMove, alias: str, version: int | None) -> AliasMove:
    if (done.alias, done.to_version) == (alias, version):
        return done
    raise Conflict(
        f"key {done.key!r} of {done.model!r} moved {done.alias} to {_spoken(done.to_version)} already",
        field="key",
        next_step="use a new key",
    )


def _check_alias(alias: str) -> str:
    if _RESERVED.fullmatch(alias):
        raise Invalid(f"{alias!r} cannot be an alias", field="alias", next_step="use a word, such as champion")
    return check_name(alias, what="alias")


def _spoken(version: int | UnsetType | None) -> str:
    return f"version {version}" if isinstance(version, int) else "no version"
