"""Runs: starting, describing, ending, reading."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.store.dialect import insert_new, upsert
from homeostat.store.events import append_event
from homeostat.tracking import store
from homeostat.tracking.artifacts import list_artifacts
from homeostat.tracking.inputs import dataset_inputs
from homeostat.tracking.lookup import no_run, writable
from homeostat.tracking.projects import get_project, project_named, require_active, side_of_trash
from homeostat.tracking.series import last_metrics
from homeostat.tracking.types import Ending, Project, Run, RunDetail, Status, View
from homeostat.tracking.values import as_text, check_key, storable

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_ENDINGS = ("finished", "failed", "killed")

COLUMNS = [
    *(store.runs.c[name] for name in ("no", "id", "name", "status", "cause", "actor", "started", "ended", "deleted")),
    store.runs.c.parent,
    store.runs.c.error,
    store.runs.c.project.label("project_id"),
    store.projects.c.name.label("project"),
]
"""What `run_of_row` needs; select them from `JOINED`."""
JOINED = store.runs.join(store.projects, store.projects.c.id == store.runs.c.project)


def start_run(
    conn: Connection,
    *,
    project: str | Project,
    name: str = "",
    cause: str = "person",
    at: int,
    actor: str,
    run_id: str | None = None,
    parent: str | None = None,
    code: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
) -> Run:
    """Begin a run; a project given by name is made on first use. The same `run_id` again gives the run that is there.

    Raises:
        Invalid: when the project's name or `run_id` (32 hex characters) is not usable.
        Conflict: when `run_id` belongs to another project, or the project is in the trash.
    """
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise Invalid(f"run id {run_id!r:.80} is not 32 hex characters", field="run_id", next_step="leave it out")
    home = require_active(project) if isinstance(project, Project) else project_named(conn, project, at=at, actor=actor)
    run_id = run_id or new_id()
    row = {
        "id": run_id,
        "project": home.id,
        "name": storable(name),
        "status": "running",
        "cause": storable(cause),
        "actor": storable(actor)[:200],
        "started": at,
        "ended": None,
        "deleted": None,
        "parent": parent,
        "error": "",
        "inputs": [],
        "code": dict(code or {}),
        "environment": dict(environment or {}),
    }
    if insert_new(conn, store.runs, [row]):
        data = {"project": home.name, "name": name, "cause": cause}
        append_event(conn, "run.started", subject=run_id, at=at, actor=actor, data=data)
    run = find_run(conn, run_id)
    if run.project_id != home.id:
        raise Conflict(
            f"run {run.id} belongs to project {run.project!r:.80}, not {home.name!r:.80}",
            field="run_id",
            next_step="use a new run id",
        )
    return run


def log_params(conn: Connection, run_id: str, params: Mapping[str, Any]) -> None:
    """Record parameters as text. The same value again is fine.

    Raises:
        Conflict: when a parameter has another value already; the message names it. Nothing is recorded then.
    """
    run, project = writable(conn, run_id)
    given = {check_key(key, "parameter"): as_text(value) for key, value in params.items()}
    stored = _values(conn, store.params, run, given)
    for key, value in given.items():
        if stored.get(key, value) != value:
            raise Conflict(
                f"parameter {key!r:.80} of run {run_id} is {stored[key]!r:.200} and cannot become {value!r:.200}",
                field=key,
                next_step="log it under another name, or start a new run",
            )
    insert_new(conn, store.params, [_text_row(run, project, key, value) for key, value in given.items()])


def set_tags(conn: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags; unlike parameters they may change."""
    run, project = writable(conn, run_id)
    rows = [_text_row(run, project, check_key(key, "tag"), storable(str(value))) for key, value in tags.items()]
    upsert(conn, store.tags, rows, key=["run", "key"], update=["head", "value"])


def delete_tag(conn: Connection, run_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the run has no such tag.
    """
    run, _ = writable(conn, run_id)
    table = store.tags
    if not conn.execute(table.delete().where(table.c.run == run, table.c.key == key)).rowcount:
        raise NotFound(f"run {run_id} has no tag {key!r:.80}", field="key", next_step="see: homeostat run show")


def add_input(conn: Connection, run_id: str, digest: str) -> None:
    """Note that the run read the dataset version with this digest; twice is once."""
    query = sa.select(store.runs.c.inputs).where(store.runs.c.id == run_id).with_for_update()
    inputs = conn.execute(query).scalar()
    if inputs is None:
        raise no_run(run_id)
    if digest not in inputs:
        conn.execute(store.runs.update().where(store.runs.c.id == run_id).values(inputs=[*inputs, digest]))


def end_run(
    conn: Connection, run_id: str, *, status: Ending = "finished", error: str = "", at: int, actor: str | None = None
) -> Run:
    """End a run. Ending it again the same way changes nothing.

    Raises:
        Conflict: when it has ended in another way.
    """
    if status not in _ENDINGS:
        raise Invalid(f"{status!r} is not a way to end a run", field="status", next_step=f"use {', '.join(_ENDINGS)}")
    run = find_run(conn, run_id)
    if run.status == status:
        return run
    if run.status not in ("running", "scheduled"):
        raise Conflict(f"run {run_id} has ended already: {run.status}", field="status", next_step="start a new run")
    return update_run(conn, run_id, status=status, error=error, ended=at, at=at, actor=actor)


def update_run(
    conn: Connection,
    run_id: str,
    *,
    status: Status | None = None,
    name: str | None = None,
    error: str | None = None,
    ended: int | None = None,
    parent: str | None = None,
    at: int,
    actor: str | None = None,
) -> Run:
    """Change a run's status, name or parent; back to running is how a run is resumed: its end is open again."""
    writable(conn, run_id)
    before = find_run(conn, run_id)
    values: dict[str, Any] = {} if name is None else {"name": storable(name)}
    if error is not None:
        values["error"] = storable(error)
    if parent is not None:
        values["parent"] = parent
    if status is not None:
        values |= {"status": status, "ended": (ended or at) if status in _ENDINGS else None}
    if values:
        conn.execute(store.runs.update().where(store.runs.c.id == run_id).values(**values))
    run = find_run(conn, run_id)
    if status is not None and status != before.status:
        kind = "run.ended" if status in _ENDINGS else "run.resumed"
        data = {"project": run.project, "status": status, "error": run.error.strip().rpartition("\n")[2][:500]}
        append_event(conn, kind, subject=run_id, at=at, actor=actor or run.actor, data=data)
    return run


def find_run(conn: Connection, run_id: str) -> Run:
    """The run without its series.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(sa.select(*COLUMNS).select_from(JOINED).where(store.runs.c.id == run_id)).mappings().first()
    if row is None:
        raise no_run(run_id)
    return run_of_row(row)


def get_run(conn: Connection, run_id: str) -> RunDetail:
    """A run with its parameters, last metrics, tags, artifacts, inputs, code and environment."""
    table = store.runs
    run = find_run(conn, run_id)
    columns = (table.c.no, table.c.inputs, table.c.code, table.c.environment)
    row = conn.execute(sa.select(*columns).where(table.c.id == run_id)).one()
    return RunDetail(
        run=run,
        params=_values(conn, store.params, row.no),
        metrics={metric.key: metric.last for metric in last_metrics(conn, row.no)},
        tags=_values(conn, store.tags, row.no),
        artifacts=list_artifacts(conn, run_id),
        inputs=row.inputs,
        datasets=dataset_inputs(conn, row.no),
        code=row.code,
        environment=row.environment,
    )


def list_runs(conn: Connection, *, project: str | None = None, view: View = "active", limit: int = 100) -> list[Run]:
    """Runs, newest first."""
    order = (store.runs.c.started.desc(), store.runs.c.id.desc())
    query = sa.select(*COLUMNS).select_from(JOINED).order_by(*order).limit(limit)
    query = query.where(side_of_trash(store.runs.c.deleted, view))
    if project is not None:
        query = query.where(store.projects.c.name == project)
    return [run_of_row(row) for row in conn.execute(query).mappings()]


def children_of(conn: Connection, run_id: str) -> list[Run]:
    """The runs nested in a run, in the order they began."""
    query = sa.select(*COLUMNS).select_from(JOINED).where(store.runs.c.parent == run_id, store.runs.c.deleted.is_(None))
    return [run_of_row(row) for row in conn.execute(query.order_by(store.runs.c.started, store.runs.c.no)).mappings()]


def run_of_row(row: sa.RowMapping) -> Run:
    """A run from a row of `COLUMNS`."""
    return Run(**{key: value for key, value in row.items() if key != "no"})


def project_of(conn: Connection, run_id: str) -> Project:
    """The project a run belongs to."""
    return get_project(conn, find_run(conn, run_id).project_id)


def _text_row(run: int, project: int, key: str, value: str) -> dict[str, Any]:
    return {"run": run, "key": key, "project": project, "head": value[: store.HEAD], "value": value}


def _values(conn: Connection, table: sa.Table, run: int, keys: Iterable[str] | None = None) -> dict[str, str]:
    query = sa.select(table.c.key, table.c.value).where(table.c.run == run).order_by(table.c.key)
    if keys is not None:
        query = query.where(table.c.key.in_(list(keys)))
    return {row.key: row.value for row in conn.execute(query)}
