"""What counts as slow for a version that declares no limit: what hardly any of its own answers took."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, HOUR
from homeostat.monitoring.health import BUCKET_EDGES, traffic

ANSWERS_NEEDED = 50
"""Answers below which nothing is said: the 99th percentile of fewer is the slowest of them."""


class OwnLimit(NamedTuple):
    """The 99th percentile of a version's latency, rounded up to the edge of its bucket."""

    bucket: int
    us: float


def own_limit(conn: Connection, model: str, version: int, *, now: int) -> OwnLimit | None:
    """The limit from the last hour's answers of a version as the stable arm, or of the last day when they are few."""
    for span in (HOUR, DAY):
        found = traffic(conn, model, start=now - span, version=version)
        counts = next((one.latency for one in found if one.arm == "stable"), ())
        if sum(counts) >= ANSWERS_NEEDED:
            return limit_of(counts)
    return None


def limit_of(counts: Sequence[int]) -> OwnLimit:
    """The lowest bucket edge over which at most one answer in a hundred lies.

    >>> limit_of([0] * 20 + [990, 0, 10] + [0] * 43)
    OwnLimit(bucket=20, us=1000.0)
    """
    over = sum(counts) - np.cumsum(counts)
    bucket = int(np.argmax(over <= 0.01 * sum(counts)))
    return OwnLimit(bucket, float(BUCKET_EDGES[min(bucket, len(BUCKET_EDGES) - 1)]))
