"""A live window against what it should look like: the training rows at first, the windows of the past once there are.

Rows of one day share its weather, so days differ from each other by more than their numbers of rows explain, and a test
that takes rows as independent alarms every day. How much windows differ is learned from the windows themselves:

| comparable past windows | a column has drifted when |
|---|---|
| fewer than 5 | its counts differ from the training rows' (`columns.judge`) |
| 5 to 18 | they do, and it stands out from the past windows too |
| 19 and more | it stands out from the past windows: symmetric conformal rank, exact for exchangeable windows |

and its effect is at least the floor. In a seasonal stream only windows of the same phase are compared, never the
training rows, which lie in all phases.

All windows, the current one too, are scored against the pool of all (`scores.py`); the largest score over all columns
is ranked, so that the error rate holds for the model as a whole. Among K past windows no rank is rarer than 1 in K + 1.
Where that is more than alpha, the window has to be the first of all, and its distance from the others beyond what
Student's t allows: at most one false alarm in K + 1 windows, whatever they are like; about alpha if they are normal.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid
from homeostat.ground.records import ColumnBins
from homeostat.monitoring.calibrated.columns import LIVE_FLOOR, LIVE_ROWS, ColumnPair, judge
from homeostat.monitoring.calibrated.ranks import standings
from homeostat.monitoring.calibrated.seasons import WANTED, comparable
from homeostat.monitoring.calibrated.tables import Counts, Floats, table_of
from homeostat.monitoring.calibrated.types import ColumnDrift, DriftReport

FEWEST = 5
"""With fewer past windows nothing is known of how much they differ."""
MOST = 60
"""Older windows are not looked at: what was usual long ago is no measure."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one stretch of time in the reference's bins."""

    start: int
    """Microseconds UTC."""
    counts: tuple[Counts, ...]
    """By column, as in `ColumnBins.counts`: the bins (and of a category the values outside), then the missing."""

    @property
    def rows(self) -> int:
        """Of the column that has most: one that came later does not make a window small."""
        return max((int(one.sum()) for one in self.counts), default=0)


class _Found(NamedTuple):
    """Of one column: p and effect, and whether more than its missing rows could be looked at. p is None if nothing."""

    p: float | None
    effect: float | None
    is_known: bool


def alpha_per_check(alarms_a_month: float, *, checks_a_month: float = 30) -> float:
    """The chance of a false alarm at one check that makes so many a month.

    >>> alpha_per_check(1.5)
    0.05
    """
    if not 0 < alarms_a_month < checks_a_month:
        raise Invalid(
            f"{alarms_a_month} false alarms a month at {checks_a_month} checks a month",
            field="alarms_per_month",
            next_step="allow fewer than there are checks",
        )
    return alarms_a_month / checks_a_month


def decide(
    reference: Sequence[ColumnBins],
    current: Window,
    past: Sequence[Window] = (),
    *,
    alpha: float = 0.05,
    floor: float = LIVE_FLOOR,
    season: str | None = None,
    min_rows: int = LIVE_ROWS,
) -> DriftReport:
    """The verdict on `current`, given windows of the same length that came before it.

    `alpha` is the chance of a false alarm of the whole model at this check (`alpha_per_check` makes one of alarms a
    month), `floor` the smallest effect that counts. Windows of the past with fewer than `min_rows` rows are left out.

    Raises:
        Invalid: for a season that there is not.
    """
    basis, group = comparable([one for one in past if one.rows >= min_rows], current.start, season=season)
    group = sorted(group, key=lambda window: window.start)[-MOST:]
    if season is None and len(group) < WANTED:
        basis = "reference" if len(group) < FEWEST else "both"
    reason = _obstacle(current, group, season, min_rows)
    found = [] if reason else _find(reference, current, group, basis, alpha, min_rows)
    columns = tuple(
        _column(column, now, one, alpha, floor)
        for column, now, one in zip(reference, current.counts, found, strict=bool(found))
    )
    return DriftReport(
        status=_status(columns),
        rows=current.rows,
        columns=columns,
        alpha=alpha,
        floor=floor,
        basis=basis,
        windows=len(group),
        reason=reason,
    )


def _obstacle(current: Window, group: Sequence[Window], season: str | None, min_rows: int) -> str:
    if current.rows < min_rows:
        return f"{current.rows} rows, wanted are {min_rows}"
    if season is not None and len(group) < FEWEST:
        return f"{len(group)} comparable past windows ({season}), wanted are {FEWEST}"
    return ""


def _find(
    reference: Sequence[ColumnBins],
    current: Window,
    group: Sequence[Window],
    basis: str,
    alpha: float,
    min_rows: int,
) -> list[_Found]:
    if basis == "reference":
        return _against_reference(reference, current, alpha, min_rows)
    against_past = _against_past(reference, current, group, min_rows)
    if basis != "both":
        return against_past
    both = zip(_against_reference(reference, current, alpha, min_rows), against_past, strict=True)
    return [_as_sure_as_both(then, before) for then, before in both]


def _as_sure_as_both(then: _Found, before: _Found) -> _Found:
    if then.p is None or before.p is None:
        return then._replace(p=None)
    return then._replace(p=max(then.p, before.p))


def _against_reference(reference: Sequence[ColumnBins], current: Window, alpha: float, min_rows: int) -> list[_Found]:
    pairs = [
        _pair(column, np.asarray(column.counts), now) for column, now in zip(reference, current.counts, strict=True)
    ]
    verdicts = judge(pairs, alpha=alpha, effect=0.0, min_rows=min_rows)
    return [_Found(one.p, one.effect, one.status != "insufficient") for one in verdicts]


def _against_past(
    reference: Sequence[ColumnBins], current: Window, group: Sequence[Window], min_rows: int
) -> list[_Found]:
    windows = [*group, current]
    stacks = [np.stack([window.counts[place] for window in windows]) for place in range(len(reference))]
    found = standings([_kind(column) for column in reference], stacks, few=min_rows)
    return [
        _Found(None, None, is_known=False)
        if one is None
        else _Found(one.p, _effect(_pair(column, stack[:-1].sum(axis=0), stack[-1]), min_rows), one.is_known)
        for column, stack, one in zip(reference, stacks, found, strict=True)
    ]


def _kind(column: ColumnBins) -> str:
    return "num" if column.kind == "number" else "cat"


def _pair(column: ColumnBins, then: Counts, now: Counts) -> ColumnPair:
    return ColumnPair(column.name, _kind(column), then[:-1], now[:-1], "counts", (int(then[-1]), int(now[-1])))


def _effect(pair: ColumnPair, few: int) -> float | None:
    return table_of(pair.name, pair.kind, pair.form, pair.reference, pair.current, pair.missing).effect(few=few)[1]


def _column(column: ColumnBins, now: Counts, found: _Found, alpha: float, floor: float) -> ColumnDrift:
    has_drifted = found.p is not None and found.p <= alpha and found.effect is not None and found.effect >= floor
    is_said = has_drifted or (found.p is not None and found.is_known)
    both_there = sum(column.counts) and now.any()
    return ColumnDrift(
        name=column.name,
        status="drift" if has_drifted else "ok" if is_said else "insufficient",
        p=round(found.p, 6) if is_said and found.p is not None else None,
        effect=None if found.effect is None else round(found.effect, 6),
        js=round(float(js_distance(column.counts, now)), 6) if both_there else None,
    )


def _status(columns: Sequence[ColumnDrift]) -> str:
    said = {column.status for column in columns}
    return "drift" if "drift" in said else "ok" if "ok" in said else "insufficient"


def js_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
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
