"""Tables that predictions are read from on a schedule: how far each was read, and what came of the last look.

What is known of a table and its rows commit together, so a crash neither loses nor doubles one. Each look reads the
overlap again, for rows that came late or out of order; those that are known are recognised by request id.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import MINUTE, Clock, SystemClock, parse_duration, to_iso
from homeostat.ground.errors import Conflict, HomeostatError, Invalid, NotFound
from homeostat.ground.ids import check_name, new_id
from homeostat.ground.settings import Settings
from homeostat.loop import store
from homeostat.loop.intake import Kept, keep_batches
from homeostat.loop.intake_files import Chunk
from homeostat.loop.intake_rows import reader_for
from homeostat.loop.intake_target import FIELDS, Target
from homeostat.loop.monitors import get_monitor
from homeostat.loop.table_files import FilesReader
from homeostat.loop.table_sql import SqlReader
from homeostat.loop.table_urls import check_table_url, is_sql, shown_url
from homeostat.monitoring.alarms import FEED, close_alarm, open_alarm
from homeostat.store.database import Database
from homeostat.store.events import append_event

FAILURES_TO_ALARM = 3
"""Looks that fail one after the other before somebody is called."""
LEAST_EVERY = 10 * 1_000_000
SLOWEST = 60 * MINUTE
"""A table that fails is looked at less and less often, down to this."""
UNITS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}


class TableSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is read, and when."""

    table: str = ""
    query: str = ""
    time_column: str = "time"
    cursor_column: str = ""
    every: int = 10 * MINUTE
    overlap: int = 60 * MINUTE
    """Microseconds, or for a cursor of numbers how many."""
    time_unit: str = "us"
    columns: dict[str, str] = {}

    @property
    def cursor(self) -> str:
        """The column that grows."""
        return self.cursor_column or self.time_column


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """A table and how far it was read. Its URL is not here, so nothing can show it."""

    id: str
    model: str
    name: str
    target: str
    """The URL without what may be secret in it."""
    spec: TableSpec
    cursor: Any
    read_at: int | None
    rows: int
    refused: int
    failures: int
    error: str
    created: int
    actor: str

    def is_due(self, now: int) -> bool:
        """Whether it is time to look; a table that fails is given more and more time."""
        if self.read_at is None:
            return True
        wait = min(self.spec.every * 2 ** min(self.failures, 8), max(SLOWEST, self.spec.every))
        return bool(now - self.read_at >= wait)


class Look(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one look."""

    table: str
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    errors: tuple[str, ...] = ()
    error: str = ""


def add_table(
    conn: Connection,
    model: str,
    name: str,
    url: str,
    spec: TableSpec,
    *,
    settings: Settings,
    since: Any = None,
    at: int,
    actor: str,
) -> TableState:
    """Read a table from now on; `since` is where its cursor begins.

    Raises:
        Conflict: when the name is taken.
        Invalid, Refused: for a table that cannot or must not be read.
    """
    check_name(name, what="table")
    get_monitor(conn, model)
    check_table_url(url, settings)
    _check(url, spec)
    if conn.execute(sa.select(store.tables.c.id).where(store.tables.c.name == name)).first() is not None:
        raise Conflict(f"there is a table {name!r} already", field="name", next_step="remove it, or use another name")
    row = {
        "id": new_id(),
        "model": model,
        "name": name,
        "url": url,
        "spec": msgspec.to_builtins(spec),
        "cursor": since,
        "read_at": None,
        "rows": 0,
        "refused": 0,
        "failures": 0,
        "error": "",
        "created": at,
        "actor": actor,
    }
    conn.execute(store.tables.insert().values(**row))
    told = {"table": name, "target": shown_url(url), "every": spec.every}
    append_event(conn, "table.added", subject=model, at=at, actor=actor, data=told)
    return get_table(conn, name)


def remove_table(conn: Connection, name: str, *, at: int, actor: str) -> TableState:
    """Read it no longer; what was read stays."""
    found = get_table(conn, name)
    conn.execute(store.table_files.delete().where(store.table_files.c.table_id == found.id))
    conn.execute(store.tables.delete().where(store.tables.c.id == found.id))
    append_event(conn, "table.removed", subject=found.model, at=at, actor=actor, data={"table": name})
    close_alarm(conn, found.model, FEED, name, evidence={"reason": "the table was removed"}, at=at)
    return found


def get_table(conn: Connection, name: str) -> TableState:
    """A table by its name.

    Raises:
        NotFound: when there is none.
    """
    row = conn.execute(store.tables.select().where(store.tables.c.name == name)).mappings().first()
    if row is None:
        raise NotFound(f"there is no table {name!r:.80}", field="table", next_step="see: homeostat monitor tables")
    return _state(dict(row))


def list_tables(conn: Connection, model: str | None = None) -> list[TableState]:
    """Tables by name, of one model or of all."""
    query = store.tables.select().order_by(store.tables.c.name)
    query = query if model is None else query.where(store.tables.c.model == model)
    return [_state(dict(row)) for row in conn.execute(query).mappings()]


class TableReader:
    """Looks at tables when they are due."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    def look(self) -> list[Look]:
        """Read every table that is due."""
        now = self._clock.now()
        with self._database.read() as conn:
            due = [one.name for one in list_tables(conn) if one.is_due(now)]
        return [self.read(name) for name in due]

    def read(self, name: str) -> Look:
        """Read what is new in one table; a failure is kept and told, never raised."""
        with self._database.read() as conn:
            state = get_table(conn, name)
            row = conn.execute(sa.select(store.tables.c.url).where(store.tables.c.id == state.id)).one()
        try:
            check_table_url(row.url, self._settings)  # the settings may have changed since it was added
            look = self._read(state, row.url)
        except HomeostatError as error:
            look = Look(table=name, error=error.message)
        except Exception as error:  # noqa: BLE001  a driver raises what it likes; the loop goes on
            look = Look(table=name, error=_said(error, row.url))
        self._note(state, look)
        return look

    def _read(self, state: TableState, url: str) -> Look:
        target = Target(self._database, state.model)
        target.rename({"time": state.spec.time_column} | state.spec.columns)
        reader = reader_for(target, self._clock)
        kept, refused = Kept(), 0
        errors: list[str] = []
        for chunk, mark in self._chunks(state, url):
            read = reader.read(_in_microseconds(chunk, state.spec))
            refused += len(read.errors)
            errors += [f"{one.row}: {one.field}: {one.error}" for one in read.errors[: 5 - len(errors)]]
            with self._database.write() as conn:
                kept += keep_batches(conn, target, read.batches, recorded=SystemClock().now())
                mark(conn)
        return Look(
            table=state.name,
            accepted=kept.accepted,
            duplicates=kept.duplicates,
            refused=refused,
            errors=tuple(errors),
        )

    def _chunks(self, state: TableState, url: str) -> Iterator[tuple[Chunk, Any]]:
        """Rows, and what marks them as read in the transaction that keeps them."""
        if is_sql(url):
            yield from SqlReader(url, state.id, state.spec, state.cursor).chunks()
        else:
            yield from FilesReader(self._database, url, state.id, self._settings).chunks()

    def _note(self, state: TableState, look: Look) -> None:
        now, table = self._clock.now(), store.tables
        failures = state.failures + 1 if look.error else 0
        with self._database.write() as conn:
            conn.execute(
                table.update()
                .where(table.c.id == state.id)
                .values(
                    read_at=now,
                    rows=table.c.rows + look.accepted,
                    refused=table.c.refused + look.refused,
                    failures=failures,
                    error=(look.error or "; ".join(look.errors))[:2_000],
                )
            )
            if failures == FAILURES_TO_ALARM:
                evidence = {"error": look.error, "failures": failures, "table": state.target}
                open_alarm(conn, state.model, FEED, state.name, evidence=evidence, at=now)
            elif not look.error:
                close_alarm(conn, state.model, FEED, state.name, evidence={"rows": look.accepted}, at=now)


def read_spec(
    *, every: str | int, overlap: str | int, time_unit: str, columns: dict[str, str], **more: Any
) -> TableSpec:
    """What a table is read by, from what people write.

    Raises:
        Invalid: naming the field.
    """
    back = (
        int(overlap) if isinstance(overlap, str) and overlap.isdecimal() else parse_duration(overlap, field="overlap")
    )
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise Invalid(
            f"a row has no field {unknown[0]!r:.60}", field="columns", next_step=f"fields are {', '.join(FIELDS)}"
        )
    return TableSpec(
        every=parse_duration(every, field="every"), overlap=back, time_unit=time_unit, columns=columns, **more
    )


def _check(url: str, spec: TableSpec) -> None:
    if is_sql(url) and bool(spec.table) == bool(spec.query):
        raise Invalid("give a table or a query", field="table", next_step="--table NAME, or --query 'select ...'")
    if not is_sql(url) and (spec.table or spec.query):
        raise Invalid("files have neither a table nor a query", field="table", next_step="leave it out")
    if spec.every < LEAST_EVERY:
        raise Invalid(f"every is {spec.every} us", field="every", next_step="give 10s or more")
    if spec.overlap < 0:
        raise Invalid(f"overlap is {spec.overlap}", field="overlap", next_step="give a duration such as 1h")
    if spec.time_unit not in UNITS:
        raise Invalid(
            f"{spec.time_unit!r:.20} is no unit", field="time_unit", next_step=f"units are {', '.join(UNITS)}"
        )
    if len(spec.query) > 20_000 or ";" in spec.query.rstrip("; \n"):
        raise Invalid("the query is more than one select", field="query", next_step="give one select statement")


def _in_microseconds(chunk: Chunk, spec: TableSpec) -> Chunk:
    """A chunk whose time is in the project's unit."""
    factor = UNITS[spec.time_unit]
    values = chunk.columns.get(spec.time_column)
    if values is None or spec.time_column in chunk.times or factor == 1.0:
        return chunk
    scaled = [
        round(value * factor) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for value in values
    ]
    return chunk._replace(columns=chunk.columns | {spec.time_column: scaled})


def _said(error: Exception, url: str) -> str:
    """What a driver said, without the password that it may repeat."""
    text = str(getattr(error, "orig", None) or error).splitlines()
    said = f"{type(error).__name__}: {text[0] if text else ''}"[:500]
    for secret in _secrets(url):
        said = said.replace(secret, "***")
    return said


def _secrets(url: str) -> list[str]:
    if not is_sql(url):
        return [url]
    parsed = sa.make_url(url)
    values = [parsed.password, *(value for value in parsed.query.values() if isinstance(value, str))]
    return [url, *(str(value) for value in values if value)]


def _state(row: dict[str, Any]) -> TableState:
    url = row.pop("url")
    return TableState(**row | {"target": shown_url(url), "spec": msgspec.convert(row["spec"], TableSpec)})


def table_view(state: TableState) -> dict[str, Any]:
    """A table as people read it."""
    view: dict[str, Any] = msgspec.to_builtins(state)
    times = {name: to_iso(view[name]) for name in ("read_at", "created") if view[name] is not None}
    return view | times
