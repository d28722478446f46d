"""Checking the declared watch rules: each says ok, alarm or insufficient with its numbers, and alarms follow."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, to_iso
from homeostat.ground.records import ColumnBins
from homeostat.monitoring import health
from homeostat.monitoring.accuracy import Floats, Joined, MetricsFn, joined
from homeostat.monitoring.accuracy_windows.types import Measure, Measured
from homeostat.monitoring.alarms import FEED, close_alarm, list_alarms, open_alarm
from homeostat.monitoring.bins import Counts
from homeostat.monitoring.calibrated.windows import alpha_per_check
from homeostat.monitoring.drift import MIN_ROWS, ColumnDrift, DriftReport, compare, drift, first_day, profile
from homeostat.monitoring.types import (
    GREATER_IS_BETTER,
    Accuracy,
    DataDrift,
    Errors,
    Finding,
    Latency,
    Quality,
    Skew,
    Watch,
    WeakSegment,
)

SLICES = 7
"""A window of accuracy is cut into this many equal spans; how much they disagree is its noise."""
T_95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94)
"""One-sided 95 % points of Student's t with 1 to 6 degrees of freedom."""
CHECKS_A_MONTH = 30
"""The rules are checked once an event day."""


OWN_CHECKS = frozenset({FEED, "quality", "segment", "parity"})
"""Kinds of alarms that are opened and closed by checks of their own, at another pace."""
SEVERITY = {"quality": "page", "parity": "page"}
"""Kinds that get somebody out of bed; the others are 'warn'."""


def check_watch(
    conn: Connection,
    watch: Sequence[Watch],
    *,
    model: str,
    version: int,
    reference: Sequence[ColumnBins],
    reference_metrics: Mapping[str, float | None],
    metrics_fn: MetricsFn,
    now: int,
    measures: Mapping[str, Measure] | None = None,
) -> list[Finding]:
    """Check every rule for the version in service and let alarms open and close accordingly.

    `reference` are the version's bins with the counts of its training rows, `reference_metrics` what it scored at its
    gate. An insufficient check leaves an open alarm open; one about something that is no longer watched is closed.
    """
    findings = judge_watch(
        conn,
        watch,
        model=model,
        version=version,
        reference=reference,
        reference_metrics=reference_metrics,
        metrics_fn=metrics_fn,
        now=now,
        measures=measures,
    )
    settle_alarms(conn, model, findings, now=now)
    return findings


def judge_watch(
    conn: Connection,
    watch: Sequence[Watch],
    *,
    model: str,
    version: int,
    reference: Sequence[ColumnBins],
    reference_metrics: Mapping[str, float | None],
    metrics_fn: MetricsFn,
    now: int,
    measures: Mapping[str, Measure] | None = None,
) -> list[Finding]:
    """The first half of `check_watch`, which only reads. `measures` are metrics that `metrics_fn` does not know."""
    return [
        finding
        for rule in watch
        for finding in _check(conn, rule, model, version, reference, reference_metrics, metrics_fn, now, measures or {})
    ]


def settle_alarms(
    conn: Connection, model: str, findings: Sequence[Finding], *, now: int, kinds: Collection[str] | None = None
) -> None:
    """The other half: alarms open and close. `kinds` are those that were checked; all but `OWN_CHECKS` by default."""
    for finding in findings:
        if finding.status == "alarm":
            severity = SEVERITY.get(finding.kind, "warn")
            open_alarm(conn, model, finding.kind, finding.subject, evidence=finding.evidence, at=now, severity=severity)
        elif finding.status == "ok":
            close_alarm(conn, model, finding.kind, finding.subject, evidence=finding.evidence, at=now)
    _close_unwatched(conn, model, findings, now, kinds)


def _close_unwatched(
    conn: Connection, model: str, findings: Sequence[Finding], now: int, kinds: Collection[str] | None
) -> None:
    judged = {(finding.kind, finding.subject) for finding in findings}
    unknown = {finding.kind for finding in findings if not finding.subject}  # too few rows to name any column
    for alarm in list_alarms(conn, model, is_open=True):
        is_asked = alarm.kind not in OWN_CHECKS if kinds is None else alarm.kind in kinds
        if is_asked and (alarm.kind, alarm.subject) not in judged and alarm.kind not in unknown:
            close_alarm(conn, model, alarm.kind, alarm.subject, evidence={"reason": "no longer watched"}, at=now)


def _check(
    conn: Connection,
    rule: Watch,
    model: str,
    version: int,
    reference: Sequence[ColumnBins],
    reference_metrics: Mapping[str, float | None],
    metrics_fn: MetricsFn,
    now: int,
    measures: Mapping[str, Measure],
) -> Iterable[Finding]:
    match rule:
        case Accuracy():
            measure = measures.get(rule.metric) or OneOf(rule.metric, metrics_fn)
            yield _accuracy(conn, rule, model, version, reference_metrics.get(rule.metric), measure, now)
        case DataDrift():
            yield from _data_drift(conn, rule, model, version, reference, now)
        case Skew():
            yield from _skew(conn, rule, model, version, reference, now)
        case Latency():
            yield _latency(conn, rule, model, version, now)
        case Errors():
            yield _errors(conn, rule, model, version, now)
        case Quality() | WeakSegment():
            return  # they need the log, and have a pace of their own
        case _:
            assert_never(rule)


# Accuracy ------------------------------------------------------------------------------------------------------------


class OneOf:
    """A metric out of a function that gives several by name."""

    share = None
    bounds = (None, None)

    def __init__(self, name: str, metrics_fn: MetricsFn) -> None:
        self.name = name
        self.greater_is_better = name in GREATER_IS_BETTER
        self._metrics_fn = metrics_fn

    def many(self, parts: Sequence[tuple[Floats, Floats]]) -> list[Measured]:
        """Value or reason for each (labels, scores)."""
        values = (self._metrics_fn(y, score).get(self.name) for y, score in parts)
        return [(value, "" if value is not None else "it is not defined for these rows") for value in values]


def _accuracy(
    conn: Connection,
    rule: Accuracy,
    model: str,
    version: int,
    reference: float | None,
    measure: Measure,
    now: int,
) -> Finding:
    """An alarm when the metric is worse by the stated share and the worsening is beyond the noise between days.

    The noise is a jackknife over equal spans of the window: rows of one day share its weather, so counting rows would
    promise too much.
    """
    start = now - rule.window
    rows = joined(conn, model, version=version, start=start, end=now, now=now)
    evidence: dict[str, Any] = {"labels": len(rows.y), "window": [to_iso(start), to_iso(now)], "version": version}
    if len(rows.y) < MIN_ROWS:
        return _unsure(rule, evidence, f"fewer than {MIN_ROWS} labels")
    (value, reason), *left_out = measure.many([(rows.y, rows.score), *_leaving_spans_out(rows, rule, start)])
    without = [one for one, _ in left_out if one is not None]
    if value is None or reference is None or len(without) < 2:
        return _unsure(rule, evidence, reason or ("no value at the gate" if reference is None else "one day of labels"))
    sign = -1.0 if measure.greater_is_better else 1.0
    worse = sign * (value - reference)
    error = float(np.sqrt((len(without) - 1) ** 2 / len(without) * np.var(without, ddof=1)))
    surely = worse - T_95[len(without) - 2] * error
    limit = rule.worse_by * abs(reference)
    evidence |= {
        "value": round(value, 6),
        "reference": round(reference, 6),
        "worse_by": round(worse / abs(reference), 4) if reference else None,
        "limit": rule.worse_by,
        "standard_error": round(error, 6),
    }
    status = "alarm" if worse > limit and surely > 0 else "ok"
    return Finding(kind="accuracy", subject=rule.metric, status=status, evidence=evidence)


def _unsure(rule: Accuracy, evidence: dict[str, Any], reason: str) -> Finding:
    return Finding(kind="accuracy", subject=rule.metric, status="insufficient", evidence=evidence | {"reason": reason})


def _leaving_spans_out(rows: Joined, rule: Accuracy, start: int) -> list[tuple[Floats, Floats]]:
    span = (rows.at - start) * SLICES // rule.window
    present = np.unique(span).tolist()
    return [(rows.y[span != one], rows.score[span != one]) for one in present] if len(present) > 1 else []


# Drift and skew ------------------------------------------------------------------------------------------------------


def _data_drift(
    conn: Connection, rule: DataDrift, model: str, version: int, reference: Sequence[ColumnBins], now: int
) -> Iterable[Finding]:
    """A column alarms when its newest window of whole days has moved.

    One that alarms already is held against windows of before its alarm: those since then are what is in question, and
    would soon make a lasting change look usual. Its evidence says `lasting` when it has alarmed for one whole window
    more, which a retraining rule waits for.
    """
    end = now - now % DAY
    window = (end - rule.window, end)
    alarms = [alarm for alarm in list_alarms(conn, model, is_open=True) if alarm.kind == "data_drift"]
    since = {alarm.subject: max(alarm.since, alarm.opened_at) for alarm in alarms}
    report = _drift(conn, rule, model, version, reference, window, None)
    if not report.columns:
        yield _too_few("data_drift", report)
        return
    steady = report
    if alarms:
        first = min(alarm.opened_at for alarm in alarms)
        steady = _drift(conn, rule, model, version, reference, window, first - first % DAY - rule.window)
    for usual, lasting in zip(report.columns, steady.columns, strict=True):
        of, column = (steady, lasting) if usual.name in since else (report, usual)
        has_lasted = now - since.get(usual.name, now) >= rule.window
        yield _column("data_drift", of, column, window, lasting=has_lasted)


def _drift(
    conn: Connection,
    rule: DataDrift,
    model: str,
    version: int,
    reference: Sequence[ColumnBins],
    window: tuple[int, int],
    past_until: int | None,
) -> DriftReport:
    return drift(
        conn,
        model,
        version,
        start=window[0],
        end=window[1],
        reference=reference,
        alpha=alpha_per_check(rule.alarms_per_month, checks_a_month=CHECKS_A_MONTH),
        floor=rule.floor,
        season=rule.season,
        past_until=past_until,
    )


def _skew(
    conn: Connection, rule: Skew, model: str, version: int, reference: Sequence[ColumnBins], now: int
) -> Iterable[Finding]:
    """A column alarms when the version's first days bring other values than training did, or lack them otherwise."""
    start = first_day(conn, model, version)
    if start is None or start + rule.window > now:
        yield Finding(kind="skew", subject="", status="insufficient", evidence={"rows": 0})
        return
    if now > start + 2 * rule.window:
        return  # a version's first days do not change any more: what was found then stands
    window = (start, start + rule.window)
    counts = profile(conn, model, version, reference, start=start, end=window[1])
    values = compare(reference, counts, floor=rule.floor, measure="js")
    presence = compare(
        [msgspec.structs.replace(column, counts=tuple(_presence(column, column.counts))) for column in reference],
        [_presence(column, rows) for column, rows in zip(reference, counts, strict=True)],
        floor=rule.missing,
        measure="js",
    )
    if not values.columns:
        yield _too_few("skew", values)
    for value, missing in zip(values.columns, presence.columns, strict=True):
        report, column = (presence, missing) if missing.drifted else (values, value)
        yield _column("skew", report, column, window)


def _presence(column: ColumnBins, counts: npt.ArrayLike) -> Counts:
    """Rows with a value, (for a category) with one outside the vocabulary, and with none."""
    rows = np.asarray(counts, dtype=np.int64)
    rest = 1 if column.kind == "number" else 2
    return np.concatenate([[rows[:-rest].sum()], rows[-rest:]])


def _column(
    kind: str, report: DriftReport, column: ColumnDrift, window: tuple[int, int], *, lasting: bool = False
) -> Finding:
    evidence: dict[str, Any] = {
        "js": column.js,
        "effect": column.effect,
        "p": column.p,
        "floor": report.floor,
        "rows": report.rows,
        "window": [to_iso(moment) for moment in window],
        "basis": report.basis,
        "windows": report.windows,
    }
    if lasting:
        evidence["lasting"] = True
    status = "alarm" if column.drifted else column.status
    return Finding(kind=kind, subject=column.name, status=status, evidence=evidence)


def _too_few(kind: str, report: DriftReport) -> Finding:
    evidence = {"rows": report.rows, "wanted": MIN_ROWS, "reason": report.reason}
    return Finding(kind=kind, subject="", status="insufficient", evidence=evidence)


# Latency and errors --------------------------------------------------------------------------------------------------


def _latency(conn: Connection, rule: Latency, model: str, version: int, now: int) -> Finding:
    served = _served(conn, model, version, now)
    histogram = [sum(bucket) for bucket in zip(*(one.latency for one in served if one.latency), strict=True)]
    requests = sum(histogram)
    slow = health.slower_than(histogram, rule.p99) if requests else 0
    evidence = {
        "p99_us": None if (p99 := health.latency_quantile(histogram, 0.99)) is None else round(p99),
        "limit_us": rule.p99,
        "requests": requests,
        "slower": slow,
    }
    return Finding(kind="latency", subject="p99", status=judge_share(slow, requests, 0.01), evidence=evidence)


def _errors(conn: Connection, rule: Errors, model: str, version: int, now: int) -> Finding:
    served = _served(conn, model, version, now)
    requests = sum(one.requests - one.rejected for one in served)
    failed = sum(one.errors + one.invalid for one in served)
    evidence = {"failed": failed, "requests": requests, "limit": rule.below}
    if requests:
        evidence["rate"] = round(failed / requests, 6)
    return Finding(kind="errors", subject="rate", status=judge_share(failed, requests, rule.below), evidence=evidence)


def _served(conn: Connection, model: str, version: int, now: int) -> list[health.ArmTraffic]:
    found = health.traffic(conn, model, start=now - DAY, end=now, version=version)
    return [one for one in found if one.arm in health.SERVED]


def judge_share(bad: int, total: int, limit: float) -> str:
    """Whether a share of bad events keeps its limit.

    'alarm' when it is surely over it (Wilson, one-sided 95 %), 'ok' when it is not over it on at least 200 events,
    else 'insufficient'.

    >>> judge_share(3, 3, 0.01), judge_share(0, 50, 0.01), judge_share(1, 500, 0.01), judge_share(6, 500, 0.01)
    ('alarm', 'insufficient', 'ok', 'insufficient')
    """
    if total and _wilson_lower(bad, total) > limit:
        return "alarm"
    return "ok" if total >= MIN_ROWS and bad <= limit * total else "insufficient"


def _wilson_lower(bad: int, total: int, z: float = 1.645) -> float:
    share = bad / total
    centre = share + z * z / (2 * total)
    margin = z * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
    return (centre - margin) / (1 + z * z / total)
