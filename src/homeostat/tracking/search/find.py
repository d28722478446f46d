"""Finding runs: which ones, in what order, how many."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import And, Compare, Node, OrderKey, parse_filter
from homeostat.tracking import store
from homeostat.tracking.projects import side_of_trash
from homeostat.tracking.search.at_step import page_by_step
from homeostat.tracking.search.conditions import condition, metric_matches, text_matches
from homeostat.tracking.search.order import (
    Order,
    Place,
    after,
    build_order,
    order_of,
    query_mark,
    read_token,
    write_token,
)
from homeostat.tracking.search.pages import Columns, fill
from homeostat.tracking.types import FoundRun, View

LARGEST_PAGE = 50_000
FEW = 5_000
"""Runs. When one comparison leaves no more, they are looked up and sorted; else the order's index is walked."""

_runs = store.runs


class Page(msgspec.Struct, frozen=True):
    """Some of the runs that were found, in order, and where the next page begins (None: there is none)."""

    runs: list[FoundRun]
    next_token: str | None = None


def search_runs(
    conn: Connection,
    project_ids: Sequence[int],
    *,
    text: str = "",
    order_by: Sequence[str] = (),
    view: View = "active",
    limit: int = 1000,
    page_token: str | None = None,
    columns: Columns | None = None,
    now: int,
) -> Page:
    """The runs of some projects that a filter lets through, a page at a time; new runs do not shift later pages.

    `now` (microseconds UTC) is what `now() - 7d` in the filter counts from.

    Raises:
        Invalid: for a filter, an order, a limit or a token that makes no sense; the message says where.
    """
    if not 0 < limit <= LARGEST_PAGE:
        raise Invalid(f"a page of {limit} runs", field="max_results", next_step=f"ask for 1 to {LARGEST_PAGE}")
    projects = sorted(set(project_ids))
    mark = query_mark(projects, text, list(order_by), view)
    place = read_token(page_token, query=mark)
    node, keys = parse_filter(text), order_of(order_by)
    if not projects:
        return Page([])
    few = _few_candidates(conn, node, projects, limit=limit)
    # A page goes on in the way that the one before it went.
    walks = place.walks if place is not None else few is None
    wanted = _wanted(conn, node, projects, view, now, few=None if walks else few)
    if keys and keys[0].key.aspect == "at":
        numbers, end = page_by_step(conn, keys[0], wanted, projects=projects, limit=limit, place=place, mark=mark)
    else:
        numbers, end = _page(conn, keys, wanted, projects, by_index=walks, limit=limit, place=place, mark=mark)
    return Page(fill(conn, numbers, columns or Columns()), None if end is None else write_token(end))


def count_runs(conn: Connection, project_ids: Sequence[int], *, text: str = "", view: View = "active", now: int) -> int:
    """How many runs a filter lets through."""
    node, projects = parse_filter(text), sorted(set(project_ids))
    if not projects:
        return 0
    few = _few_candidates(conn, node, projects, limit=LARGEST_PAGE)
    wanted = _wanted(conn, node, projects, view, now, few=few)
    return int(conn.execute(sa.select(sa.func.count()).select_from(_runs).where(*wanted)).scalar_one())


def _wanted(
    conn: Connection, node: Node | None, projects: list[int], view: View, now: int, *, few: sa.Select[Any] | None
) -> list[sa.ColumnElement[bool]]:
    wanted = [side_of_trash(_runs.c.deleted, view)]
    if node is not None:
        wanted.append(condition(conn, node, projects=projects, now=now))
    if few is None:
        return [_in_projects(_runs.c.project, projects), *wanted]
    # The sum keeps SQLite from walking the project's index, when the few are to be looked up.
    return [_runs.c.no.in_(few), _in_projects(_runs.c.project + 0, projects), *wanted]


def _page(
    conn: Connection,
    keys: Sequence[OrderKey],
    wanted: list[sa.ColumnElement[bool]],
    projects: list[int],
    *,
    by_index: bool,
    limit: int,
    place: Place | None,
    mark: str,
) -> tuple[list[int], Place | None]:
    """A page of run numbers. Three phases when a metric's index leads: runs with a number, with NaN, without it."""
    walks = by_index and bool(keys) and keys[0].key.kind == "metrics"
    phases = range(place.phase if place else 0, 3 if walks else 1)
    numbers: list[int] = []
    end: Place | None = None
    for phase in phases:
        order, conditions = _phase(keys, wanted, projects, phase=phase, walks=walks)
        if place is not None and phase == place.phase:
            conditions.append(after(order.columns, place.values))
        values = [column.value for column in order.columns]
        query = sa.select(*values).select_from(order.source).where(*conditions)
        # One more than wanted tells whether there is a next page.
        query = query.order_by(*(column.sorted for column in order.columns)).limit(limit + 1 - len(numbers))
        for row in conn.execute(query).all():
            if len(numbers) == limit:
                return numbers, end
            numbers.append(row[-1])
            end = Place(mark, phase, list(row), by_index)
    return numbers, None


def _phase(
    keys: Sequence[OrderKey], wanted: list[sa.ColumnElement[bool]], projects: list[int], *, phase: int, walks: bool
) -> tuple[Order, list[sa.ColumnElement[bool]]]:
    if not walks:
        return build_order(keys, by_index=False), list(wanted)
    name = keys[0].key.name
    if phase == 2:
        found = sa.exists().where(store.series.c.run == _runs.c.no, store.series.c.key == name)
        return build_order(keys[1:], by_index=False), [*wanted, sa.not_(found)]
    if phase == 1:
        order = build_order([*keys[1:]], by_index=False)
        nan = sa.exists().where(
            store.series.c.run == _runs.c.no, store.series.c.key == name, store.series.c[keys[0].key.aspect].is_(None)
        )
        return order, [*wanted, nan]
    order = build_order(keys, by_index=True)
    here = _in_projects(order.lead.c.project, projects)
    return order, [*wanted, here, order.lead.c.key == name, order.lead_column.is_not(None)]


def _few_candidates(conn: Connection, node: Node | None, projects: list[int], *, limit: int) -> sa.Select[Any] | None:
    """The runs that one comparison alone lets through, when looking them up is cheaper than walking the order's index.

    Walking meets `limit` matches after `limit / share` runs, the share of matches being the product of the
    comparisons' own; looking up and sorting a run costs about twice what passing one costs.
    """
    total = int(conn.execute(sa.select(sa.func.max(_runs.c.no))).scalar() or 0)
    if not total:
        return None
    best, fewest, share = None, FEW + 1, 1.0
    for candidates in _alone(conn, node, projects):
        counted = sa.select(sa.func.count()).select_from(candidates.limit(FEW + 1).subquery())
        count = int(conn.execute(counted).scalar_one())
        if count <= FEW:
            share *= count / total
        if count < fewest:
            best, fewest = candidates, count
    passed = total if limit >= share * total else limit / share
    return best if 2 * fewest <= passed else None


def _alone(conn: Connection, node: Node | None, projects: list[int]) -> Iterator[sa.Select[Any]]:
    """For each comparison that must hold and that an index answers: the runs that it lets through by itself."""
    for compare in _must_hold(node):
        table = {"params": store.params, "tags": store.tags, "metrics": store.series}.get(compare.key.kind)
        if table is None or compare.key.aspect == "at" or not _has_index(compare):
            continue
        alone = metric_matches(compare, table) if table is store.series else text_matches(conn, compare, table)
        yield sa.select(table.c.run).where(
            _in_projects(table.c.project, projects), table.c.key == compare.key.name, alone
        )


def _must_hold(node: Node | None) -> Iterable[Compare]:
    if isinstance(node, Compare):
        yield node
    if isinstance(node, And):
        for part in node.parts:
            yield from _must_hold(part)


def _has_index(compare: Compare) -> bool:
    if compare.key.kind == "metrics":
        return compare.key.aspect == "last" and compare.op in ("=", "<", "<=", ">", ">=", "IN")
    return compare.op in ("=", "IN")


def _in_projects(column: Any, projects: list[int]) -> sa.ColumnElement[bool]:
    # One project is an equality: only then does an index give rows in the order of its next column.
    one: sa.ColumnElement[bool] = column == projects[0] if len(projects) == 1 else column.in_(projects)
    return one
