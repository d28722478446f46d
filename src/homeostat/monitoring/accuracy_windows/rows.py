"""Reading the rows of windows: predictions by window, and those with labels, whatever was said of them."""

from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR
from homeostat.monitoring.accuracy_windows.spans import SHIFTS, WIDTHS
from homeostat.monitoring.accuracy_windows.types import WindowRows
from homeostat.monitoring.health import SERVED
from homeostat.monitoring.store import labels, outcomes, traffic


def labelled_rows(
    conn: Connection, model: str, *, start: int, end: int, now: int, version: int | None = None
) -> WindowRows:
    """Served predictions from `start` to before `end` that had a label by `now`."""
    query = (
        sa.select(
            outcomes.c.at, outcomes.c.request_id, outcomes.c.version, outcomes.c.score, labels.c.value, labels.c.at
        )
        .join(labels, sa.and_(labels.c.model == outcomes.c.model, labels.c.request_id == outcomes.c.request_id))
        .where(*_served(model, version, start, end), labels.c.at <= now)
        .order_by(outcomes.c.at, outcomes.c.request_id, outcomes.c.version, labels.c.at, labels.c.seq)
    )
    cursor = conn.execute(query).cursor
    assert cursor is not None  # a select has one
    found: list[Any] = list(zip(*cursor.fetchall(), strict=True)) or [()] * 6
    at, value = np.array(found[0], dtype=np.int64), np.array(found[4], dtype=np.float64)
    ids, versions = np.array(found[1], dtype=object), np.array(found[2], dtype=np.int64)
    # Labels of one prediction stand together, the first that came before the one that is believed.
    changes = (at[1:] != at[:-1]) | (ids[1:] != ids[:-1]) | (versions[1:] != versions[:-1])
    first = np.concatenate([[True], changes]) if len(at) else np.zeros(0, dtype=np.bool_)
    last = np.concatenate([changes, [True]]) if len(at) else first
    group = np.cumsum(first) - 1
    believed = value[last]
    otherwise = value != believed[group] if len(at) else first
    contradicted = np.bincount(group, weights=otherwise, minlength=len(believed)) > 0
    return WindowRows(
        request_ids=ids[last].tolist(),
        at=at[last],
        score=np.array(found[3], dtype=np.float64)[last],
        y=believed,
        first_at=np.array(found[5], dtype=np.int64)[first],
        contradicted=contradicted,
    )


def predictions_by_window(
    conn: Connection, model: str, window: str, *, start: int, end: int, version: int | None = None
) -> dict[int, int]:
    """Served predictions with a number for an answer, by start of their window."""
    begin = _start(outcomes.c.at, window)
    query = sa.select(begin, sa.func.count()).where(*_served(model, version, start, end)).group_by(begin)
    return {int(at): int(count) for at, count in conn.execute(query)}


def traffic_by_window(conn: Connection, model: str, window: str, *, start: int, end: int) -> dict[int, int]:
    """Rows that the served arms were asked for, by start of their window: a cheap sign that predictions have come."""
    begin = _start(traffic.c.window_start, window)
    query = (
        sa.select(begin, sa.func.sum(traffic.c.rows))
        .where(traffic.c.model == model, traffic.c.arm.in_(SERVED))
        .where(traffic.c.window_start >= start - start % HOUR, traffic.c.window_start < end)
        .group_by(begin)
    )
    return {int(at): int(rows) for at, rows in conn.execute(query)}


def first_and_last(conn: Connection, model: str) -> tuple[int, int] | None:
    """Event hours of the first and the newest traffic; None before any."""
    at = traffic.c.window_start
    found = conn.execute(
        sa.select(sa.func.min(at), sa.func.max(at)).where(traffic.c.model == model, traffic.c.arm.in_(SERVED))
    ).one()
    return None if found[0] is None else (int(found[0]), int(found[1]))


def _start(at: sa.ColumnElement[int], window: str) -> sa.ColumnElement[int]:
    # Literals, for PostgreSQL takes two parameters of one value for two things to group by.
    width, shift = (sa.literal_column(str(number), sa.BigInteger) for number in (WIDTHS[window], SHIFTS[window]))
    # The remainder has the sign of what is divided; `+ width` twice makes it right before the first Monday too.
    rest = (((at - shift) % width) + width) % width
    start: sa.ColumnElement[int] = at - rest
    return start


def _served(model: str, version: int | None, start: int, end: int) -> list[sa.ColumnElement[bool]]:
    conditions = [
        outcomes.c.model == model,
        outcomes.c.at >= start,
        outcomes.c.at < end,
        outcomes.c.arm.in_(SERVED),
        outcomes.c.score.is_not(None),
    ]
    return conditions if version is None else [*conditions, outcomes.c.version == version]
