"""The trash: what is deleted can come back until its time is up, and its name is free at once.

Deleting a project takes its runs with it; bringing it back brings back those that went with it, and not those that
had been deleted before, one by one.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict
from homeostat.store.events import append_event
from homeostat.tracking import store
from homeostat.tracking.lookup import no_run
from homeostat.tracking.projects import find_by_name, get_project
from homeostat.tracking.types import Project


def delete_run(conn: Connection, run_id: str, *, at: int, actor: str) -> None:
    """Put a run into the trash; one that is there stays as it is."""
    if _mark(conn, run_id, deleted=at):
        append_event(conn, "run.deleted", subject=run_id, at=at, actor=actor)


def restore_run(conn: Connection, run_id: str, *, at: int, actor: str) -> None:
    """Take a run out of the trash.

    Raises:
        Conflict: when its project is in the trash.
    """
    table = store.runs
    project = conn.execute(sa.select(table.c.project).where(table.c.id == run_id)).scalar()
    if project is not None and get_project(conn, project).deleted is not None:
        raise Conflict(
            f"the project of run {run_id} is in the trash", field="run_id", next_step=f"restore project {project} first"
        )
    if _mark(conn, run_id, deleted=None):
        append_event(conn, "run.restored", subject=run_id, at=at, actor=actor)


def delete_project(conn: Connection, project_id: int, *, at: int, actor: str) -> Project:
    """Put a project and its runs into the trash; its name is free from now on.

    Raises:
        Conflict: for project 0, which everything without a project goes to, or when it is in the trash already.
    """
    project = get_project(conn, project_id)
    if project_id == 0:
        raise Conflict("the default project cannot be deleted", field="project", next_step="delete its runs instead")
    if project.deleted is not None:
        raise Conflict(
            f"project {project_id} is in the trash already", field="project", next_step="nothing is left to do"
        )
    _set_project(conn, project_id, deleted=at, updated=at)
    here = sa.and_(store.runs.c.project == project_id, store.runs.c.deleted.is_(None))
    conn.execute(store.runs.update().where(here).values(deleted=at))
    append_event(conn, "project.deleted", subject=str(project_id), at=at, actor=actor, data={"name": project.name})
    return get_project(conn, project_id)


def restore_project(conn: Connection, project_id: int, *, at: int, actor: str) -> Project:
    """Take a project out of the trash, with the runs that went with it.

    Raises:
        Conflict: when it is not in the trash, or another project has its name now.
    """
    project = get_project(conn, project_id)
    if project.deleted is None:
        raise Conflict(f"project {project_id} is not in the trash", field="project", next_step="nothing is left to do")
    if find_by_name(conn, project.name) is not None:
        raise Conflict(
            f"another project is called {project.name!r:.80} now",
            field="name",
            next_step="rename or delete that one first",
        )
    _set_project(conn, project_id, deleted=None, updated=at)
    went_along = sa.and_(store.runs.c.project == project_id, store.runs.c.deleted == project.deleted)
    conn.execute(store.runs.update().where(went_along).values(deleted=None))
    append_event(conn, "project.restored", subject=str(project_id), at=at, actor=actor, data={"name": project.name})
    return get_project(conn, project_id)


def expired_runs(conn: Connection, *, before: int) -> list[str]:
    """Runs whose time in the trash is up, oldest first."""
    table = store.runs
    query = sa.select(table.c.id).where(table.c.deleted < before).order_by(table.c.deleted, table.c.no)
    return list(conn.execute(query).scalars())


def expired_projects(conn: Connection, *, before: int, keeping: Iterable[str] = ()) -> list[int]:
    """Projects whose time in the trash is up, unless a run of theirs is younger or is among `keeping`."""
    table = store.projects
    stays = sa.or_(store.runs.c.deleted.is_(None), store.runs.c.deleted >= before, store.runs.c.id.in_(list(keeping)))
    staying = sa.select(store.runs.c.project).where(stays)
    query = sa.select(table.c.id).where(table.c.deleted < before, table.c.id.not_in(staying)).order_by(table.c.id)
    return list(conn.execute(query).scalars())


def purge_runs(conn: Connection, run_ids: Sequence[str], *, at: int, actor: str) -> None:
    """Remove runs for good, with everything that is theirs.

    Raises:
        Conflict: when one of them is not in the trash.
    """
    for run_id in run_ids:
        number, deleted = _number(conn, run_id)
        if deleted is None:
            raise Conflict(f"run {run_id} is not in the trash", field="run_id", next_step="delete it first")
        conn.execute(store.run_traces.delete().where(store.run_traces.c.run == run_id))
        conn.execute(store.artifacts.delete().where(store.artifacts.c.owner == run_id))
        _delete_whole(conn, store.runs, store.runs.c.no == number)
        append_event(conn, "run.purged", subject=run_id, at=at, actor=actor)


def expired_models(conn: Connection, *, before: int) -> list[str]:
    """Logged models whose time in the trash is up, oldest first."""
    table = store.models
    query = sa.select(table.c.id).where(table.c.deleted < before).order_by(table.c.deleted, table.c.no)
    return list(conn.execute(query).scalars())


def purge_models(conn: Connection, model_ids: Sequence[str], *, at: int, actor: str) -> None:
    """Remove logged models of the trash for good, with their files and what runs said of them."""
    for model_id in model_ids:
        gone = sa.and_(store.models.c.id == model_id, store.models.c.deleted.is_not(None))
        if conn.execute(sa.select(store.models.c.no).where(gone)).first() is None:
            raise Conflict(f"{model_id} is not in the trash", field="model_id", next_step="delete it first")
        conn.execute(store.artifacts.delete().where(store.artifacts.c.owner == model_id))
        conn.execute(store.run_models.delete().where(store.run_models.c.model_id == model_id))
        _delete_whole(conn, store.models, gone)
        append_event(conn, "model.purged", subject=model_id, at=at, actor=actor)


def purge_projects(conn: Connection, project_ids: Sequence[int], *, at: int, actor: str) -> None:
    """Remove projects of the trash for good, with the logged models and traces that are left in them."""
    for project_id in project_ids:
        if get_project(conn, project_id).deleted is None:
            raise Conflict(f"project {project_id} is not in the trash", field="project", next_step="delete it first")
        for table, column in ((store.models, store.models.c.id), (store.traces, store.traces.c.id)):
            owners = sa.select(column).where(table.c.project == project_id)
            conn.execute(store.artifacts.delete().where(store.artifacts.c.owner.in_(owners)))
        _delete_whole(conn, store.projects, store.projects.c.id == project_id)
        append_event(conn, "project.purged", subject=str(project_id), at=at, actor=actor)


def _delete_whole(conn: Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> None:
    """Delete rows with all that refers to them, found by the foreign keys, so that no table can be forgotten."""
    for child in table.metadata.sorted_tables:
        for key in child.foreign_keys:
            if key.column.table is table and child is not table:
                _delete_whole(conn, child, key.parent.in_(sa.select(key.column).where(which)))
    conn.execute(table.delete().where(which))


def _mark(conn: Connection, run_id: str, *, deleted: int | None) -> bool:
    """Whether this moved the run to the other side."""
    _, stands = _number(conn, run_id)
    if (stands is None) == (deleted is None):
        return False
    conn.execute(store.runs.update().where(store.runs.c.id == run_id).values(deleted=deleted))
    return True


def _number(conn: Connection, run_id: str) -> tuple[int, int | None]:
    row = conn.execute(sa.select(store.runs.c.no, store.runs.c.deleted).where(store.runs.c.id == run_id)).first()
    if row is None:
        raise no_run(run_id)
    return row.no, row.deleted


def _set_project(conn: Connection, project_id: int, **values: int | None) -> None:
    conn.execute(store.projects.update().where(store.projects.c.id == project_id).values(**values))
