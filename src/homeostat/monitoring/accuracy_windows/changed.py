"""Which windows have to be said anew: those that got predictions or labels since, and those that lost one."""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.monitoring.accuracy_windows.kept import Key, Progress
from homeostat.monitoring.accuracy_windows.spans import start_of
from homeostat.monitoring.accuracy_windows.types import Statement
from homeostat.monitoring.health import SERVED
from homeostat.monitoring.labels import label_high_water
from homeostat.monitoring.store import labels, moved_labels, outcomes


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What came since, by event time of the predictions that it is about."""

    progress: Progress
    touched: frozenset[int]
    """Starts of windows."""


def news_since(conn: Connection, model: str, window: str, before: Progress, *, now: int) -> News:
    """Windows whose labels have changed since `before`. Read the logs in first.

    A label from the future (a replay tells what happened before it moves its clock there) is looked at again.
    """
    high = label_high_water(conn)
    is_new = before.at == 0  # nothing is known of it, so everything is said anyway
    found = [] if is_new else _labelled(conn, model, before.label_seq, high)
    touched = {start_of(at, window) for at in found}
    moved, moved_high = _moved(conn, model, before.moved_seq)
    touched |= {start_of(at, window) for at in moved}
    waits = sa.select(sa.func.min(labels.c.seq)).where(
        labels.c.seq > before.label_seq, labels.c.model.concat("") == model, labels.c.at > now
    )
    early = conn.execute(waits).scalar()
    done = high if early is None else int(early) - 1
    return News(progress=Progress(label_seq=done, moved_seq=moved_high, at=now), touched=frozenset(touched))


def to_say(
    windows: Sequence[tuple[int, int]],
    known: Mapping[Key, Statement],
    news: News,
    traffic: Mapping[int, int],
) -> list[tuple[int, int]]:
    """Those of the windows that are not known, or have changed."""
    seen = {start: one.traffic for (start, _), one in known.items()}
    return [
        (start, end)
        for start, end in windows
        if start in news.touched or traffic.get(start, 0) != seen.get(start, 0 if start not in traffic else -1)
    ]


def runs(windows: Sequence[tuple[int, int]], *, most: int = 50) -> list[tuple[int, int]]:
    """Neighbouring windows as one stretch, so that they are read at once; at most `most` windows each."""
    found: list[list[int]] = []
    for start, end in windows:
        if found and found[-1][1] == start and end - found[-1][0] <= most * (end - start):
            found[-1][1] = end
        else:
            found.append([start, end])
    return [(start, end) for start, end in found]


def _labelled(conn: Connection, model: str, after: int, up_to: int) -> list[int]:
    """Event times of served predictions that got a label with a number in (after, up_to]."""
    query = (
        sa.select(outcomes.c.at)
        .select_from(labels)
        .join(outcomes, sa.and_(outcomes.c.request_id == labels.c.request_id, outcomes.c.model == labels.c.model))
        # `|| ''` keeps SQLite from walking all labels of the model instead of the few new ones by number.
        .where(labels.c.seq > after, labels.c.seq <= up_to, labels.c.model.concat("") == model)
        .where(outcomes.c.arm.in_(SERVED))
    )
    return list(conn.execute(query).scalars())


def _moved(conn: Connection, model: str, after: int) -> tuple[list[int], int]:
    query = sa.select(moved_labels.c.seq, moved_labels.c.at).where(
        moved_labels.c.seq > after, moved_labels.c.model == model
    )
    rows = conn.execute(query).all()
    return [row.at for row in rows], max((row.seq for row in rows), default=after)
