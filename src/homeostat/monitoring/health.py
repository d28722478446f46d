"""Traffic, errors and latency of the versions that answer, from counters by event hour."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR
from homeostat.monitoring import store

BUCKET_EDGES = 10.0 * 10.0 ** (np.arange(65) / 10)
"""Upper edges of the latency buckets: 10 us to 25 s, each 26 % above the last; one more bucket lies above."""

SERVED = ("stable", "canary")
"""The arms whose answers callers see."""


class ArmTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did in one role. `latency` counts answered requests by bucket."""

    version: int
    arm: str
    requests: int
    rows: int
    errors: int
    rejected: int
    slow: int
    invalid: int
    latency: tuple[int, ...]

    @property
    def p99_us(self) -> float | None:
        """The 99th percentile of latency in microseconds, to about 12 %; None without answered requests."""
        return latency_quantile(self.latency, 0.99)

    @property
    def error_rate(self) -> float | None:
        """Share of failed requests (errors and answers that were not numbers) among those that were ours to answer."""
        ours = self.requests - self.rejected
        return (self.errors + self.invalid) / ours if ours else None


def traffic(
    conn: Connection, model: str, *, start: int, end: int | None = None, version: int | None = None
) -> list[ArmTraffic]:
    """Totals by version and arm over the event hours from the one of `start` to before `end` (None: all since)."""
    latency = _latency(conn, model, start, end)
    table = store.traffic
    sums = [sa.func.sum(table.c[name]).label(name) for name in _COUNTS]
    query = sa.select(table.c.version, table.c.arm, *sums).where(*_within(table, model, start, end))
    if version is not None:
        query = query.where(table.c.version == version)
    grouped = query.group_by(table.c.version, table.c.arm).order_by(table.c.version, table.c.arm)
    return [
        ArmTraffic(
            version=row["version"],
            arm=row["arm"],
            latency=latency.get((row["version"], row["arm"]), ()),
            **{name: int(row[name]) for name in _COUNTS},
        )
        for row in conn.execute(grouped).mappings()
    ]


def traffic_since(conn: Connection, model: str, *, start: int) -> dict[tuple[int, str], ArmTraffic]:
    """Growing totals by (version, arm) since the event hour of `start`; two calls differ by what came between."""
    return {(one.version, one.arm): one for one in traffic(conn, model, start=start)}


def error_rate(conn: Connection, model: str, *, start: int, end: int, version: int | None = None) -> float | None:
    """Share of failed requests on the served arms; None without requests."""
    served = [one for one in traffic(conn, model, start=start, end=end, version=version) if one.arm in SERVED]
    ours = sum(one.requests - one.rejected for one in served)
    return sum(one.errors + one.invalid for one in served) / ours if ours else None


def bucket_of(latency_us: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bucket of each latency."""
    return np.searchsorted(BUCKET_EDGES, latency_us, side="left").astype(np.int64)


def latency_quantile(counts: Sequence[int], share: float) -> float | None:
    """The latency (us) under which `share` of the requests lie, interpolated on the log scale within its bucket."""
    growing = np.cumsum(counts)
    if not len(growing) or growing[-1] == 0:
        return None
    wanted = share * growing[-1]
    bucket = int(np.searchsorted(growing, wanted, side="left"))
    if bucket >= len(BUCKET_EDGES):
        return float(BUCKET_EDGES[-1])
    before = growing[bucket - 1] if bucket else 0
    inside = (wanted - before) / (growing[bucket] - before)
    return float(BUCKET_EDGES[bucket] * 10 ** ((inside - 1) / 10))


def slower_than(counts: Sequence[int], limit_us: float) -> int:
    """How many requests were slower than `limit_us`; of the bucket it falls into, the part above it."""
    bucket = int(bucket_of(np.array([limit_us]))[0])
    above = sum(counts[bucket + 1 :])
    if bucket >= len(BUCKET_EDGES) or bucket >= len(counts):
        return int(above)
    part = 10 * np.log10(BUCKET_EDGES[bucket] / limit_us)
    return int(above + round(min(float(part), 1.0) * counts[bucket]))


_COUNTS = ("requests", "rows", "errors", "rejected", "slow", "invalid")


def _within(table: sa.Table, model: str, start: int, end: int | None) -> list[sa.ColumnElement[bool]]:
    conditions = [table.c.model == model, table.c.window_start >= start - start % HOUR]
    return conditions if end is None else [*conditions, table.c.window_start < end]


def _latency(conn: Connection, model: str, start: int, end: int | None) -> dict[tuple[int, str], tuple[int, ...]]:
    table = store.latency
    total = sa.func.sum(table.c.requests).label("requests")
    query = (
        sa.select(table.c.version, table.c.arm, table.c.bucket, total)
        .where(*_within(table, model, start, end))
        .group_by(table.c.version, table.c.arm, table.c.bucket)
    )
    found: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * (len(BUCKET_EDGES) + 1))
    for row in conn.execute(query):
        found[(row.version, row.arm)][row.bucket] = int(row.requests)
    return {key: tuple(counts) for key, counts in found.items()}
