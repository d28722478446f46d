"""Text that a logged model or a trace owns: params, tags, metadata, one row a key."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.store.dialect import upsert
from homeostat.tracking import store
from homeostat.tracking.values import check_key, storable

_OWNERS_AT_ONCE = 5_000


def set_texts(conn: Connection, table: sa.Table, owner: int, project: int, texts: Mapping[str, str]) -> None:
    """Set these; keys have been checked by `checked_texts`."""
    name = table.primary_key.columns[0].name
    rows = [
        {name: owner, "key": key, "project": project, "head": value[: store.HEAD], "value": value}
        for key, value in texts.items()
    ]
    upsert(conn, table, rows, key=[name, "key"], update=["head", "value"])


def delete_text(conn: Connection, table: sa.Table, owner: int, key: str) -> bool:
    """Take one away; says whether it was there."""
    column = table.primary_key.columns[0]
    return bool(conn.execute(table.delete().where(column == owner, table.c.key == key)).rowcount)


def texts_of(conn: Connection, table: sa.Table, owners: Sequence[int]) -> dict[int, dict[str, str]]:
    """All texts of some owners, by owner's number, in order of their keys."""
    column = table.primary_key.columns[0]
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(owners), _OWNERS_AT_ONCE):
        query = sa.select(column, table.c.key, table.c.value).order_by(column, table.c.key)
        for owner, key, value in conn.execute(query.where(column.in_(owners[start : start + _OWNERS_AT_ONCE]))):
            found.setdefault(owner, {})[key] = value
    return found


def checked_texts(texts: Mapping[str, str], what: str, *, key_limit: int, value_limit: int) -> dict[str, str]:
    """`texts` if keys and values keep to their limits.

    Raises:
        Invalid: naming the key that does not, and the limit.
    """
    return {
        check_key(key, what, limit=key_limit): _checked_value(key, value, what, value_limit)
        for key, value in texts.items()
    }


def _checked_value(key: str, value: str, what: str, limit: int) -> str:
    if len(value) <= limit:
        return storable(value)
    raise Invalid(
        f"{what} {key!r:.80} has a value of {len(value)} characters",
        field="value",
        next_step=f"use at most {limit}, or log a file",
    )
