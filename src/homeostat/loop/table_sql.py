"""New rows of a SQL table, in the order of a column that grows.

The cursor is the highest value seen, kept in the database's own form. Each look begins an overlap below it and reads
one select to its end, a few thousand rows at a time.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import from_datetime
from homeostat.ground.errors import Invalid
from homeostat.loop import store
from homeostat.loop.intake_files import CHUNK, Chunk

if TYPE_CHECKING:
    from homeostat.loop.table_source import TableSpec

Mark = Callable[[Connection], None]
CONNECT_SECONDS = 10


class SqlReader:
    """One look at a table."""

    def __init__(self, url: str, table_id: str, spec: "TableSpec", cursor: Any) -> None:
        self._url = sa.make_url(url)
        self._id = table_id
        self._spec = spec
        self._cursor = cursor

    def chunks(self) -> Iterator[tuple[Chunk, Mark]]:
        """Rows since the cursor, and what moves it in the transaction that keeps them.

        Raises:
            Invalid: when the columns that are named are not there.
        """
        engine = _engine(self._url)
        try:
            with engine.connect() as conn:
                is_postgresql = engine.dialect.name == "postgresql"
                options: dict[str, Any] = {"postgresql_readonly": True} if is_postgresql else {}
                yield from self._pages(conn.execution_options(stream_results=True, **options))
        finally:
            engine.dispose()

    def _pages(self, conn: Connection) -> Iterator[tuple[Chunk, Mark]]:
        source = self._source(conn)
        cursor = source.c[self._spec.cursor]
        query = sa.select(source).order_by(cursor).where(cursor.is_not(None))
        start = None if self._cursor is None else before(self._cursor, self._spec.overlap)
        if start is not None:
            query = query.where(cursor >= _bound(start, cursor))
        seen = 0
        highest = self._cursor
        result = conn.execute(query)
        names = list(result.keys())
        place = names.index(self._spec.cursor)
        for rows in result.partitions(CHUNK):
            highest = _highest(highest, rows[-1][place])
            chunk = _chunk(names, rows, first=seen + 1)
            seen += len(rows)
            yield chunk, _marking(self._id, highest)

    def _source(self, conn: Connection) -> sa.FromClause:
        """The table with its types, or the query; both with named columns."""
        if self._spec.table:
            schema, _, name = self._spec.table.rpartition(".")
            found: sa.FromClause = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=conn)
            names = list(found.c.keys())
        else:
            text = self._spec.query.rstrip("; \n")
            empty = conn.execute(sa.text(f"select * from ({text}) as homeostat_rows where 1 = 0"))  # noqa: S608  an admin's
            names = list(empty.keys())
            found = sa.text(text).columns(*(sa.column(name) for name in names)).subquery("homeostat_rows")
        for column in (self._spec.cursor, self._spec.time_column):
            if column not in names:
                raise Invalid(
                    f"the table has no column {column!r:.80}",
                    field="time_column" if column == self._spec.time_column else "cursor_column",
                    next_step=f"its columns are {', '.join(sorted(names))}"[:500],
                )
        return found


def before(cursor: Any, overlap: int) -> Any:
    """Where a look begins: an overlap below a cursor, in the cursor's own form.

    >>> before("2024-05-01 10:00:00.250", 3_600_000_000), before(5_000, 1_000)
    ('2024-05-01 09:00:00.250', 4000)
    """
    if isinstance(cursor, int | float):
        return cursor - overlap
    if isinstance(cursor, dict):
        return {"at": cursor["at"] - overlap, "has_zone": cursor["has_zone"]}
    return _text_before(str(cursor), overlap)


def _text_before(cursor: str, overlap: int) -> str:
    """The same for a time in text, written as it was: separator, digits after the point, zone."""
    try:
        moment = datetime.fromisoformat(cursor)
    except ValueError:
        return cursor  # an ordered text that is no time: nothing to subtract from
    moved = (moment - timedelta(microseconds=overlap)).isoformat(
        sep=" " if " " in cursor else "T", timespec="microseconds"
    )
    whole, point, rest = moved.partition(".")
    digits = cursor.partition(".")[2]
    count = len(digits) - len(digits.lstrip("0123456789"))
    zone = rest[6:]
    if cursor.endswith("Z"):
        zone = "Z"
    if len(cursor) == 10:
        return whole[:10]
    return whole + (point + rest[:count] if count else "") + zone


def _bound(start: Any, cursor: sa.ColumnElement[Any]) -> Any:
    """A value to compare with the column; times as the driver takes them."""
    if isinstance(start, dict):
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=start["at"])
        value = moment if start["has_zone"] else moment.replace(tzinfo=None)
        return value.date() if isinstance(cursor.type, sa.Date) else value
    return start


def _highest(highest: Any, value: Any) -> Any:
    """The cursor after a row: rows come in its order, but the overlap lies below what was seen."""
    kept = _kept(value)
    if highest is None or type(highest) is not type(kept):
        return kept
    if isinstance(kept, dict):
        return kept if kept["at"] > highest["at"] else highest
    return max(highest, kept)


def _kept(value: Any) -> Any:
    """A cursor as JSON keeps it."""
    if isinstance(value, datetime):
        return {"at": from_datetime(value), "has_zone": value.tzinfo is not None}
    if isinstance(value, date):
        return {"at": from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC)), "has_zone": False}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, int | float) else str(value)


def _chunk(names: Sequence[str], rows: Sequence[Any], *, first: int) -> Chunk:
    columns = {name: [_plain(row[place]) for row in rows] for place, name in enumerate(names)}
    return Chunk(columns, range(first, first + len(rows)))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return from_datetime(value)
    if isinstance(value, date):
        return from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | memoryview):
        return None
    return value if isinstance(value, str | int | float | bool | dict | list) or value is None else str(value)


def _marking(table_id: str, cursor: Any) -> Mark:
    def mark(conn: Connection) -> None:
        conn.execute(store.tables.update().where(store.tables.c.id == table_id).values(cursor=cursor))

    return mark


def _engine(url: sa.URL) -> sa.Engine:
    """A database that does not answer must not hold up the loop, and one that is read is not written."""
    if url.get_backend_name() == "sqlite":
        file = f"file:{quote(str(url.database))}?mode=ro"
        return sa.create_engine(
            "sqlite://",
            poolclass=sa.NullPool,
            creator=lambda: sqlite3.connect(file, uri=True, timeout=CONNECT_SECONDS, check_same_thread=False),
        )
    known = url.get_backend_name() in {"postgresql", "mysql", "mariadb"}
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS} if known else {}
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args=arguments)
