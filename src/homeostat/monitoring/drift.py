"""Drift: have the rows moved away from the reference bins, by more than chance and by enough to matter?

Per column the Jensen-Shannon distance (natural logarithm; 0 = same, 0.83 = disjoint) between the reference counts and
the window's. Its null is simulated: two multinomial draws of the actual sizes from the pooled bins, so that a small
window is not called drift for being small. Each column's distance becomes a z under its own null, and the largest z
over all columns gives the p-value, so that the error rate holds for the model as a whole. A column has drifted when
its family-wise p is at most alpha AND its distance is at least the floor: at large counts everything is significant.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.bins import Counts, bins_id, width
from homeostat.monitoring.store import profiles

MIN_ROWS = 200
"""Fewer rows are 'insufficient', never 'no drift'."""
DRAWS = 400

Floats = npt.NDArray[np.float64]


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a report."""

    name: str
    js: float
    """Jensen-Shannon distance, 0 to 0.83."""
    z: float
    """Standard deviations above what chance alone gives at these sizes."""
    p: float
    """Family-wise: the chance that ANY column would look this different without drift."""
    drifted: bool


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one window."""

    status: str
    """'ok', 'drift' or 'insufficient'."""
    rows: int
    columns: tuple[ColumnDrift, ...]
    alpha: float
    floor: float

    def drifted(self) -> list[str]:
        """Names of the columns that have."""
        return [column.name for column in self.columns if column.drifted]


def drift(
    conn: Connection,
    model: str,
    version: int,
    *,
    start: int,
    end: int,
    reference: Sequence[ColumnBins],
    alpha: float = 0.05,
    floor: float = 0.1,
) -> DriftReport:
    """The rows that a version scored on the event days from `start` to before `end`, against its reference bins."""
    return compare(reference, profile(conn, model, version, reference, start=start, end=end), alpha=alpha, floor=floor)


def profile(
    conn: Connection, model: str, version: int, reference: Sequence[ColumnBins], *, start: int, end: int
) -> list[Counts]:
    """Counts by reference bin of the event days from the one of `start` to before `end`, one array a column."""
    columns = {bins_id(column): np.zeros(width(column), dtype=np.int64) for column in reference}
    query = (
        sa.select(profiles.c.bins_id, profiles.c.bin, sa.func.sum(profiles.c.rows))
        .where(
            profiles.c.model == model,
            profiles.c.version == version,
            profiles.c.window_start >= start - start % DAY,
            profiles.c.window_start < end,
            profiles.c.bins_id.in_(list(columns)),
        )
        .group_by(profiles.c.bins_id, profiles.c.bin)
    )
    for key, place, rows in conn.execute(query):
        columns[key][place] = int(rows)
    return [columns[bins_id(column)] for column in reference]


def first_day(conn: Connection, model: str, version: int) -> int | None:
    """Start of the first event day on which the version scored rows; None before it has."""
    where = (profiles.c.model == model, profiles.c.version == version)
    found = conn.execute(sa.select(sa.func.min(profiles.c.window_start)).where(*where)).scalar()
    return None if found is None else int(found)


def compare(
    reference: Sequence[ColumnBins],
    counts: Sequence[Counts],
    *,
    alpha: float = 0.05,
    floor: float = 0.1,
    draws: int = DRAWS,
    seed: int = 0,
) -> DriftReport:
    """The verdict on counts that are in the reference's bins; the same input gives the same verdict."""
    pairs = [(np.array(column.counts, dtype=np.int64), now) for column, now in zip(reference, counts, strict=True)]
    rows = max((int(now.sum()) for _, now in pairs), default=0)
    usable = [index for index, (then, now) in enumerate(pairs) if min(then.sum(), now.sum()) >= MIN_ROWS]
    if not usable:
        return DriftReport(status="insufficient", rows=rows, columns=(), alpha=alpha, floor=floor)
    rng = np.random.default_rng(seed)
    draws = max(draws, int(np.ceil(2 / alpha)))  # so that p can get below alpha
    distance = np.array([float(js_distance(*pairs[index])) for index in usable])
    null = np.stack([_null(*pairs[index], draws, rng) for index in usable])
    centre, spread = null.mean(axis=1), np.maximum(null.std(axis=1), 1e-9)
    z = (distance - centre) / spread
    worst = ((null - centre[:, None]) / spread[:, None]).max(axis=0)
    p = (1 + (worst[None, :] >= z[:, None]).sum(axis=1)) / (draws + 1)
    columns = tuple(
        ColumnDrift(
            name=reference[index].name,
            js=round(float(distance[place]), 6),
            z=round(float(z[place]), 3),
            p=round(float(p[place]), 6),
            drifted=bool(p[place] <= alpha and distance[place] >= floor),
        )
        for place, index in enumerate(usable)
    )
    status = "drift" if any(column.drifted for column in columns) else "ok"
    return DriftReport(status=status, rows=rows, columns=columns, alpha=alpha, floor=floor)


def js_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Square root of the Jensen-Shannon divergence between counts, along the last axis (scipy's `jensenshannon`).

    >>> round(float(js_distance([10, 0], [0, 5])), 4)
    0.8326
    """
    p, q = (np.asarray(counts, dtype=np.float64) for counts in (first, second))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return np.sqrt(np.maximum(divergence, 0.0))


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    logs = np.log(np.divide(p, q, out=np.ones_like(p), where=p > 0))
    total: Floats = (p * logs).sum(axis=-1)
    return total


def _null(then: Counts, now: Counts, draws: int, rng: np.random.Generator) -> Floats:
    pooled = (then + now) / (then.sum() + now.sum())
    first, second = (rng.multinomial(int(counts.sum()), pooled, size=draws) for counts in (then, now))
    return js_distance(first, second)
