"""Which params, metrics and tags a project knows: what a page offers as columns, without reading a run."""

from collections.abc import Iterator
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.tracking import store

Kind = Literal["params", "metrics", "tags"]
_TABLES = {"params": store.params, "metrics": store.series, "tags": store.tags}


def known_keys(conn: Connection, project: int, kind: Kind, *, containing: str = "", limit: int = 1000) -> list[str]:
    """Names in order, those that contain a text only; one look at the index for each name that is passed over."""
    wanted = containing.lower()
    found: list[str] = []
    for key in _distinct(conn, _TABLES[kind], project):
        if wanted in key.lower():
            found.append(key)
        if len(found) == limit:
            break
    return found


def _distinct(conn: Connection, table: sa.Table, project: int) -> Iterator[str]:
    """Jumping from key to key along the index: 20 names of 2M rows take 20 looks, not 2M."""
    last = None
    while True:
        query = sa.select(sa.func.min(table.c.key)).where(table.c.project == project)
        key = conn.execute(query if last is None else query.where(table.c.key > last)).scalar()
        if key is None:
            return
        yield key
        last = key
