"""Filling a page: the params, metrics and tags of the runs on it, those columns that were asked for and no others."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.tracking import store
from homeostat.tracking.runs import COLUMNS, JOINED, run_of_row
from homeostat.tracking.series import METRIC_COLUMNS, metric_of_row
from homeostat.tracking.types import FoundRun, Metric, Run

_AT_ONCE = 5_000
"""Runs a query; SQLite takes 32,766 values."""


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of each run; None: all there are."""

    params: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


def fill(conn: Connection, numbers: Sequence[int], columns: Columns) -> list[FoundRun]:
    """The runs with these numbers, in their order."""
    found: list[FoundRun] = []
    for start in range(0, len(numbers), _AT_ONCE):
        found += _fill_some(conn, numbers[start : start + _AT_ONCE], columns)
    return found


def _fill_some(conn: Connection, numbers: Sequence[int], columns: Columns) -> list[FoundRun]:
    query = sa.select(*COLUMNS).select_from(JOINED).where(store.runs.c.no.in_(numbers))
    runs: dict[int, Run] = {row["no"]: run_of_row(row) for row in conn.execute(query).mappings()}
    params = _texts(conn, store.params, numbers, columns.params)
    tags = _texts(conn, store.tags, numbers, columns.tags)
    metrics = _metrics(conn, numbers, columns.metrics)
    return [
        FoundRun(run=runs[no], params=params.get(no, {}), metrics=metrics.get(no, []), tags=tags.get(no, {}))
        for no in numbers
        if no in runs
    ]


def _texts(
    conn: Connection, table: sa.Table, numbers: Sequence[int], keys: tuple[str, ...] | None
) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    if keys == ():
        return found
    query = sa.select(table.c.run, table.c.key, table.c.value).where(table.c.run.in_(numbers))
    if keys is not None:
        query = query.where(table.c.key.in_(keys))
    for run, key, value in conn.execute(query.order_by(table.c.run, table.c.key)).all():
        found.setdefault(run, {})[key] = value
    return found


def _metrics(conn: Connection, numbers: Sequence[int], keys: tuple[str, ...] | None) -> dict[int, list[Metric]]:
    table = store.series
    found: dict[int, list[Metric]] = {}
    if keys == ():
        return found
    columns = (table.c[name] for name in METRIC_COLUMNS)
    query = sa.select(table.c.run, *columns).where(table.c.run.in_(numbers))
    if keys is not None:
        query = query.where(table.c.key.in_(keys))
    for run, *row in conn.execute(query.order_by(table.c.run, table.c.key)).all():
        found.setdefault(run, []).append(metric_of_row(tuple(row)))
    return found
