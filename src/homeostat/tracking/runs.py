"""Runs: starting, logging, ending, reading."""

import numbers
import operator
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import check_name, new_id
from homeostat.store.dialect import insert_new, upsert
from homeostat.store.events import append_event
from homeostat.tracking import store
from homeostat.tracking.types import Artifact, Ending, MetricPoint, Project, Run, RunDetail

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_KEY_LIMIT = 250
_STEP_LIMIT = 2**63
_ENDINGS = ("finished", "failed", "killed")
_RUN_COLUMNS = [store.runs.c[name] for name in Run.__struct_fields__]


def start_run(
    conn: Connection,
    *,
    project: str,
    name: str = "",
    cause: str = "person",
    at: int,
    actor: str,
    run_id: str | None = None,
    code: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
) -> Run:
    """Begin a run; its project is made on first use. The same `run_id` again gives the run that is there.

    Raises:
        Invalid: when the project's name or `run_id` (32 hex characters) is not usable.
        Conflict: when `run_id` belongs to another project.
    """
    check_name(project, what="project")
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise Invalid(f"run id {run_id!r} is not 32 hex characters", field="run_id", next_step="leave it out")
    insert_new(conn, store.projects, [{"name": project, "created": at}])
    run_id = run_id or new_id()
    row = {
        "id": run_id,
        "project": project,
        "name": store.storable(name),
        "status": "running",
        "cause": store.storable(cause),
        "actor": store.storable(actor),
        "started": at,
        "ended": None,
        "error": "",
        "code": dict(code or {}),
        "environment": dict(environment or {}),
        "inputs": [],
    }
    if insert_new(conn, store.runs, [row]):
        data = {"project": project, "name": name, "cause": cause}
        append_event(conn, "run.started", subject=run_id, at=at, actor=actor, data=data)
    run = find_run(conn, run_id)
    if run.project != project:
        raise Conflict(
            f"run {run.id} belongs to project {run.project!r}, not {project!r}",
            field="run_id",
            next_step="use a new run id",
        )
    return run


def log_params(conn: Connection, run_id: str, params: Mapping[str, Any]) -> None:
    """Record parameters as text. The same value again is fine.

    Raises:
        Conflict: when a parameter has another value already; the message names it.
    """
    find_run(conn, run_id)
    given = {_checked_key(key, "parameter"): _as_text(value) for key, value in params.items()}
    insert_new(conn, store.params, [{"run": run_id, "key": key, "value": given[key]} for key in given])
    stored = _pairs(conn, store.params, run_id)
    for key, value in given.items():
        if stored[key] != value:
            raise Conflict(
                f"parameter {key!r} of run {run_id} is {stored[key]!r} and cannot become {value!r}",
                field=key,
                next_step="log it under another name, or start a new run",
            )


def log_metrics(conn: Connection, run_id: str, values: Mapping[str, Any], *, at: int, step: int = 0) -> None:
    """Append one point to each named series; NaN and infinities are kept. An exact repeat adds nothing.

    Raises:
        Invalid: when a value is not a number; the message names the key.
    """
    log_points(conn, run_id, {key: [MetricPoint(step, as_number(key, value), at)] for key, value in values.items()})


def log_points(conn: Connection, run_id: str, series: Mapping[str, list[MetricPoint]]) -> None:
    """Append many points at once: what a client that gathers them sends."""
    find_run(conn, run_id)
    rows = [
        {
            "run": run_id,
            "key": _checked_key(key, "metric"),
            "step": _checked_step(key, point.step),
            "at": point.at,
            "value": None if point.value != point.value else point.value,
        }
        for key, points in series.items()
        for point in points
    ]
    insert_new(conn, store.metrics, rows)


def set_tags(conn: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags; unlike parameters they may change."""
    find_run(conn, run_id)
    rows = [
        {"run": run_id, "key": _checked_key(key, "tag"), "value": store.storable(str(value))}
        for key, value in tags.items()
    ]
    upsert(conn, store.tags, rows, key=["run", "key"], update=["value"])


def add_input(conn: Connection, run_id: str, digest: str) -> None:
    """Note that the run read the dataset version with this digest; twice is once."""
    query = sa.select(store.runs.c.inputs).where(store.runs.c.id == run_id).with_for_update()
    inputs = conn.execute(query).scalar()
    if inputs is None:
        raise _no_run(run_id)
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
    running = sa.and_(store.runs.c.id == run_id, store.runs.c.status == "running")
    values = {"status": status, "error": store.storable(error), "ended": at}
    changed = conn.execute(store.runs.update().where(running).values(**values)).rowcount
    run = find_run(conn, run_id)
    if run.status != status:
        raise Conflict(f"run {run_id} has ended already: {run.status}", field="status", next_step="start a new run")
    if changed:
        data = {"project": run.project, "status": status, "error": run.error.strip().rpartition("\n")[2][:500]}
        append_event(conn, "run.ended", subject=run_id, at=at, actor=actor or run.actor, data=data)
    return run


def find_run(conn: Connection, run_id: str) -> Run:
    """The run without its series.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(sa.select(*_RUN_COLUMNS).where(store.runs.c.id == run_id)).mappings().first()
    if row is None:
        raise _no_run(run_id)
    return Run(**row)


def get_run(conn: Connection, run_id: str) -> RunDetail:
    """A run with its parameters, last metrics, tags, artifacts, inputs, code and environment."""
    run = find_run(conn, run_id)
    columns = [store.runs.c.inputs, store.runs.c.code, store.runs.c.environment]
    rest = conn.execute(sa.select(*columns).where(store.runs.c.id == run_id)).mappings().one()
    files = store.artifacts
    rows = conn.execute(files.select().where(files.c.run == run_id).order_by(files.c.path))
    return RunDetail(
        run=run,
        params=_pairs(conn, store.params, run_id),
        metrics=_last_metrics(conn, run_id),
        tags=_pairs(conn, store.tags, run_id),
        artifacts=[Artifact(row.path, row.digest, row.size) for row in rows],
        **rest,
    )


def list_runs(conn: Connection, *, project: str | None = None, limit: int = 100) -> list[Run]:
    """Runs, newest first."""
    order = (store.runs.c.started.desc(), store.runs.c.id.desc())
    query = sa.select(*_RUN_COLUMNS).order_by(*order).limit(limit)
    if project is not None:
        query = query.where(store.runs.c.project == project)
    return [Run(**row) for row in conn.execute(query).mappings()]


def list_projects(conn: Connection) -> list[Project]:
    """Projects by name."""
    return [Project(**row) for row in conn.execute(store.projects.select().order_by("name")).mappings()]


def metric_history(conn: Connection, run_id: str, key: str) -> list[MetricPoint]:
    """The whole series of a metric, by step, then in the order it was logged.

    Raises:
        NotFound: when the run has no such metric; the next step lists those it has.
    """
    table = store.metrics
    query = sa.select(table.c.step, table.c.value, table.c.at).where(table.c.run == run_id, table.c.key == key)
    rows = conn.execute(query.order_by(table.c.step, table.c.at, table.c.seq)).all()
    if not rows:
        find_run(conn, run_id)
        known = ", ".join(sorted(_last_metrics(conn, run_id))) or "none"
        raise NotFound(f"run {run_id} has no metric {key!r}", field="key", next_step=f"it has: {known}")
    return [MetricPoint(row.step, _from_column(row.value), row.at) for row in rows]


def as_number(key: str, value: Any) -> float:
    """`value` as a float if it is a number (Python, numpy, or a 0-dimensional tensor).

    Raises:
        Invalid: naming the key otherwise.
    """
    item = value if isinstance(value, numbers.Real) or not hasattr(value, "item") else _item(value)
    if isinstance(item, numbers.Real):
        try:
            return float(item)
        except OverflowError:
            pass
    raise Invalid(
        f"metric {key!r} is {value!r:.80}, not a number a float can hold",
        field=key,
        next_step="log text with params or tags",
    )


def _item(value: Any) -> Any:
    try:
        return value.item()
    except (ValueError, RuntimeError, TypeError):  # numpy and torch refuse for more than one element
        return None


def _as_text(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        try:
            return store.storable(msgspec.json.encode(value).decode())
        except TypeError:
            pass  # it holds something JSON has no word for
    return store.storable(str(value))


def _checked_key(key: str, what: str) -> str:
    if isinstance(key, str) and 0 < len(key) <= _KEY_LIMIT and store.storable(key) == key:
        return key
    raise Invalid(f"{what} name {key!r:.80} is not usable", field="key", next_step=f"use 1 to {_KEY_LIMIT} characters")


def _checked_step(key: str, step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = _STEP_LIMIT
    if -_STEP_LIMIT <= number < _STEP_LIMIT:
        return number
    raise Invalid(f"step of metric {key!r} is {step!r:.80}, not a whole number", field="step", next_step="count steps")


def _pairs(conn: Connection, table: sa.Table, run_id: str) -> dict[str, str]:
    rows = conn.execute(sa.select(table.c.key, table.c.value).where(table.c.run == run_id).order_by(table.c.key))
    return {row.key: row.value for row in rows}


def _last_metrics(conn: Connection, run_id: str) -> dict[str, float]:
    table = store.metrics
    order = (table.c.step.desc(), table.c.at.desc(), table.c.seq.desc())
    place = sa.func.row_number().over(partition_by=table.c.key, order_by=order).label("place")
    ranked = sa.select(table.c.key, table.c.value, place).where(table.c.run == run_id).subquery()
    rows = conn.execute(sa.select(ranked.c.key, ranked.c.value).where(ranked.c.place == 1).order_by(ranked.c.key))
    return {key: _from_column(value) for key, value in rows}


def _from_column(value: float | None) -> float:
    return float("nan") if value is None else value


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"there is no run {run_id!r}", field="run_id", next_step="list them with: homeostat runs")
