"""All checks of one model: what each column's counters and sampled rows say, as findings."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from homeostat.ground.clock import DAY
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.bins import SCORE
from homeostat.monitoring.breaks.fence import fence_break
from homeostat.monitoring.breaks.requests import schema_break
from homeostat.monitoring.breaks.shares import Seen, share_breaks
from homeostat.monitoring.breaks.stuck import frozen_break, stuck_break
from homeostat.monitoring.breaks.types import MIN_ROWS, REQUESTS, Break, SampledRows
from homeostat.monitoring.breaks.unit import unit_break
from homeostat.monitoring.types import Finding, Quality

SHARES = ("nulls", "new_values", "range")
SAMPLED = frozenset({"unit", "range", "stuck", "frozen"})


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of the last hour, or of the last day where these were few."""

    asked: int
    refused: int
    details: Sequence[str]


def check_breaks(
    rule: Quality,
    reference: Sequence[ColumnBins],
    seen: Sequence[Seen],
    *,
    requests: Requests,
    sample: Callable[[], SampledRows | None],
    now: int,
    held: Collection[str] = (),
) -> list[Finding]:
    """A finding for each column, and one for requests. `seen` are counters in the order of `reference`.

    `sample` reads rows of the log, and is only asked where a check needs them. Columns that cannot be told
    for want of rows are 'insufficient' together, under no name; `held` are columns in whose rows a break was found that
    cannot be over until rows are looked at again.
    """
    found: list[Finding] = []
    refused = (
        schema_break(requests.refused, requests.asked, requests.details, floor=rule.floor)
        if "schema" in rule.checks
        else None
    )
    if requests.asked >= MIN_ROWS or refused is not None:
        found.append(_finding(REQUESTS, [refused] if refused else []))
    counted = [pair for pair in zip(reference, seen, strict=True) if pair[0].name != SCORE]
    known = [(column, counters) for column, counters in counted if counters.day.sum() >= MIN_ROWS]
    if len(known) < len(counted) or not counted:
        most = max((int(counters.day.sum()) for _, counters in counted), default=0)
        evidence = {"rows": most, "wanted": MIN_ROWS}
        found.append(Finding(kind="quality", subject="", status="insufficient", evidence=evidence))
    shares = [check for check in rule.checks if check in SHARES]
    rows = sample() if known and any(check in SAMPLED for check in rule.checks) else None
    places = {column.name: place for place, column in enumerate(reference)}
    for column, counters in known:
        breaks = list(share_breaks(column, counters, checks=shares, floor=rule.floor))
        if rows is not None and not breaks:  # one break explains the others
            breaks += _sampled(rule, column, counters, rows, places[column.name], now)
        finding = _finding(column.name, breaks)
        if rows is None and not breaks and column.name in held:
            finding = msgspec.structs.replace(finding, status="insufficient")
        found.append(finding)
    return found


def _sampled(rule: Quality, column: ColumnBins, seen: Seen, rows: SampledRows, place: int, now: int) -> list[Break]:
    values = rows.recent.values[rows.recent.at >= now - DAY, place]
    asked: dict[str, Callable[[], Break | None]] = {  # in the order in which one explains the others
        "unit": lambda: unit_break(column, rows.calm, place, values),
        "range": lambda: fence_break(column, values, floor=rule.floor),
        "stuck": lambda: stuck_break(column, seen.day, values, rows.calm, place),
        "frozen": lambda: frozen_break(column, rows.calm, rows.recent, place, now=now),
    }
    found = (asked[check]() for check in asked if check in rule.checks)
    return next(([one] for one in found if one is not None), [])


def _finding(subject: str, breaks: Sequence[Break]) -> Finding:
    evidence = {one.check: one.numbers | {"text": one.text} for one in breaks}
    return Finding(kind="quality", subject=subject, status="alarm" if breaks else "ok", evidence=evidence)


def break_text(subject: str, evidence: dict[str, dict[str, object]]) -> str:
    """What an alarm of this kind says, in one line."""
    said = "; ".join(str(one["text"]) for one in evidence.values() if isinstance(one, dict) and "text" in one)
    return f"{'requests' if subject == REQUESTS else subject}: {said}" if said else subject
