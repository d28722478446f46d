"""Finding a run's row: its number, and whether it can be written to."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.tracking import store


def writable(conn: Connection, run_id: str) -> tuple[int, int]:
    """A run's number and its project's, if it can be written to: an ended run can, one in the trash cannot.

    Raises:
        NotFound: when there is no such run.
        Conflict: when it is in the trash.
    """
    table = store.runs
    row = conn.execute(sa.select(table.c.no, table.c.project, table.c.deleted).where(table.c.id == run_id)).first()
    if row is None:
        raise no_run(run_id)
    if row.deleted is not None:
        raise Conflict(f"run {run_id} is in the trash", field="run_id", next_step="restore it first")
    return row.no, row.project


def run_number(conn: Connection, run_id: str) -> int:
    """The number by which a run's children name it, on either side of the trash.

    Raises:
        NotFound: when there is no such run.
    """
    number = conn.execute(sa.select(store.runs.c.no).where(store.runs.c.id == run_id)).scalar()
    if number is None:
        raise no_run(run_id)
    return int(number)


def run_numbers(conn: Connection, run_ids: Sequence[str]) -> dict[int, str]:
    """The ids of runs by their numbers, for those that are there."""
    query = sa.select(store.runs.c.no, store.runs.c.id).where(store.runs.c.id.in_(run_ids))
    return {row.no: row.id for row in conn.execute(query)}


def no_run(run_id: str) -> NotFound:
    """The error for a run that is not there."""
    return NotFound(f"there is no run {run_id!r:.80}", field="run_id", next_step="list them with: homeostat run ls")
