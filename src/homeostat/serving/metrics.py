"""What a worker counts, and how Prometheus reads it: by endpoint, version and arm, from what is logged anyway.

Workers of one home share a port, so a scrape reaches any of them: each leaves its counters in a file once a second,
and whoever is asked shows all, with the label `worker`.
"""

import math
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.ground.records import PredictionBatch

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

LATENCY_EDGES_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
BATCH_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096)
STATUSES = ("ok", "rejected", "error", "invalid")
STALE_SECONDS = 30.0
"""A worker that has not written its counters for this long is gone."""

_write = msgspec.msgpack.Encoder().encode


class ArmMeter(msgspec.Struct):
    """What one version did in one role on one endpoint, since the worker started."""

    endpoint: str
    model: str
    version: int
    arm: str
    requests: list[int]
    """By status, in the order of `STATUSES`."""
    rows: int = 0
    latency: list[int] = []
    """Answered requests by bucket; the last one is open."""
    latency_sum_us: int = 0


class Snapshot(msgspec.Struct):
    """A worker's counters at a moment."""

    worker: str
    at: float
    started: float
    arms: list[ArmMeter]
    calls: list[int]
    """Calls of a scorer by rows in them; the last bucket is open."""
    call_rows: int
    gauges: dict[str, float]


_read = msgspec.msgpack.Decoder(Snapshot).decode


class Meters:
    """The counters of one worker; safe to use from several threads."""

    def __init__(self, worker: str = "0") -> None:
        self.worker = worker
        self._started = time.time()
        self._lock = threading.Lock()
        self._arms: dict[tuple[str, int, str], ArmMeter] = {}
        self._calls = [0] * (len(BATCH_EDGES) + 1)
        self._call_rows = 0
        self.gauges: dict[str, Callable[[], float]] = {}
        """Name to a function that says the value now, such as how much is waiting."""

    def count(self, batches: Sequence[PredictionBatch], *, is_call: bool = False) -> None:
        """Count what was logged; `is_call` when all of it was scored in one call."""
        rows = 0
        with self._lock:
            for batch in batches:
                key = (batch.endpoint, batch.version, batch.arm)
                meter = self._arms.get(key) or self._add(key, batch.model)
                rows += len(batch.request_ids)
                meter.rows += len(batch.request_ids)
                meter.requests[STATUSES.index(batch.status)] += 1
                if batch.status == "ok":
                    meter.latency[bisect_left(LATENCY_EDGES_US, batch.latency_us)] += 1
                    meter.latency_sum_us += batch.latency_us
            if is_call:
                self._calls[bisect_left(BATCH_EDGES, rows)] += 1
                self._call_rows += rows

    def snapshot(self) -> Snapshot:
        """The counters now."""
        gauges = {name: float(read()) for name, read in self.gauges.items()}
        with self._lock:
            arms = [
                msgspec.structs.replace(one, requests=[*one.requests], latency=[*one.latency])
                for one in self._arms.values()
            ]
            return Snapshot(self.worker, time.time(), self._started, arms, [*self._calls], self._call_rows, gauges)

    def _add(self, key: tuple[str, int, str], model: str) -> ArmMeter:
        endpoint, version, arm = key
        meter = self._arms[key] = ArmMeter(endpoint, model, version, arm, [0] * len(STATUSES))
        meter.latency = [0] * (len(LATENCY_EDGES_US) + 1)
        return meter


def leave(snapshot: Snapshot, folder: Path) -> None:
    """Write a worker's counters where the others find them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"worker-{snapshot.worker}.counters"
    hidden = path.with_suffix(f".{os.getpid()}")
    hidden.write_bytes(_write(snapshot))
    hidden.replace(path)


def all_snapshots(own: Snapshot, folder: Path | None) -> list[Snapshot]:
    """This worker's counters and the last of every other worker that is alive."""
    others: dict[str, Snapshot] = {}
    for path in sorted(folder.glob("worker-*.counters")) if folder is not None else ():
        try:
            one = _read(path.read_bytes())
        except (OSError, msgspec.DecodeError):  # just replaced, or of another release
            continue
        if one.worker != own.worker and own.at - one.at < STALE_SECONDS:
            others[one.worker] = one
    return sorted([own, *others.values()], key=lambda one: one.worker)


def exposition(snapshots: Iterable[Snapshot]) -> tuple[str, bytes]:
    """Content type and body for Prometheus."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(snapshots)))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


class _Collected:
    """What prometheus-client calls a collector."""

    def __init__(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names = ["endpoint", "model", "version", "arm", "worker"]
        requests = CounterMetricFamily(
            "homeostat_requests",
            "Requests by outcome: ok, rejected (the caller's), error (ours), invalid (no number).",
            labels=[*names, "status"],
        )
        rows = CounterMetricFamily("homeostat_rows", "Rows in those requests.", labels=names)
        latency = HistogramMetricFamily(
            "homeostat_request_seconds", "From reading a request to its scores, answered ones.", labels=names
        )
        for snapshot in self._snapshots:
            for one in snapshot.arms:
                labels = [one.endpoint, one.model, str(one.version), one.arm, snapshot.worker]
                for status, value in zip(STATUSES, one.requests, strict=False):  # a file may be of the release before
                    requests.add_metric([*labels, status], value, created=snapshot.started)
                rows.add_metric(labels, one.rows, created=snapshot.started)
                edges = [edge / 1e6 for edge in LATENCY_EDGES_US]
                latency.add_metric(labels, _growing(edges, one.latency), one.latency_sum_us / 1e6)
        calls = HistogramMetricFamily("homeostat_call_rows", "Rows that one call of a scorer got.", labels=["worker"])
        started = GaugeMetricFamily("homeostat_worker_start_seconds", "When the worker started.", labels=["worker"])
        gauges: dict[str, GaugeMetricFamily] = {}
        for snapshot in self._snapshots:
            calls.add_metric([snapshot.worker], _growing(BATCH_EDGES, snapshot.calls), snapshot.call_rows)
            started.add_metric([snapshot.worker], snapshot.started)
            for name, level in snapshot.gauges.items():
                family = gauges.setdefault(
                    name, GaugeMetricFamily(f"homeostat_{name}", _ABOUT.get(name, name), labels=["worker"])
                )
                family.add_metric([snapshot.worker], level)
        yield from (requests, rows, latency, calls, started, *gauges.values())


_ABOUT = {
    "queue_requests": "Requests that wait for a version's thread, or are in it.",
    "shadow_rows_waiting": "Rows that wait for the shadows.",
    "shadow_rows_dropped": "Rows that no shadow scored since the start: their queue was full.",
    "connections": "Open HTTP connections.",
    "routing_generation": "Newest routing that is served whole.",
    "resident_bytes": "Memory of the worker.",
    "log_rows_dropped": "Answered rows that sampling left out of the log since the start.",
}


def _growing(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative buckets, as Prometheus wants them."""
    total = 0
    buckets: list[tuple[str, float]] = []
    limits: list[float] = [*edges, math.inf]
    for edge, count in zip(limits, counts, strict=True):
        total += count
        buckets.append(("+Inf" if edge == math.inf else repr(float(edge)), float(total)))
    return buckets
