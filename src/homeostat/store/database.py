"""The catalogue: one SQL text for SQLite (WAL) and PostgreSQL.

Rooms declare their tables on `metadata` and receive a `Connection`; only this module opens one.
Times are whole microseconds (BigInteger); JSON columns hold plain JSON.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url

from homeostat.ground.errors import Invalid, Unavailable

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A growing integer key: SQLite numbers rows by itself only for INTEGER."""


class Database:
    """An open catalogue. `write()` holds the write lock from its first statement; `read()` sees one snapshot."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; commits at the end, rolls back on an exception."""
        with (
            _said_plainly(),
            self.engine.connect().execution_options(homeostat_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with _said_plainly(), self.engine.connect() as connection, connection.begin():
            yield connection

    def peek(self, statement: str) -> Any:
        """The first value a reading statement gives, straight from the driver: a tenth of the cost of `read`."""
        pooled = self.engine.raw_connection()
        try:
            cursor = pooled.cursor()
            cursor.execute(statement)
            row = cursor.fetchone()
            cursor.close()
        finally:
            pooled.close()
        return row[0] if row else None

    def close(self) -> None:
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the catalogue at `url` (SQLAlchemy form); the folder of a SQLite file is made.

    Raises:
        Unavailable: when it cannot be opened.
    """
    parsed = make_url(url)
    options: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": msgspec.json.decode}
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, connect_args={"timeout": 30, "check_same_thread": False}, **options)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = sa.create_engine(parsed, pool_pre_ping=True, **options)
        sa.event.listen(engine, "connect", _prepare_postgresql)
        sa.event.listen(engine, "begin", _begin_postgresql)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))
    except sa.exc.OperationalError as error:
        raise Unavailable(
            f"the catalogue {parsed.render_as_string(hide_password=True)} cannot be opened",
            field="database",
            next_step="check HOMEOSTAT_HOME and HOMEOSTAT_DATABASE, and that the folder or server is reachable",
        ) from error
    return Database(engine)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """What keeps a database from its work becomes an error of ours: without SQL, without a path, to be tried again."""
    try:
        yield
    except sa.exc.OperationalError as error:
        text = str(error.orig).lower()
        if "locked" in text or "busy" in text:
            what, mend = "the catalogue is busy: another process is writing", "try again"
        elif "disk" in text or "full" in text or "space" in text:
            what, mend = "the catalogue cannot be written: the disk is full or failing", "free some space, try again"
        elif "readonly" in text or "read-only" in text:
            what, mend = "the catalogue cannot be written: it is read-only", "give this process the right to write it"
        else:
            what, mend = "the catalogue cannot be reached", "see that its server is up, then try again"
        raise Unavailable(what, field="database", next_step=mend) from error
    except sa.exc.DataError as error:
        if "NUL" not in str(error.orig):
            raise
        # PostgreSQL takes none even to compare with; wherever a name is looked up, one may be asked for.
        raise Invalid("a text has a NUL character in it", field="text", next_step="send it without") from error


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's late one
    settings = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON")
    # The default cache of 2 MB makes every look-up in a grown index a read; mapped pages are shared by all processes.
    for pragma in (*settings, "cache_size=-8000", "mmap_size=268435456"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the one write lock first, so every read below it is still true at commit.
    writes = connection.get_execution_options().get("homeostat_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        # A frozen worker must not hold row locks for ever.
        cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.commit()


def _begin_postgresql(connection: Connection) -> None:
    # The same two promises as SQLite's: one writer at a time, so sequence numbers commit in order and whoever tails
    # events misses none; and one snapshot for a reader.
    writes = connection.get_execution_options().get("homeostat_write")
    lock, snapshot = "SELECT pg_advisory_xact_lock(724000)", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
    connection.exec_driver_sql(lock if writes else snapshot)
