"""Searching on one half of the days, testing on the other.

Among hundreds of segments some look bad by chance; those that looked worst are asked again on days that had no say in
choosing them, so that what they show there is honest, and Benjamini and Hochberg's step-up keeps the share of chance
among the told ones (Journal of the Royal Statistical Society B 57, 1995). Whole days go to one half, and errors are
those of sums over days, for rows of one day share what happened then.
"""

from collections.abc import Sequence

import numpy as np

from homeostat.ground.clock import DAY
from homeostat.monitoring.segments.conditions import conditions_of
from homeostat.monitoring.segments.types import Condition, Floats, Ints, Mask, Rows, Search, Segment

LEAST_DAYS = 8
LEAST_SHARE = 0.01
BEAM, TESTED = 20, 20
ALPHA = 0.05

Candidate = tuple[tuple[Condition, ...], Mask]


def search_segments(
    rows: Rows, *, effect: float = 0.2, min_rows: int = 200, alpha: float = ALPHA, seed: int = 0
) -> Search:
    """Segments worse than the rest by `effect` standard deviations; the same rows give the same answer.

    Single conditions first; of these the most telling are joined with every other one.
    """
    days = rows.at // DAY
    distinct = np.unique(days)
    usable = np.isfinite(rows.loss)
    if len(distinct) < LEAST_DAYS or usable.sum() < 4 * min_rows:
        wanted = f"labels of {LEAST_DAYS} days and {4 * min_rows} rows are needed, there are {len(distinct)} days"
        return _nothing("insufficient", f"{wanted} and {int(usable.sum())} rows", int(usable.sum()))
    half = np.isin(days, np.random.default_rng(seed).permutation(distinct)[: len(distinct) // 2])
    least = max(min_rows, int(LEAST_SHARE * len(days)))
    single = conditions_of(rows.columns, least=least)
    loss = np.where(usable, rows.loss, 0.0)
    search, test = half & usable, ~half & usable
    spread = float(rows.loss[usable].std())
    if not single or spread == 0:
        return _nothing("none", "no column tells rows apart" if spread else "every row cost the same", len(days))
    candidates, looked = _candidates(single, loss, search, days, least)
    tested = [(one, _Contrast(one[1], loss, test, days)) for one in candidates[:TESTED]]
    adjusted = benjamini_hochberg([contrast.p for _, contrast in tested])
    told = [
        (candidate, contrast, p)
        for (candidate, contrast), p in zip(tested, adjusted, strict=True)
        if p <= alpha and contrast.difference >= effect * spread
    ]
    told.sort(key=lambda one: -one[1].t)
    kept: list[Segment] = []
    covered = np.zeros(len(days), dtype=np.bool_)
    for (conditions, mask), contrast, p in told:
        if kept and not _adds(mask, covered, loss, test, days, effect * spread, least):
            continue
        covered |= mask
        kept.append(_segment(conditions, mask & usable, contrast, p, spread))
    return Search(
        status="found" if kept else "none",
        reason="",
        rows=int(usable.sum()),
        searched=looked,
        tested=len(tested),
        segments=tuple(kept),
    )


class _Contrast:
    """Mean loss within a mask against the rest, with the error of sums over days."""

    def __init__(self, mask: Mask, loss: Floats, among: Mask, days: Ints) -> None:
        from scipy.special import stdtr, stdtrit

        inside, outside = mask & among, ~mask & among
        self.rows = int(inside.sum())
        self.days = len(np.unique(days[inside]))
        if self.days < 2 or not outside.any():
            self.loss = self.rest = self.difference = self.low = self.t = 0.0
            self.p = 1.0
            return
        self.loss, self.rest = float(loss[inside].mean()), float(loss[outside].mean())
        self.difference = self.loss - self.rest
        share = np.where(inside, (loss - self.loss) / self.rows, 0.0)
        share -= np.where(outside, (loss - self.rest) / int(outside.sum()), 0.0)
        _, place = np.unique(days, return_inverse=True)
        sums = np.bincount(place, weights=share)
        error = float(np.sqrt(self.days / (self.days - 1) * np.square(sums).sum()))
        self.t = self.difference / error if error else 0.0
        self.p = float(stdtr(self.days - 1, -self.t))
        self.low = self.difference - float(stdtrit(self.days - 1, 0.95)) * error


def _candidates(
    single: Sequence[tuple[Condition, Mask]], loss: Floats, among: Mask, days: Ints, least: int
) -> tuple[list[Candidate], int]:
    """The most telling segments of the half that is searched, and how many were looked at."""
    scored = sorted(
        ((_quick_t(mask, loss, among), (condition,), mask) for condition, mask in single), key=lambda one: -one[0]
    )
    pairs = []
    looked = len(scored)
    for t, (first,), mask in scored[:BEAM]:
        if t <= 0:
            break
        for second, other in single:
            if second.column <= first.column and any(second is one[1][0] for one in scored[:BEAM]):
                continue  # met from the other side
            both = mask & other
            if second.column == first.column or (both & among).sum() < least / 2 or both.sum() < least:
                continue
            looked += 1
            pairs.append((_quick_t(both, loss, among), (first, second), both))
    best = sorted([*scored, *pairs], key=lambda one: -one[0])[: 3 * TESTED]
    exact = [(_Contrast(mask, loss, among, days).t, conditions, mask) for t, conditions, mask in best if t > 0]
    exact.sort(key=lambda one: -one[0])
    return [(conditions, mask) for t, conditions, mask in exact if t > 0], looked


def _quick_t(mask: Mask, loss: Floats, among: Mask) -> float:
    """As if rows were independent: good enough to choose what is looked at closely."""
    inside, outside = loss[mask & among], loss[~mask & among]
    if len(inside) < 2 or len(outside) < 2:
        return 0.0
    error = np.sqrt(inside.var() / len(inside) + outside.var() / len(outside))
    return float((inside.mean() - outside.mean()) / error) if error else 0.0


def _adds(mask: Mask, covered: Mask, loss: Floats, among: Mask, days: Ints, wanted: float, least: int) -> bool:
    """Whether a segment is worse also without the rows of those that are told already."""
    left = mask & ~covered
    if (left & among).sum() < least / 2:
        return False
    contrast = _Contrast(left, loss, among & ~(covered & ~left), days)
    return contrast.difference >= wanted and contrast.p <= ALPHA


def _segment(conditions: tuple[Condition, ...], mask: Mask, contrast: _Contrast, p: float, spread: float) -> Segment:
    return Segment(
        conditions=conditions,
        rows=int(mask.sum()),
        share=round(float(mask.mean()), 4),
        loss=round(contrast.loss, 6),
        rest=round(contrast.rest, 6),
        low=round(contrast.low, 6),
        effect=round(contrast.difference / spread, 4),
        p=float(f"{p:.4g}"),
        days=contrast.days,
    )


def benjamini_hochberg(raw: Sequence[float]) -> list[float]:
    """Adjusted p-values: those at or below alpha are chance in at most that share, on average.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5])
    [0.04, 0.05333333333333334, 0.05333333333333334, 0.5]
    """
    order = sorted(range(len(raw)), key=lambda place: raw[place])
    adjusted = [1.0] * len(raw)
    lowest = 1.0
    for rank in range(len(raw), 0, -1):
        place = order[rank - 1]
        lowest = min(lowest, raw[place] * len(raw) / rank)
        adjusted[place] = lowest
    return adjusted


def _nothing(status: str, reason: str, rows: int) -> Search:
    return Search(status=status, reason=reason, rows=rows, searched=0, tested=0, segments=())
