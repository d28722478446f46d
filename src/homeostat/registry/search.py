"""Search over models and over versions: the filter language of all searches, an order, a page at a time.

Keys are those of MLflow and a few more: `name`, `version_number`, `run_id`, `source_path`, `stage`,
`creation_timestamp`, `last_updated_timestamp`, `tags.KEY`. Prompts are kept as models under a tag, as MLflow keeps
them, and are found only by who asks for them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import And, Compare, Node, Not, Or, parse_filter
from homeostat.registry import store
from homeostat.registry.models import models_of_keys
from homeostat.registry.pages import Column, Place, after, order_of, query_mark, read_token, write_token
from homeostat.registry.predicates import Condition, compare_number, compare_text, compare_time
from homeostat.registry.types import Model, ModelVersion
from homeostat.registry.versions import versions_at

IS_PROMPT = "mlflow.prompt.is_prompt"
_KINDS = {
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attr", "attribute", "attributes"), "attributes"),
}
_TIMES = ("creation_timestamp", "last_updated_timestamp")
_NUMBERS = ("version_number",)

_models, _versions = store.models, store.versions
_MODEL_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": _models.c.name,
    "creation_timestamp": _models.c.created,
    "last_updated_timestamp": _models.c.updated,
}
_VERSION_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": _models.c.name,
    "version_number": sa.cast(_versions.c.version, sa.BigInteger),  # PostgreSQL compares it with no more than it holds
    "run_id": sa.func.coalesce(_versions.c.run_id, ""),
    "source_path": _versions.c.source,
    "stage": _versions.c.stage,
    "creation_timestamp": _versions.c.created,
    "last_updated_timestamp": _versions.c.updated,
}
_ALIASES = {
    "timestamp": "last_updated_timestamp",
    "version": "version_number",
    "source": "source_path",
}


class ModelsPage(msgspec.Struct, frozen=True):
    """Some of the models that were found, in order, and where the next page begins (None: there is none)."""

    models: list[Model]
    next_token: str | None = None


class VersionsPage(msgspec.Struct, frozen=True):
    """Some of the versions that were found, in order, and where the next page begins (None: there is none)."""

    versions: list[ModelVersion]
    next_token: str | None = None


class _Subject(msgspec.Struct, frozen=True):
    """What is searched: the columns that its keys stand for, and the tags of its rows."""

    columns: dict[str, Any]
    tags: Any
    of_row: Any
    """The condition that a tag is the row's."""


_OF_MODELS = _Subject(_MODEL_COLUMNS, store.model_tags, store.model_tags.c.model == _models.c.key)
_OF_VERSIONS = _Subject(
    _VERSION_COLUMNS,
    store.version_tags,
    sa.and_(
        store.version_tags.c.model == _versions.c.model,
        store.version_tags.c.version == _versions.c.version,
    ),
)


def search_models(
    conn: Connection,
    *,
    text: str = "",
    order_by: Sequence[str] = (),
    limit: int = 100,
    page_token: str | None = None,
    names: frozenset[str] | None = None,
    now: int,
) -> ModelsPage:
    """The models a filter lets through, by name unless ordered otherwise. `names`: only those within reach.

    Raises:
        Invalid: for a filter, an order or a token that makes no sense; the message says where.
    """
    mark = query_mark("models", text, list(order_by), sorted(names or ()))
    columns = order_of(order_by, _MODEL_COLUMNS, _ALIASES, ends=("name",))
    wanted = [_models.c.deleted.is_(None), *_wanted(conn, _OF_MODELS, text, names, now)]
    query = sa.select(_models.c.key, *(column.value for column in columns))
    rows, token = _page(conn, query.where(*wanted), columns, mark=mark, limit=limit, page_token=page_token)
    return ModelsPage(models_of_keys(conn, [row[0] for row in rows]), token)


def search_versions(
    conn: Connection,
    *,
    text: str = "",
    order_by: Sequence[str] = (),
    limit: int = 100,
    page_token: str | None = None,
    names: frozenset[str] | None = None,
    now: int,
) -> VersionsPage:
    """The versions a filter lets through, those changed last first unless ordered otherwise.

    Raises:
        Invalid: for a filter, an order or a token that makes no sense; the message says where.
    """
    mark = query_mark("versions", text, list(order_by), sorted(names or ()))
    items = [item for item in order_by if item.strip()] or ["last_updated_timestamp DESC"]
    columns = order_of(items, _VERSION_COLUMNS, _ALIASES, ends=("name", "version_number DESC"))
    alive = [_models.c.deleted.is_(None), _versions.c.deleted.is_(None)]
    query = (
        sa.select(_versions.c.model, _versions.c.version, *(column.value for column in columns))
        .join_from(_versions, _models, _versions.c.model == _models.c.key)
        .where(*alive, *_wanted(conn, _OF_VERSIONS, text, names, now))
    )
    rows, token = _page(conn, query, columns, mark=mark, limit=limit, page_token=page_token)
    return VersionsPage(versions_at(conn, [(row[0], row[1]) for row in rows]), token)


def _page(
    conn: Connection,
    query: sa.Select[Any],
    columns: Sequence[Column],
    *,
    mark: str,
    limit: int,
    page_token: str | None,
) -> tuple[list[Any], str | None]:
    place = read_token(page_token, query=mark)
    if place is not None:
        query = query.where(after(columns, place.values))
    rows = list(conn.execute(query.order_by(*(column.sorted for column in columns)).limit(limit + 1)))
    shown = rows[:limit]
    if len(rows) <= limit:
        return shown, None
    return shown, write_token(Place(mark, list(shown[-1][-len(columns) :])))


def _wanted(conn: Connection, subject: _Subject, text: str, names: frozenset[str] | None, now: int) -> list[Condition]:
    node = parse_filter(text, kinds=_KINDS)
    wanted: list[Condition] = [] if names is None else [_models.c.name.in_(sorted(names))]
    if node is not None:
        wanted.append(_condition(conn, node, subject, now))
    if not _names_prompts(node):
        wanted.append(_prompt_tag(subject) != "true")
    return wanted


def _condition(conn: Connection, node: Node, subject: _Subject, now: int) -> Condition:
    if isinstance(node, And):
        return sa.and_(*(_condition(conn, part, subject, now) for part in node.parts))
    if isinstance(node, Or):
        return sa.or_(*(_condition(conn, part, subject, now) for part in node.parts))
    if isinstance(node, Not):
        return sa.not_(_condition(conn, node.part, subject, now))
    if node.key.kind == "tags":
        return _of_tag(conn, node, subject)
    return _of_attribute(conn, node, subject, now)


def _of_tag(conn: Connection, node: Compare, subject: _Subject) -> Condition:
    if node.key.name == IS_PROMPT:  # what lacks the tag is no prompt
        return compare_text(conn, node, _prompt_tag(subject))
    found = sa.exists().where(subject.of_row, subject.tags.c.key == node.key.name)
    if node.op == "IS":
        return sa.not_(found)
    return found.where(compare_text(conn, node, subject.tags.c.value))


def _of_attribute(conn: Connection, node: Compare, subject: _Subject, now: int) -> Condition:
    name = _ALIASES.get(node.key.name, node.key.name)
    if name not in subject.columns:
        raise Invalid(
            f"Invalid attribute key {node.key.name!r:.80} specified. Valid keys are {', '.join(subject.columns)} "
            "and tags.KEY",
            field="filter",
            next_step="use one of those",
        )
    column = subject.columns[name]
    if node.op == "IS":
        return sa.false()
    if name in _TIMES:
        return compare_time(node, column, now=now)
    return compare_number(node, column) if name in _NUMBERS else compare_text(conn, node, column)


def _prompt_tag(subject: _Subject) -> sa.ColumnElement[Any]:
    value = sa.select(subject.tags.c.value).where(subject.of_row, subject.tags.c.key == IS_PROMPT).scalar_subquery()
    return sa.func.coalesce(value, "false")


def _names_prompts(node: Node | None) -> bool:
    if isinstance(node, And | Or):
        return any(_names_prompts(part) for part in node.parts)
    if isinstance(node, Not):
        return _names_prompts(node.part)
    return node is not None and node.key.kind == "tags" and node.key.name == IS_PROMPT
