"""Data sets that runs read, as their clients describe them: a name, a digest, where they are, what they look like."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.store.dialect import insert_new, upsert
from homeostat.tracking import store
from homeostat.tracking.types import DatasetInput
from homeostat.tracking.values import storable

_FIELDS = ("name", "digest", "source_type", "source", "schema", "profile")


def log_dataset_inputs(conn: Connection, run: int, project: int, inputs: Sequence[DatasetInput]) -> None:
    """Note that a run (by number) read these; the same name and digest within a project is one data set."""
    table = store.datasets
    rows = [{"project": project, **{field: storable(getattr(item, field)) for field in _FIELDS}} for item in inputs]
    insert_new(conn, table, rows)
    for item in inputs:
        same = sa.and_(table.c.project == project, table.c.name == item.name, table.c.digest == item.digest)
        number = conn.execute(sa.select(table.c.no).where(same)).scalar_one()
        row = {"run": run, "dataset": number, "tags": item.tags}
        upsert(conn, store.dataset_inputs, [row], key=["run", "dataset"], update=["tags"])


def dataset_inputs(conn: Connection, run: int) -> list[DatasetInput]:
    """What a run (by number) read."""
    return inputs_of(conn, [run]).get(run, [])


def inputs_of(conn: Connection, runs: Sequence[int]) -> dict[int, list[DatasetInput]]:
    """What each of some runs read, by run number."""
    table, link = store.datasets, store.dataset_inputs
    query = (
        sa.select(link.c.run, link.c.tags, *(table.c[field] for field in _FIELDS))
        .select_from(link.join(table, table.c.no == link.c.dataset))
        .where(link.c.run.in_(runs))
        .order_by(link.c.run, link.c.dataset)
    )
    found: dict[int, list[DatasetInput]] = {}
    for run, tags, *fields in conn.execute(query):
        found.setdefault(run, []).append(DatasetInput(**dict(zip(_FIELDS, fields, strict=True)), tags=tags))
    return found


def datasets_of(conn: Connection, projects: Sequence[int], *, limit: int) -> list[tuple[int, DatasetInput]]:
    """The data sets that runs of some projects read, each once for every role it had; without schema and profile."""
    table, link = store.datasets, store.dataset_inputs
    query = (
        sa.select(table.c.project, table.c.name, table.c.digest, table.c.source_type, link.c.tags)
        .select_from(link.join(table, table.c.no == link.c.dataset))
        .where(table.c.project.in_(projects))
        .order_by(table.c.project, table.c.no, link.c.run)
    )
    found: dict[str, tuple[int, DatasetInput]] = {}
    for project, name, digest, source_type, tags in conn.execute(query):
        item = DatasetInput(name=name, digest=digest, source_type=source_type, tags=tags)
        found.setdefault(repr((project, item)), (project, item))
        if len(found) == limit:
            break
    return list(found.values())
