"""What differs between SQLite and PostgreSQL, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

Row = Mapping[str, Any]


def _insert(connection: Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Insert the rows whose key is not there yet; says how many were new."""
    if not rows:
        return 0
    before = _changes(connection)
    # Without preserve_rowcount SQLAlchemy answers -1 for many rows on PostgreSQL.
    options = {"preserve_rowcount": True}
    result = connection.execute(
        _insert(connection, table).on_conflict_do_nothing(), list(rows), execution_options=options
    )
    return max(result.rowcount, 0) if before is None else _changes(connection) - before  # type: ignore[operator]


def insert_new_tuples(
    connection: Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> int:
    """`insert_new` for thousands of plain rows: straight to the driver, at half the cost."""
    if not rows:
        return 0
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    names, marks = ", ".join(columns), ", ".join([mark] * len(columns))
    statement = f"insert into {table.name} ({names}) values ({marks}) on conflict do nothing"  # noqa: S608  our names
    before = _changes(connection)
    result = connection.exec_driver_sql(statement, list(rows), execution_options={"preserve_rowcount": True})
    return max(result.rowcount, 0) if before is None else _changes(connection) - before  # type: ignore[operator]


def _changes(connection: Connection) -> int | None:
    # executemany's rowcount is not reliable on SQLite with ON CONFLICT; its own counter is.
    if connection.dialect.name != "sqlite":
        return None
    return int(connection.exec_driver_sql("select total_changes()").scalar_one())


def upsert(
    connection: Connection, table: sa.Table, rows: Sequence[Row], *, key: Iterable[str], update: Iterable[str]
) -> None:
    """Insert, or set the `update` columns of the row that has the same `key`."""
    if not rows:
        return
    connection.execute(_upsert(connection.dialect.name, table, tuple(key), tuple(update)), list(rows))


@lru_cache(maxsize=256)
def _upsert(dialect: str, table: sa.Table, key: tuple[str, ...], update: tuple[str, ...]) -> Any:
    """The statement, built once: putting it together costs more than SQLite takes to run it."""
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    changed = {name: statement.excluded[name] for name in update}
    return statement.on_conflict_do_update(index_elements=list(key), set_=changed)


def add_up(
    connection: Connection, table: sa.Table, rows: Sequence[Row], *, key: Iterable[str], add: Iterable[str]
) -> None:
    """Insert, or add the `add` columns onto the row that has the same `key`: mergeable counters."""
    if not rows:
        return
    statement = _insert(connection, table)
    summed = {name: table.c[name] + statement.excluded[name] for name in add}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=summed), list(rows))


def database_seconds(connection: Connection) -> float:
    """The database's own clock; it alone decides on leases, so workers' clocks need not agree."""
    text = (
        "select extract(epoch from clock_timestamp())"
        if connection.dialect.name == "postgresql"
        else "select (julianday('now') - 2440587.5) * 86400.0"
    )
    return float(connection.execute(sa.text(text)).scalar_one())


def write_in_turn(connection: Connection, table: sa.Table) -> None:
    """Until this transaction ends nobody else writes to `table`, so its growing key follows the order of commits.

    A reader that remembers the highest key it saw then never misses a row. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.execute(sa.text(f"lock table {name} in share row exclusive mode"))


def next_numbers(connection: Connection, column: sa.Column[Any], count: int) -> list[int]:
    """The next numbers of a growing key, for rows that are to move behind all others; within `write_in_turn`."""
    if connection.dialect.name == "postgresql":
        query = sa.text("select nextval(pg_get_serial_sequence(:table, :column)) from generate_series(1, :count)")
        place = {"table": column.table.name, "column": column.name, "count": count}
        return list(connection.execute(query, place).scalars())
    highest = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0))).scalar_one())
    return list(range(highest + 1, highest + 1 + count))


def holds(connection: Connection, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
    """Whether a text stands in a column, letter by letter; there are no wildcards and case counts."""
    place = sa.func.strpos if connection.dialect.name == "postgresql" else sa.func.instr
    found: sa.ColumnElement[bool] = place(column, text) > 0
    return found


def like(
    connection: Connection, column: sa.ColumnElement[Any], pattern: str, *, ignore_case: bool
) -> sa.ColumnElement[bool]:
    """SQL's LIKE that tells upper from lower case (or does not), on both; `%` and `_` are its wildcards."""
    if connection.dialect.name == "postgresql":
        plain = pattern.replace("\\", "\\\\")  # to PostgreSQL a backslash takes the meaning of what follows
        return column.ilike(plain) if ignore_case else column.like(plain)
    if ignore_case:
        return sa.func.lower(column).like(pattern.lower())
    # SQLite's LIKE ignores case and its GLOB does not, with other wildcards.
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in pattern)
    return column.op("GLOB", is_comparison=True)(literal.replace("%", "*").replace("_", "?"))
