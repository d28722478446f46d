"""Aliases and their ledger: every move is a row that says who, when, from, to, why, on what evidence.

Rolling back is moving back. The ledger is walked as a stack, so a second rollback goes further back instead of
returning to where the first one came from.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.ids import check_name
from homeostat.registry import store
from homeostat.registry.ledger import move_alias, moves_of
from homeostat.registry.lookup import aliases_of_key, model_key
from homeostat.registry.types import AliasMove, Kind
from homeostat.registry.versions import get_version

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
    check_alias(alias)
    model_id = model_key(conn, model, lock=True)
    done = _move_with_key(conn, model_id, model, key)
    if done is not None:
        return _same_move(done, alias, version)
    get_version(conn, model, version)
    current = aliases_of_key(conn, model_id).get(alias)
    if expected is not UNSET and current != expected:
        raise Conflict(
            f"{alias} of {model!r} is at {_spoken(current)}, expected {_spoken(expected)}",
            field="expected",
            next_step="look at the history and decide again",
        )
    if current == version and key is None:
        return moves_of(conn, model_id, alias)[-1]
    return move_alias(
        conn,
        (model_id, model),
        alias,
        current=current,
        version=version,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
        key=key,
        kind=kind,
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
    model_id = model_key(conn, model, lock=True)
    done = _move_with_key(conn, model_id, model, key)
    if done is not None:
        return _same_move(done, alias, None)
    current = get_version(conn, model, check_alias(alias)).version
    return move_alias(
        conn,
        (model_id, model),
        alias,
        current=current,
        version=None,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
        key=key,
        kind="remove",
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
    model_id = model_key(conn, model, lock=True)
    done = _move_with_key(conn, model_id, model, key)
    if done is not None:
        return _same_move(done, check_alias(alias), done.to_version if to is None else to)
    target = rollback_target(model, alias, moves_of(conn, model_id, alias), to)
    current = aliases_of_key(conn, model_id).get(alias)
    get_version(conn, model, target)  # a deleted one cannot come back into service
    return move_alias(
        conn,
        (model_id, model),
        alias,
        current=current,
        version=target,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
        key=key,
        kind="rollback",
    )


def history(conn: Connection, model: str, *, alias: str | None = None) -> list[AliasMove]:
    """The ledger of a model (or of one of its aliases), oldest first."""
    return moves_of(conn, model_key(conn, model), alias)


def version_at(conn: Connection, model: str, alias: str, time: int) -> int | None:
    """The version an alias stood on at `time` (microseconds UTC); None when it stood on none."""
    move = move_at(conn, model, alias, time)
    return None if move is None else move.to_version


def move_at(conn: Connection, model: str, alias: str, time: int) -> AliasMove | None:
    """The move that put an alias where it stood at `time`: who, when and why; None when it had never moved."""
    table = store.ledger
    query = (
        table.select()
        .where(table.c.model == model_key(conn, model), table.c.alias == alias, table.c.at <= time)
        .order_by(table.c.at.desc(), table.c.seq.desc())
        .limit(1)
    )
    row = conn.execute(query).mappings().first()
    return None if row is None else AliasMove(**{**row, "model": model})


def rollback_target(model: str, alias: str, moves: list[AliasMove], to: int | None) -> int:
    """The version an alias goes back to: an earlier holder `to`, or the one before the present one.

    Raises:
        Conflict: when there is nothing to go back to, or `to` never held the alias.
    """
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


def _move_with_key(conn: Connection, model_id: str, name: str, key: str | None) -> AliasMove | None:
    if key is None:
        return None
    query = store.ledger.select().where(store.ledger.c.model == model_id, store.ledger.c.key == key)
    row = conn.execute(query).mappings().first()
    return AliasMove(**{**row, "model": name}) if row else None


def _same_move(done: AliasMove, alias: str, version: int | None) -> AliasMove:
    if (done.alias, done.to_version) == (alias, version):
        return done
    raise Conflict(
        f"key {done.key!r} of {done.model!r} moved {done.alias} to {_spoken(done.to_version)} already",
        field="key",
        next_step="use a new key",
    )


def check_alias(alias: str) -> str:
    """`alias` if it can be one: a word that does not read as a version.

    Raises:
        Invalid: saying what is wrong with it.
    """
    if _RESERVED.fullmatch(alias):
        raise Invalid(f"{alias!r} cannot be an alias", field="alias", next_step="use a word, such as champion")
    return check_name(alias, what="alias")


def _spoken(version: int | UnsetType | None) -> str:
    return f"version {version}" if isinstance(version, int) else "no version"
