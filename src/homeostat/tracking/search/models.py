"""Search over logged models: filter, data sets, order, a page at a time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import And, Compare, Key, Node, Not, Or, parse_filter, parse_order
from homeostat.tracking import store
from homeostat.tracking.models import models_of
from homeostat.tracking.search.conditions import (
    Condition,
    compare_number,
    compare_text,
    metric_matches,
    moment,
    text_matches,
    wrong,
)
from homeostat.tracking.search.order import Column, Place, after, query_mark, read_token, write_token
from homeostat.tracking.types import LoggedModel

LARGEST_PAGE = 50_000

_models = store.models
_ATTRIBUTES: dict[str, sa.ColumnElement[Any]] = {
    "name": _models.c.name,
    "model_id": _models.c.id,
    "model_type": _models.c.model_type,
    "status": _models.c.status,
    "source_run_id": _models.c.source_run,
    "creation_timestamp": _models.c.created,
    "last_updated_timestamp": _models.c.updated,
}
_ALIASES = {
    "creation_time": "creation_timestamp",
    "creation_timestamp_ms": "creation_timestamp",
    "last_updated_time": "last_updated_timestamp",
    "last_updated_timestamp_ms": "last_updated_timestamp",
}
_TIMES = ("creation_timestamp", "last_updated_timestamp")


class DatasetFilter(msgspec.Struct, frozen=True):
    """Only what was measured on this data set counts; an empty digest: on any version of it."""

    name: str
    digest: str = ""


class ModelOrder(msgspec.Struct, frozen=True):
    """One column of an order: an attribute, or `metrics.NAME`, perhaps as measured on one data set."""

    field: str
    descending: bool = False
    dataset: DatasetFilter | None = None


class ModelPage(msgspec.Struct, frozen=True):
    """Some of the models that were found, in order, and where the next page begins (None: there is none)."""

    models: list[LoggedModel]
    next_token: str | None = None


def search_models(
    conn: Connection,
    project_ids: Sequence[int],
    *,
    text: str = "",
    datasets: Sequence[DatasetFilter] = (),
    order_by: Sequence[ModelOrder] = (),
    limit: int = 100,
    page_token: str | None = None,
    now: int,
) -> ModelPage:
    """The models of some projects that a filter lets through, newest first unless ordered otherwise.

    Raises:
        Invalid: for a filter, an order, a limit or a token that makes no sense; the message says where.
    """
    if not 0 < limit <= LARGEST_PAGE:
        raise Invalid(f"a page of {limit} models", field="max_results", next_step=f"ask for 1 to {LARGEST_PAGE}")
    projects = sorted(set(project_ids))
    mark = query_mark("models", projects, text, list(datasets), list(order_by))
    place = read_token(page_token, query=mark)
    node = parse_filter(text)
    source, columns = _order(order_by)
    wanted: list[Condition] = [_models.c.project.in_(projects), _models.c.deleted.is_(None)]
    if node is not None:
        wanted.append(_condition(conn, node, datasets, now))
    if datasets and not _names_a_metric(node):
        measured = store.model_metrics.c.model == _models.c.no
        wanted.append(sa.exists().where(measured, _on(store.model_metrics, datasets)))
    if place is not None:
        wanted.append(after(columns, place.values))
    query = sa.select(*(column.value for column in columns)).select_from(source).where(*wanted)
    rows = conn.execute(query.order_by(*(column.sorted for column in columns)).limit(limit + 1)).all()
    shown = rows[:limit]
    token = write_token(Place(mark, 0, list(shown[-1]))) if len(rows) > limit else None
    return ModelPage(models_of(conn, [row[-1] for row in shown]), token)


def _condition(conn: Connection, node: Node, datasets: Sequence[DatasetFilter], now: int) -> Condition:
    if isinstance(node, And):
        return sa.and_(*(_condition(conn, part, datasets, now) for part in node.parts))
    if isinstance(node, Or):
        return sa.or_(*(_condition(conn, part, datasets, now) for part in node.parts))
    if isinstance(node, Not):
        return sa.not_(_condition(conn, node.part, datasets, now))
    if node.key.kind == "metrics":
        return _of_metric(node, datasets)
    if node.key.kind in ("params", "tags"):
        return _of_text(conn, node)
    if node.key.kind == "datasets":
        raise wrong(node, "data sets are no part of this filter", "give them as `datasets`")
    return _of_attribute(conn, node, now)


def _of_metric(node: Compare, datasets: Sequence[DatasetFilter]) -> Condition:
    if node.key.aspect != "last":
        raise wrong(node, f"{node.key.aspect}() is of a run's metric", "write metrics.NAME")
    # Under the name that the comparison of a run's metric looks for.
    measured = sa.select(*store.model_metrics.c, store.model_metrics.c.value.label("last")).subquery()
    found = sa.exists().where(measured.c.model == _models.c.no, measured.c.key == node.key.name)
    if datasets:
        found = found.where(_on(measured, datasets))
    return sa.not_(found) if node.op == "IS" else found.where(metric_matches(node, measured))


def _of_text(conn: Connection, node: Compare) -> Condition:
    table = store.model_params if node.key.kind == "params" else store.model_tags
    found = sa.exists().where(table.c.model == _models.c.no, table.c.key == node.key.name)
    if node.op == "IS":
        return sa.not_(found)
    return found.where(text_matches(conn, node, table))


def _of_attribute(conn: Connection, node: Compare, now: int) -> Condition:
    name, column = _attribute(node.key, field="filter")
    if node.op == "IS":
        return column.is_(None)
    if name in _TIMES:
        return compare_number(node, column, [moment(node, value, now) for value in node.values])
    if name == "status":
        plain = tuple(_plain_status(value) if isinstance(value, str) else value for value in node.values)
        node = Compare(node.key, node.op, plain)
    return sa.and_(column.is_not(None), compare_text(conn, node, column))


def _plain_status(text: str) -> str:
    return text.lower().removeprefix("logged_model_")


def _attribute(key: Key, *, field: str) -> tuple[str, sa.ColumnElement[Any]]:
    name = _ALIASES.get(key.name.lower(), key.name.lower())
    if key.kind != "attributes" or name not in _ATTRIBUTES:
        raise Invalid(
            f"{str(key)!r:.80} is no attribute of a logged model",
            field=field,
            next_step=f"use one of {', '.join(_ATTRIBUTES)}, or metrics., params., tags.",
        )
    return name, _ATTRIBUTES[name]


def _names_a_metric(node: Node | None) -> bool:
    if isinstance(node, And | Or):
        return any(_names_a_metric(part) for part in node.parts)
    if isinstance(node, Not):
        return _names_a_metric(node.part)
    return node is not None and node.key.kind == "metrics"


def _on(table: sa.FromClause, datasets: Sequence[DatasetFilter]) -> Condition:
    return sa.or_(*(_on_one(table, dataset) for dataset in datasets))


def _on_one(table: sa.FromClause, dataset: DatasetFilter) -> Condition:
    named = table.c.dataset_name == dataset.name
    return sa.and_(named, table.c.dataset_digest == dataset.digest) if dataset.digest else named


def _order(items: Sequence[ModelOrder]) -> tuple[Any, tuple[Column, ...]]:
    """Where rows come from and what they are sorted by; what a model lacks comes last; newest first among equals."""
    source: Any = _models
    columns: list[Column] = []
    for place, item in enumerate(items):
        key = parse_order(item.field).key
        if key.kind != "metrics":
            column = _attribute(key, field="order_by")[1]
            if column is _models.c.source_run:
                columns.append(Column(sa.case((column.is_(None), 1), else_=0), descending=False))
                column = sa.func.coalesce(column, "")
            columns.append(Column(column, item.descending))
            continue
        latest = _latest(key.name, item.dataset, place)
        source = source.outerjoin(latest, sa.and_(latest.c.model == _models.c.no, latest.c.place == 1))
        rank = sa.case((latest.c.model.is_(None), 2), (latest.c.value.is_(None), 1), else_=0)
        columns += [
            Column(rank, descending=False),
            Column(sa.func.coalesce(latest.c.value, 0.0), item.descending),
        ]
    columns += [Column(_models.c.created, descending=True), Column(_models.c.no, descending=True)]
    return source, tuple(columns)


def _latest(name: str, dataset: DatasetFilter | None, place: int) -> Any:
    table = store.model_metrics
    newest = (table.c.at.desc(), table.c.step.desc(), table.c.run)
    number = sa.func.row_number().over(partition_by=table.c.model, order_by=newest).label("place")
    query = sa.select(table.c.model, table.c.value, number).where(table.c.key == name)
    if dataset is not None:
        query = query.where(_on_one(table, dataset))
    return query.subquery(f"o{place}")
