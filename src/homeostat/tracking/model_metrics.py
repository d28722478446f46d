"""What runs measured of logged models, and which runs read or made which."""

import math
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.store.dialect import insert_new, upsert
from homeostat.tracking import store
from homeostat.tracking.lookup import writable
from homeostat.tracking.types import Direction, ModelMetric, RunModel
from homeostat.tracking.values import check_key, check_step, storable

_COLUMNS = ("key", "value", "at", "step", "run", "dataset_name", "dataset_digest")


def log_model_metrics(conn: Connection, run_id: str, metrics: Mapping[str, Sequence[ModelMetric]]) -> None:
    """Note what a run measured of logged models, by model id. An exact repeat adds nothing.

    Raises:
        NotFound: when there is no such run, or no such model.
        Invalid: when a key or a data set's name is not usable.
    """
    writable(conn, run_id)
    known = _known_models(conn, list(metrics))
    rows = []
    for model_id, points in metrics.items():
        number, project = known[model_id]
        rows += [{"model": number, "project": project, "run": run_id, **_row(point)} for point in points]
    insert_new(conn, store.model_metrics, rows)


def metrics_of(conn: Connection, models: Sequence[int]) -> dict[int, list[ModelMetric]]:
    """What was measured of each of some models (by number), in order of key, time and step."""
    table = store.model_metrics
    query = sa.select(table.c.model, *(table.c[name] for name in _COLUMNS)).where(table.c.model.in_(models))
    found: dict[int, list[ModelMetric]] = {}
    for row in conn.execute(query.order_by(table.c.model, table.c.key, table.c.at, table.c.step)):
        metric = ModelMetric(
            key=row.key,
            value=math.nan if row.value is None else row.value,
            at=row.at,
            step=row.step,
            run_id=row.run,
            dataset_name=row.dataset_name,
            dataset_digest=row.dataset_digest,
        )
        found.setdefault(row.model, []).append(metric)
    return found


def log_run_models(conn: Connection, run_id: str, models: Sequence[RunModel], *, direction: Direction) -> None:
    """Note which logged models a run read ('input') or made ('output'); the same one again moves its step.

    Raises:
        NotFound: when there is no such run, or no such model.
        Conflict: when the run is in the trash.
    """
    run, _ = writable(conn, run_id)
    _known_models(conn, [model.model_id for model in models])
    # By id: one statement may not meet the same row twice on PostgreSQL.
    steps = {model.model_id: check_step(model.model_id, model.step) for model in models}
    rows = [{"run": run, "direction": direction, "model_id": one, "step": step} for one, step in steps.items()]
    upsert(conn, store.run_models, rows, key=["run", "direction", "model_id"], update=["step"])


def run_models(conn: Connection, runs: Sequence[int]) -> dict[int, dict[Direction, list[RunModel]]]:
    """The logged models that each of some runs (by number) read and made."""
    table = store.run_models
    query = sa.select(table.c.run, table.c.direction, table.c.model_id, table.c.step).where(table.c.run.in_(runs))
    found: dict[int, dict[Direction, list[RunModel]]] = {}
    for run, direction, model_id, step in conn.execute(query.order_by(table.c.run, table.c.step, table.c.model_id)):
        found.setdefault(run, {"input": [], "output": []})[direction].append(RunModel(model_id, step))
    return found


def _known_models(conn: Connection, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    table = store.models
    query = sa.select(table.c.id, table.c.no, table.c.project).where(table.c.id.in_(ids), table.c.deleted.is_(None))
    known = {row.id: (row.no, row.project) for row in conn.execute(query)}
    missing = [one for one in ids if one not in known]
    if missing:
        raise NotFound(
            f"there is no logged model {missing[0]!r:.80}", field="model_id", next_step="log the model first"
        )
    return known


def _row(point: ModelMetric) -> dict[str, object]:
    return {
        "key": check_key(point.key, "metric"),
        "value": None if math.isnan(point.value) else point.value,
        "at": point.at,
        "step": check_step(point.key, point.step),
        "dataset_name": _short(point.dataset_name, "dataset_name", 500),
        "dataset_digest": _short(point.dataset_digest, "dataset_digest", 64),
    }


def _short(text: str, field: str, limit: int) -> str:
    if len(text) <= limit:
        return storable(text)
    raise Invalid(f"{field} {text!r:.60} is too long", field=field, next_step=f"use at most {limit} characters")
