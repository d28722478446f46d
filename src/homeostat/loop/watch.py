"""Looking after a model in service, once an event-day: its watch rules, then its retraining rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.evaluation.metrics import METRICS, compute
from homeostat.ground.clock import format_duration, to_iso
from homeostat.loop import releases
from homeostat.loop.declaration import Declaration
from homeostat.loop.durable import list_cycles
from homeostat.loop.triggers import Condition, Drifted, OlderThan, Worse
from homeostat.monitoring.accuracy import joined
from homeostat.monitoring.accuracy_windows.types import Measure
from homeostat.monitoring.alarms import list_alarms
from homeostat.monitoring.breaks.check import break_text
from homeostat.monitoring.findings import note_findings
from homeostat.monitoring.rules import OWN_CHECKS, judge_watch, settle_alarms
from homeostat.monitoring.types import Accuracy, Finding, Quality, Watch
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.rollout.store import running_rollout
from homeostat.store.events import append_event, list_events

BLOCKED = "retrain.blocked"
"""Event: a retraining rule holds, and nothing is started."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a model from being retrained."""

    text: str
    alarms: tuple[str, ...]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cycle is called for, with the numbers."""

    text: str
    evidence: dict[str, Any]
    block: Block | None = None
    """Why nothing is started although it holds."""


def champion_of(conn: Connection, model: str) -> ModelVersion | None:
    """The version in service."""
    number = releases.champion_number(conn, model)
    return None if number is None else get_version(conn, model, number)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the watch rules found, before any alarm moves."""

    version: int
    findings: tuple[Finding, ...]


def look_at_model(
    conn: Connection, declaration: Declaration, *, now: int, measures: Mapping[str, Measure] | None = None
) -> Looked | None:
    """Check every watch rule of the champion; None before there is one.

    It only reads, since `measures` (metrics that evaluation has no formula for) may ask a child process.
    """
    champion = champion_of(conn, declaration.model)
    if champion is None:
        return None
    known = measures or {}
    metrics = tuple(
        {rule.metric for rule in declaration.watch if isinstance(rule, Accuracy) and rule.metric not in known}
    )
    found = judge_watch(
        conn,
        declaration.watch,
        model=declaration.model,
        version=champion.version,
        reference=champion.bins,
        reference_metrics=reference_metrics(champion),
        metrics_fn=lambda y, score: compute(declaration.task, y, score, metrics),
        now=now,
        measures=known,
    )
    return Looked(version=champion.version, findings=tuple(found))


def settle_model(conn: Connection, model: str, looked: Looked, *, now: int) -> None:
    """Let alarms open and close with their evidence, and keep what was found."""
    settle_alarms(conn, model, looked.findings, now=now)
    note_findings(conn, model, looked.version, looked.findings, at=now, keep=OWN_CHECKS)


def reference_metrics(version: ModelVersion) -> dict[str, float | None]:
    """What the version scored on the held-out window at its gate; or what whoever registered it by hand says."""
    metrics: dict[str, float | None] = version.evaluation.get("evaluation", {}).get("challenger", {})
    return metrics


def due_cause(conn: Connection, declaration: Declaration, *, now: int) -> Cause | None:
    """The first retraining rule that holds now; None while something is under way, cooling down, or not yet begun."""
    rules = declaration.retrain
    champion = champion_of(conn, declaration.model)
    if rules is None or champion is None or running_rollout(conn, declaration.model) is not None:
        return None
    cycles = list_cycles(conn, declaration.model)
    last = cycles[-1] if cycles else None
    if last is not None and (last.ended_at is None or now - max(last.as_of, last.ended_at) < rules.cooldown):
        return None
    causes = (_holds(conn, rule, declaration, champion, now) for rule in rules.conditions)
    cause = next((cause for cause in causes if cause is not None), None)
    if cause is None:
        return None
    return msgspec.structs.replace(cause, block=block_of(conn, declaration.model, declaration.watch))


def block_of(conn: Connection, model: str, watch: Sequence[Watch]) -> Block | None:
    """Why a model may not be retrained now: it would learn from a break in what is sent. None when it may.

    Alarms that somebody has acknowledged block nothing.
    """
    if not any(isinstance(rule, Quality) and rule.blocks for rule in watch):
        return None
    alarms = [one for one in list_alarms(conn, model, is_open=True) if one.kind == "quality"]
    waiting = [one for one in alarms if one.acknowledged_at is None]
    if not waiting:
        return None
    said = "; ".join(break_text(one.subject, one.latest or one.evidence) for one in waiting[:3])
    more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
    text = f"retraining is blocked: {said}{more} (since {to_iso(waiting[0].since)})"
    return Block(text=text, alarms=tuple(one.id for one in waiting))


def note_blocked(conn: Connection, model: str, cause: Cause, *, now: int) -> bool:
    """Record that retraining is called for and waits; once for the same alarms."""
    assert cause.block is not None  # the caller looked
    before = list_events(conn, subject=model, kinds=(BLOCKED,))
    alarms = list(cause.block.alarms)
    if before and before[-1].data["alarms"] == alarms:
        return False
    data = {"cause": cause.text, "evidence": cause.evidence, "alarms": alarms}
    append_event(conn, BLOCKED, subject=model, at=now, actor="loop", reason=cause.block.text, data=data)
    return True


def _holds(
    conn: Connection, rule: Condition, declaration: Declaration, champion: ModelVersion, now: int
) -> Cause | None:
    if isinstance(rule, Worse):
        return _is_worse(conn, rule, declaration, champion, now)
    if isinstance(rule, OlderThan):
        return _is_old(rule, champion, now)
    return _has_drifted(conn, rule, champion)


def _is_worse(
    conn: Connection, rule: Worse, declaration: Declaration, champion: ModelVersion, now: int
) -> Cause | None:
    start = now - rule.window
    rows = joined(conn, declaration.model, version=champion.version, start=start, end=now, now=now)
    if len(rows.y) < rule.min_labels:
        return None
    value = compute(declaration.task, rows.y, rows.score, (rule.metric,))[rule.metric]
    reference = reference_metrics(champion).get(rule.metric)
    if value is None or reference is None:
        return None
    change = (value - reference) / abs(reference) if reference else 0.0
    loss = -change if METRICS[rule.metric].greater_is_better else change
    if loss <= rule.by:
        return None
    evidence = {
        "metric": rule.metric,
        "value": round(value, 5),
        "reference": round(reference, 5),
        "worse_by": round(loss, 4),
        "limit": rule.by,
        "labels": len(rows.y),
        "window": [to_iso(start), to_iso(now)],
        "version": champion.version,
    }
    over = format_duration(rule.window)
    text = f"{rule.metric} {value:.4f} over {over}, {loss:+.1%} against {reference:.4f} at the gate"
    return Cause(text=text, evidence=evidence)


def _is_old(rule: OlderThan, champion: ModelVersion, now: int) -> Cause | None:
    through = int(champion.lineage.get("trained_through", champion.created))  # registered by hand: no later than that
    if now - through <= rule.age:
        return None
    days = (now - through) / 86_400_000_000
    return Cause(
        text=f"trained on data through {to_iso(through)[:10]}, {days:.0f} days ago",
        evidence={"trained_through": to_iso(through), "age_days": round(days, 2), "version": champion.version},
    )


def _has_drifted(conn: Connection, _rule: Drifted, champion: ModelVersion) -> Cause | None:
    """One window that stands out makes an alarm; that the next one does too, makes a cause (`rules._data_drift`)."""
    alarms = [alarm for alarm in list_alarms(conn, champion.model, is_open=True) if alarm.kind == "data_drift"]
    columns = [alarm.subject for alarm in alarms if (alarm.latest or alarm.evidence).get("lasting")]
    if not columns:
        return None
    return Cause(text=f"data drift: {', '.join(columns)}", evidence={"columns": columns, "version": champion.version})
