"""What watching has found, as Prometheus reads it on the control plane's `/metrics`.

Everything is read from what the newest check left behind, so a scrape costs a few queries a model however much traffic
it has. Of columns only those that have drifted and the `top` others with the largest effect are told.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR, SECOND, from_iso
from homeostat.loop.table_source import TableState, list_tables
from homeostat.monitoring.alarms import Alarm, list_alarms
from homeostat.monitoring.findings import NotedFinding, noted_findings
from homeostat.monitoring.health import SERVED
from homeostat.monitoring.notify.channels import topic_of
from homeostat.monitoring.store import labels, outcomes, traffic
from homeostat.store.outbox import count_messages

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily, Metric

NEWEST_LABELS = 5_000
"""Labels, of all models together, that lateness is learned from."""
_QUANTILES = (0.5, 0.99)
_DRIFT = ("data_drift", "skew", "prediction_drift")
_RANK = {"ok": 0.0, "alarm": 1.0, "insufficient": -1.0}

MayTouch = Callable[[str], bool]


class Gauges:
    """Metric families by name, made as they are needed."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}

    def set(self, name: str, about: str, value: Any, **by: str) -> None:
        """Note a value; one that is no number is left out."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  NaN
            return
        if name not in self._families:
            self._families[name] = GaugeMetricFamily(f"homeostat_{name}", about, labels=list(by))
        self._families[name].add_metric(list(by.values()), float(value))

    def collect(self) -> Iterator["Metric"]:
        """What prometheus-client asks for."""
        yield from self._families.values()


def exposition(conn: Connection, *, now: int, top: int, may_touch: MayTouch) -> tuple[str, bytes]:
    """Content type and body for Prometheus."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_gauges(conn, now=now, top=top, may_touch=may_touch))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


def _gauges(conn: Connection, *, now: int, top: int, may_touch: MayTouch) -> Gauges:
    gauges = Gauges()
    by_model: dict[str, list[NotedFinding]] = defaultdict(list)
    for one in noted_findings(conn):
        if may_touch(one.model):
            by_model[one.model].append(one)
    for model, found in by_model.items():
        _findings(conn, gauges, model, found, top)
        _freshness(conn, gauges, model)
    _alarms(gauges, [one for one in list_alarms(conn, is_open=True) if may_touch(one.model)], by_model, now)
    _lateness(conn, gauges, may_touch)
    _tables(gauges, [one for one in list_tables(conn) if may_touch(one.model)])
    _messages(conn, gauges)
    gauges.set("clock_seconds", "The time by which models are watched.", now / SECOND)
    return gauges


def _findings(conn: Connection, gauges: Gauges, model: str, found: Sequence[NotedFinding], top: int) -> None:
    version = str(found[0].version)
    checked = max(one.at for one in found)
    gauges.set("checked_timestamp_seconds", "When the watch rules were checked last.", checked / SECOND, model=model)
    for one in found:
        if one.kind == "accuracy":
            _accuracy(gauges, one, model, version, coverage=_coverage(conn, one))
        elif one.kind not in _DRIFT:
            about = "What a watch rule said last: 1 alarm, 0 ok, -1 too little data."
            gauges.set("check", about, _RANK.get(one.status), model=model, kind=one.kind, subject=one.subject)
    for kind in _DRIFT:
        _drift(gauges, [one for one in found if one.kind == kind], model, version, top)


def _drift(gauges: Gauges, found: Sequence[NotedFinding], model: str, version: str, top: int) -> None:
    if not found:
        return
    kind = found[0].kind
    rows = max((one.evidence.get("rows") or 0 for one in found), default=0)
    gauges.set(
        "window_rows", "Rows of the window that was compared last.", rows, model=model, version=version, kind=kind
    )
    alarmed = [one for one in found if one.status == "alarm"]
    about = "Columns that have drifted by the newest check."
    gauges.set("drifted_columns", about, len(alarmed), model=model, version=version, kind=kind)
    others = sorted((one for one in found if one.status != "alarm" and one.subject), key=_effect, reverse=True)
    for one in [*alarmed, *others[:top]]:
        by = {"model": model, "version": version, "kind": kind, "column": one.subject}
        gauges.set("drift_effect", "How far a column is from its reference, 0 is the same.", _effect(one), **by)
        about = "The chance that any column would look this different without drift."
        gauges.set("drift_p_value", about, one.evidence.get("p"), **by)


def _effect(one: NotedFinding) -> float:
    value = one.evidence.get("effect", one.evidence.get("js"))
    return float(value) if isinstance(value, int | float) and value == value else 0.0  # noqa: PLR0124  NaN


def _coverage(conn: Connection, one: NotedFinding) -> float | None:
    """Labels over answered rows of the finding's window, from the counters by hour."""
    said, window = one.evidence.get("coverage"), one.evidence.get("window")
    if said is not None or not (isinstance(window, list) and len(window) == 2):
        return said
    start, end = (from_iso(str(moment)) for moment in window)
    c = traffic.c
    query = sa.select(sa.func.sum(c.rows)).where(
        c.model == one.model,
        c.version == one.version,
        c.arm.in_(SERVED),
        c.window_start >= start - start % HOUR,
        c.window_start < end,
    )
    rows = conn.execute(query).scalar()
    return min(1.0, float(one.evidence.get("labels") or 0) / int(rows)) if rows else None


def _accuracy(gauges: Gauges, one: NotedFinding, model: str, version: str, *, coverage: float | None) -> None:
    by = {"model": model, "version": version, "metric": one.subject}
    gauges.set("accuracy", "The metric on labels of the newest window.", one.evidence.get("value"), **by)
    about = "What the version scored when it was judged."
    gauges.set("accuracy_reference", about, one.evidence.get("reference"), **by)
    gauges.set("accuracy_labels", "Labels that the metric rests on.", one.evidence.get("labels"), **by)
    about = "Share of the window's predictions that have a label."
    gauges.set("label_coverage", about, coverage, **by)
    about = "What a watch rule said last: 1 alarm, 0 ok, -1 too little data."
    gauges.set("check", about, _RANK.get(one.status), model=model, kind=one.kind, subject=one.subject)


def _freshness(conn: Connection, gauges: Gauges, model: str) -> None:
    newest = conn.execute(sa.select(sa.func.max(outcomes.c.at)).where(outcomes.c.model == model)).scalar()
    if newest is not None:
        about = "Event time of the newest answered row."
        gauges.set("newest_prediction_timestamp_seconds", about, newest / SECOND, model=model)


def _alarms(gauges: Gauges, found: Iterable[Alarm], models: Iterable[str], now: int) -> None:
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for model in models:
        counts[model, "warn", "open"] += 0  # a series that is there before the first alarm: rules look at changes
        counts[model, "page", "open"] += 0
    for alarm in found:
        counts[alarm.model, alarm.severity, alarm.state(now)] += 1
    about = "Alarms that are not closed: open, acknowledged or muted."
    for (model, severity, state), number in sorted(counts.items()):
        gauges.set("alarms", about, number, model=model, severity=severity, state=state)


def _lateness(conn: Connection, gauges: Gauges, may_touch: MayTouch) -> None:
    """How long after its prediction a label came, over the newest labels."""
    newest = sa.select(labels).order_by(labels.c.seq.desc()).limit(NEWEST_LABELS).subquery()
    query = sa.select(newest.c.model, newest.c.at - outcomes.c.at).join(
        outcomes, sa.and_(outcomes.c.request_id == newest.c.request_id, outcomes.c.model == newest.c.model)
    )
    delays: Mapping[str, list[int]] = defaultdict(list)
    for model, delay in conn.execute(query):
        delays[model].append(delay)
    for model, some in sorted(delays.items()):
        if may_touch(model):
            for share in _QUANTILES:
                late = float(np.quantile(some, share)) / SECOND
                about = "How long after its prediction a label became known."
                gauges.set("label_lateness_seconds", about, late, model=model, quantile=f"{share:g}")


def _tables(gauges: Gauges, found: Iterable[TableState]) -> None:
    for one in found:
        by = {"model": one.model, "table": one.name}
        gauges.set("table_failures", "Looks at a table that failed, one after the other.", one.failures, **by)
        gauges.set("table_rows", "Rows taken in from a table.", one.rows, **by)
        if one.read_at is not None:
            gauges.set("table_read_timestamp_seconds", "When a table was read last.", one.read_at / SECOND, **by)


def _messages(conn: Connection, gauges: Gauges) -> None:
    counts = {"waiting": 0, "dead": 0} | count_messages(conn, topic_of(""))
    for state in ("waiting", "dead"):
        about = "Messages to channels that have not arrived: waiting, or given up."
        gauges.set("notifications", about, counts[state], state=state)
