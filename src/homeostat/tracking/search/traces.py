"""Search over traces: order, a page at a time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import parse_filter, parse_order
from homeostat.tracking import store
from homeostat.tracking.search.conditions import Condition
from homeostat.tracking.search.order import Column, Place, after, query_mark, read_token, write_token
from homeostat.tracking.search.trace_conditions import KINDS, RUN, attribute_column, redirected, trace_condition
from homeostat.tracking.traces import traces_of
from homeostat.tracking.types import Trace

LARGEST_PAGE = 500

_traces = store.traces


class TracePage(msgspec.Struct, frozen=True):
    """Some of the traces that were found, in order, and where the next page begins (None: there is none)."""

    traces: list[Trace]
    next_token: str | None = None


def search_traces(
    conn: Connection,
    project_ids: Sequence[int],
    *,
    text: str = "",
    order_by: Sequence[str] = (),
    limit: int = 100,
    page_token: str | None = None,
    now: int,
) -> TracePage:
    """The traces of some projects that a filter lets through, newest first unless ordered otherwise.

    Raises:
        Invalid: for a filter, an order, a limit or a token that makes no sense; the message says where.
    """
    if not 0 < limit <= LARGEST_PAGE:
        raise Invalid(f"a page of {limit} traces", field="max_results", next_step=f"ask for 1 to {LARGEST_PAGE}")
    projects = sorted(set(project_ids))
    mark = query_mark("traces", projects, text, list(order_by))
    place = read_token(page_token, query=mark)
    node = parse_filter(text, kinds=KINDS)
    source, columns = _order(order_by)
    wanted: list[Condition] = [_traces.c.project.in_(projects)]
    if node is not None:
        wanted.append(trace_condition(conn, node, now=now))
    if place is not None:
        wanted.append(after(columns, place.values))
    query = sa.select(*(column.value for column in columns)).select_from(source).where(*wanted)
    rows = conn.execute(query.order_by(*(column.sorted for column in columns)).limit(limit + 1)).all()
    shown = rows[:limit]
    token = write_token(Place(mark, 0, list(shown[-1]))) if len(rows) > limit else None
    return TracePage(traces_of(conn, [row[-1] for row in shown]), token)


def _order(items: Sequence[str]) -> tuple[Any, tuple[Column, ...]]:
    """Where rows come from and what they are sorted by; what a trace lacks comes last; newest first among equals."""
    source: Any = _traces
    columns: list[Column] = []
    for place, text in enumerate(item for item in items if item.strip()):
        item = parse_order(text, kinds=KINDS)
        key = RUN if str(item.key).lower() == "run_id" else redirected(item.key)
        if key.kind == "attributes":
            name, column = attribute_column(key, field="order_by")
            blank: Any = "" if name == "client_request_id" else 0
            lacks = name in ("client_request_id", "execution_time", "end_time")
        elif key.kind in ("tags", "metadata"):
            table = (store.trace_tags if key.kind == "tags" else store.trace_metadata).alias(f"o{place}")
            source = source.outerjoin(table, sa.and_(table.c.trace == _traces.c.no, table.c.key == key.name))
            column, blank, lacks = table.c.value, "", True
        else:
            raise Invalid(
                f"traces cannot be ordered by {item.key}",
                field="order_by",
                next_step="order by an attribute such as timestamp_ms, by tags. or by metadata.",
            )
        if lacks:
            columns.append(Column(sa.case((column.is_(None), 1), else_=0), descending=False))
            column = sa.func.coalesce(column, blank)
        columns.append(Column(column, item.descending))
    columns += [Column(_traces.c.requested, descending=True), Column(_traces.c.no, descending=True)]
    return source, tuple(columns)
