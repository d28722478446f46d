"""A page in the order of a metric's value at one step: the values are in the points, so the sorting is done here."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.filters import OrderKey
from homeostat.tracking import store
from homeostat.tracking.search.order import Place
from homeostat.tracking.search.steps import runs_at_step


def page_by_step(
    conn: Connection,
    item: OrderKey,
    wanted: Sequence[sa.ColumnElement[bool]],
    *,
    projects: Sequence[int],
    limit: int,
    place: Place | None,
    mark: str,
) -> tuple[list[int], Place | None]:
    """Run numbers; runs without a value at that step come last, ties go to the newer run."""
    if item.key.step is None:
        raise Invalid("at() names no step", field="order_by", next_step="write at(metrics.NAME, 100)")
    seen = runs_at_step(conn, item.key.name, item.key.step, projects=projects)
    query = sa.select(store.runs.c.no).where(*wanted).order_by(store.runs.c.started.desc(), store.runs.c.no.desc())
    numbers = list(conn.execute(query).scalars())
    known = [number for number in numbers if seen.get(number) == seen.get(number, 0.0)]  # neither NaN nor missing
    known.sort(key=lambda number: -seen[number] if item.descending else seen[number])
    rest = sorted(set(numbers) - set(known), key=numbers.index) if len(known) < len(numbers) else []
    ordered = [*known, *rest]
    start = int(place.values[0]) if place else 0
    end = start + limit
    return ordered[start:end], Place(mark, 0, [end]) if end < len(ordered) else None
