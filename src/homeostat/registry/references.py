"""What versions lean on: the runs and logged models they came from must outlive them."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.registry import store


def runs_in_use(conn: Connection, run_ids: Iterable[str]) -> set[str]:
    """Those of the runs that a registered version came from."""
    wanted = set(run_ids)
    table = store.versions
    known = conn.execute(sa.select(table.c.run_id).where(table.c.run_id.is_not(None)).distinct()).scalars()
    return wanted.intersection(known)


def logged_models_in_use(conn: Connection, model_ids: Iterable[str]) -> set[str]:
    """Those of the logged models that a registered version came from."""
    wanted = set(model_ids)
    lineage = store.versions.c.lineage["logged_model"].as_string()
    known = conn.execute(sa.select(lineage).where(lineage.is_not(None)).distinct()).scalars()
    return wanted.intersection(known)
