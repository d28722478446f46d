"""What is said of windows, in the catalogue: the newest revision counts, the others are what was said before.

A statement that is still provisional is replaced as labels come, and kept each time a tenth of the predictions has
got one; of a final one every change is a new revision. So a window has some ten provisional ones at most, however
often the loop looks.
"""

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.monitoring.accuracy_windows.types import Series, Statement
from homeostat.monitoring.store import accuracy_said as said
from homeostat.monitoring.store import accuracy_series as series_table
from homeostat.store.dialect import upsert

KEPT_EVERY = 0.1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Statement).decode

Key = tuple[int, str]
"""Start and slice."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a series is."""

    label_seq: int = 0
    moved_seq: int = 0
    at: int = 0


def progress_of(conn: Connection, model: str, series: Series) -> Progress | None:
    """How far it is; None for one that is not kept."""
    query = series_table.select().where(series_table.c.model == model, series_table.c.series == series.key)
    row = conn.execute(query).mappings().first()
    return None if row is None else Progress(label_seq=row["label_seq"], moved_seq=row["moved_seq"], at=row["at"])


def kept_series(conn: Connection, model: str) -> list[str]:
    """Keys of the series that are kept for a model."""
    query = sa.select(series_table.c.series).where(series_table.c.model == model).order_by(series_table.c.series)
    return list(conn.execute(query).scalars())


def newest(conn: Connection, model: str, series: Series, *, start: int, end: int) -> dict[Key, Statement]:
    """What is said now of windows that begin in [start, end)."""
    found: dict[Key, Statement] = {}
    for one in _revisions(conn, model, series, start, end):
        found[one.start, one.slice] = one
    return found


def history(conn: Connection, model: str, series: Series, *, start: int, end: int) -> dict[Key, list[Statement]]:
    """Everything that was ever said of them, oldest first."""
    found: dict[Key, list[Statement]] = {}
    for one in _revisions(conn, model, series, start, end):
        found.setdefault((one.start, one.slice), []).append(one)
    return found


def after(old: Statement | None, new: Statement) -> Statement:
    """`new` with its place in the history: it replaces `old`, or is the next revision."""
    if old is None:
        return new
    is_reopened = not old.provisional and _says_otherwise(old, new)
    grown = abs(new.coverage - old.begun_coverage) >= KEPT_EVERY and _says_otherwise(old, new)
    if is_reopened or (old.provisional and grown):
        return msgspec.structs.replace(
            new, revision=old.revision + 1, reopened=old.reopened + is_reopened, provisional=new.provisional
        )
    return msgspec.structs.replace(
        new,
        revision=old.revision,
        reopened=old.reopened,
        begun=old.begun,
        begun_coverage=old.begun_coverage,
    )


def keep(conn: Connection, model: str, series: Series, statements: Iterable[Statement], progress: Progress) -> None:
    """Keep statements, each under its revision, and how far the series is."""
    key = {"model": model, "series": series.key}
    rows = [
        key | {"start": one.start, "slice": one.slice, "revision": one.revision, "data": _encode(one)}
        for one in statements
    ]
    upsert(conn, said, rows, key=("model", "series", "start", "slice", "revision"), update=("data",))
    upsert(
        conn,
        series_table,
        [key | msgspec.structs.asdict(progress)],
        key=("model", "series"),
        update=("label_seq", "moved_seq", "at"),
    )


def forget(conn: Connection, model: str, keys: Sequence[str]) -> None:
    """Keep these series no longer."""
    for table in (said, series_table):
        conn.execute(table.delete().where(table.c.model == model, table.c.series.in_(list(keys))))


def _says_otherwise(old: Statement, new: Statement) -> bool:
    return (old.value, old.labels, old.predictions) != (new.value, new.labels, new.predictions)


def _revisions(conn: Connection, model: str, series: Series, start: int, end: int) -> Iterable[Statement]:
    query = (
        sa.select(said.c.data)
        .where(said.c.model == model, said.c.series == series.key, said.c.start >= start, said.c.start < end)
        .order_by(said.c.start, said.c.slice, said.c.revision)
    )
    return (_decode(bytes(data)) for data in conn.execute(query).scalars())
