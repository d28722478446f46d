"""What a message says: one alarm with its numbers, or many in one list. Plain text, the numbers of the newest check."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeostat.ground.clock import to_iso
from homeostat.monitoring.alarms import SEVERITIES, Alarm, rank
from homeostat.monitoring.notify.decide import News

MOST_LINES = 30
"""Alarms of a digest that are told one by one."""
MOST_NUMBERS = 12
MOST_VALUE = 120
_SAID = {
    "opened": "opened",
    "reopened": "opened again",
    "raised": "is more severe now",
    "acknowledged": "acknowledged",
    "closed": "closed",
}


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A message as every service can show it."""

    title: str
    body: str
    severity: str
    """The worst of its alarms; 'ok' when they are all closed."""


def text_of(news: Sequence[News]) -> Text:
    """The message: one alarm whole, or a list of many."""
    worst = _worst(news)
    if len(news) == 1:
        return Text(title=_title(news[0]), body="\n".join(_details(news[0].alarm)), severity=worst)
    lines = [_title(one) for one in news[:MOST_LINES]]
    if len(news) > MOST_LINES:
        lines.append(f"and {len(news) - MOST_LINES} more: homeostat alarms list")
    return Text(title=_summary(news), body="\n".join(lines), severity=worst)


def plain_alarm(alarm: Alarm) -> dict[str, Any]:
    """An alarm as receivers of JSON get it: times as text."""
    view: dict[str, Any] = msgspec.to_builtins(alarm)
    times = ("opened_at", "closed_at", "last_seen", "since", "acknowledged_at", "muted_until")
    return view | {name: to_iso(view[name]) for name in times if view[name] is not None}


def about(alarm: Alarm) -> str:
    """What an alarm is about, in a line."""
    return f"{alarm.model}: {alarm.kind} {alarm.subject}".strip()


def numbers(evidence: Mapping[str, Any]) -> str:
    """Evidence in a line.

    >>> numbers({"value": 0.512345, "window": ["a", "b"]})
    'value=0.5123, window=a..b'
    """
    return ", ".join(f"{name}={_value(value)}" for name, value in list(evidence.items())[:MOST_NUMBERS])


def _worst(news: Sequence[News]) -> str:
    open_ones = [one.alarm.severity for one in news if one.alarm.is_open]
    return max(open_ones, key=rank) if open_ones else "ok"


def _title(news: News) -> str:
    alarm = news.alarm
    said = " and ".join(_SAID[change] for change in news.changes)
    if "acknowledged" in news.changes:
        said += f" by {alarm.acknowledged_by}"
    if alarm.closed_by and "closed" in news.changes and alarm.closed_by != "monitor":
        said += f" by {alarm.closed_by}"
    return f"[{alarm.severity if alarm.is_open else 'ok'}] {about(alarm)} {said}"


def _summary(news: Sequence[News]) -> str:
    opened = Counter(one.alarm.severity for one in news if one.alarm.is_open)
    parts = [f"{opened[severity]} {severity}" for severity in reversed(SEVERITIES) if opened[severity]]
    closed = len(news) - sum(opened.values())
    parts += [f"{closed} closed"] if closed else []
    models = sorted({one.alarm.model for one in news})
    where = models[0] if len(models) == 1 else f"{len(models)} models"
    return f"[{_worst(news)}] {len(news)} alarms of {where}: {', '.join(parts)}"


def _details(alarm: Alarm) -> list[str]:
    lines = [f"since {to_iso(alarm.since)}, seen by {alarm.count} check{'s' * (alarm.count > 1)}"]
    lines += [f"re-opened {alarm.reopened} times"] if alarm.reopened else []
    lines += [f"now: {numbers(alarm.latest)}"] if alarm.latest else []
    lines += [f"at first: {numbers(alarm.evidence)}"] if alarm.evidence else []
    lines += [f"{alarm.acknowledged_by}: {alarm.comment}"] if alarm.acknowledged_by and alarm.comment else []
    lines += [f"closed {to_iso(alarm.closed_at)}"] if alarm.closed_at is not None else []
    if alarm.is_open and alarm.acknowledged_at is None:
        lines.append(f"acknowledge: homeostat alarms ack {alarm.id}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{_value(value[0])}..{_value(value[1])}"
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_VALUE else f"{text[: MOST_VALUE - 3]}..."
