"""experiments/search: projects are few, filtered and sorted here, in the filter language of all searches."""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from homeostat.compat.mlflow.experiment_view import project_view
from homeostat.compat.mlflow.limits import page_size
from homeostat.compat.mlflow.paging import mark_of, read_token, write_token
from homeostat.compat.mlflow.views import view_of
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.errors import Invalid
from homeostat.ground.filters import Ago, And, Compare, Key, Node, Not, Or, parse_filter, parse_order
from homeostat.tracking.projects import list_projects
from homeostat.tracking.types import Project

_DEFAULT_PAGE, _LARGEST_PAGE = 1000, 50_000
_ATTRIBUTES: dict[str, Callable[[Project], str | int]] = {
    "name": lambda project: project.name,
    "experiment_id": lambda project: str(project.id),
    "creation_time": lambda project: project.created // 1000,
    "last_update_time": lambda project: project.updated // 1000,
}
_SORTED_BY = _ATTRIBUTES | {"experiment_id": lambda project: project.id}
_NUMBERS = ("creation_time", "last_update_time")
_NUMBER_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Search(msgspec.Struct):
    """experiments/search."""

    max_results: int | None = None
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = []
    view_type: str | int = "ACTIVE_ONLY"


def search(context: Context, body: Search) -> dict[str, Any]:
    """A page of projects."""
    size = page_size(body.max_results, default=_DEFAULT_PAGE, most=_LARGEST_PAGE)
    view = view_of(body.view_type, "view_type")
    mark = mark_of(body.filter, body.order_by, view)
    start = read_token(body.page_token, mark)
    holds = condition(parse_filter(body.filter), now=context.clock.now() // 1000)
    sort = _order(body.order_by)
    with context.database.read() as conn:
        projects = list_projects(conn, view=view)
    found = sort([item for item in projects if context.identity.may_touch(item.name) and holds(item)])
    page = found[start : start + size]
    reply: dict[str, Any] = {"experiments": [project_view(item) for item in page]} if page else {}
    if len(found) > start + size:
        reply["next_page_token"] = write_token(mark, start + size)
    return reply


def condition(node: Node | None, *, now: int) -> Callable[[Project], bool]:
    """What a filter says of one project; `now` is milliseconds."""
    match node:
        case None:
            return lambda _project: True
        case And(parts):
            each = [condition(part, now=now) for part in parts]
            return lambda project: all(holds(project) for holds in each)
        case Or(parts):
            each = [condition(part, now=now) for part in parts]
            return lambda project: any(holds(project) for holds in each)
        case Not(part):
            inner = condition(part, now=now)
            return lambda project: not inner(project)
        case Compare():
            return _comparison(node, now)


def _comparison(compare: Compare, now: int) -> Callable[[Project], bool]:
    read = _reader(compare.key)
    if compare.op == "IS":
        return lambda project: read(project) is None
    if compare.key.kind == "attributes" and compare.key.name in _NUMBERS:
        test = _number_test(compare, now)
    else:
        test = _text_test(compare)
    return lambda project: (value := read(project)) is not None and test(value)


def _reader(key: Key) -> Callable[[Project], str | int | None]:
    if key.kind == "tags":
        return lambda project: project.tags.get(key.name)
    if key.kind == "attributes" and key.name in _ATTRIBUTES:
        return _ATTRIBUTES[key.name]
    raise Invalid(
        f"Invalid attribute key '{key}' specified. Valid keys are {', '.join(_ATTRIBUTES)} and tags.KEY",
        field="filter",
        next_step="use one of those",
    )


def _number_test(compare: Compare, now: int) -> Callable[[Any], bool]:
    values = [now + value.offset // 1000 if isinstance(value, Ago) else value for value in compare.values]
    if any(isinstance(value, str) for value in values) or not (compare.op in _NUMBER_OPS or compare.op == "IN"):
        raise Invalid(
            f"{compare.key} is a number of milliseconds", field="filter", next_step="compare it by = != < <= > >= IN"
        )
    if compare.op == "IN":
        return lambda value: value in values
    test = _NUMBER_OPS[compare.op]
    return lambda value: test(value, values[0])


def _text_test(compare: Compare) -> Callable[[Any], bool]:
    values = compare.values
    if not all(isinstance(value, str) for value in values):
        raise Invalid(f"{compare.key} is text", field="filter", next_step="put the value in quotes")
    wanted = str(values[0])
    match compare.op:
        case "IN":
            return lambda value: value in values
        case "=" | "!=":
            test = _NUMBER_OPS[compare.op]
            return lambda value: test(value, wanted)
        case "LIKE" | "ILIKE":
            pattern = re.compile(_like(wanted), re.DOTALL | (re.IGNORECASE if compare.op == "ILIKE" else 0))
            return lambda value: pattern.fullmatch(value) is not None
        case "CONTAINS":
            return lambda value: wanted in value
    raise Invalid(
        f"{compare.key} cannot be compared by {compare.op}", field="filter", next_step="use = != LIKE ILIKE CONTAINS IN"
    )


def _like(pattern: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern)


def _order(items: Sequence[str]) -> Callable[[list[Project]], list[Project]]:
    keys = [parse_order(item) for item in items] or [parse_order("creation_time DESC")]
    for item in keys:
        if item.key.kind != "attributes" or item.key.name not in _SORTED_BY:
            raise Invalid(
                f"Invalid order_by key '{item.key}' specified. Valid keys are {', '.join(_SORTED_BY)}",
                field="order_by",
                next_step="use one of those",
            )

    def sort(projects: list[Project]) -> list[Project]:
        projects = sorted(projects, key=lambda project: project.id)
        for item in reversed(keys):
            projects.sort(key=_SORTED_BY[item.key.name], reverse=item.descending)
        return projects

    return sort
