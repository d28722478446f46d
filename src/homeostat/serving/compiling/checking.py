"""Checking a candidate against the original's answers, and measuring both."""

import time

import msgspec
import numpy as np

from homeostat.ground.ports import Scorer
from homeostat.serving.compiling.artifact import Matrix
from homeostat.serving.compiling.questions import Asked, answer_or_none
from homeostat.serving.compiling.report import Candidate
from homeostat.serving.compiling.tolerance import differing, greatest_difference, rank_agreement

MANY_ROWS = 64
LEAST_AGREEMENT = 0.999
_ALONE = 32
"""Rows that are also asked one by one: a graph may take another way through a single row."""
_SECONDS = 0.03
_ROUNDS = 5


def check(scorer: Scorer, asked: Asked, tolerance: float, about: Candidate) -> Candidate:
    """What is known of a candidate after it was asked everything; `why` is empty when it agrees."""
    answered = ~asked.raised
    wanted = asked.answers[answered]
    found = answer_or_none(scorer, asked.rows[answered])
    if found is None or found.shape != wanted.shape:
        what = "raises on rows that the original answers" if found is None else f"answers in shape {found.shape}"
        return _refused(about, f"it {what}", rows=len(asked.rows))
    off = differing(wanted, found, tolerance)
    silent = sum(answer_or_none(scorer, row[None, :]) is not None for row in asked.rows[asked.raised])
    known, ordinary = asked.counts.reference, int(answered[: len(answered) - asked.counts.extremes].sum())
    measured = _with(
        about,
        rows=len(asked.rows),
        max_abs_diff=greatest_difference(wanted[:ordinary], found[:ordinary]),
        differing=int(off.sum()) + silent,
        rank_agreement=rank_agreement(wanted[:known], found[:known]),
    )
    if off.any():
        return _refused(measured, f"{int(off.sum())} of {len(off)} rows are off by more than {tolerance:.1e}")
    if silent:
        return _refused(measured, f"it answers {silent} rows that the original raises on")
    if measured.rank_agreement is not None and measured.rank_agreement < LEAST_AGREEMENT:
        return _refused(measured, f"it puts rows in another order (agreement {measured.rank_agreement:.4f})")
    if not _same_alone(scorer, asked.rows[answered], wanted, tolerance):
        return _refused(measured, "it answers a row by itself otherwise than among others")
    return measured


def measure(scorer: Scorer, rows: Matrix) -> tuple[float, float]:
    """Microseconds for one row and for 64, each time other rows; the best of five rounds, for others only add to it."""
    single = [rows[place : place + 1] for place in range(min(len(rows), 256))]
    many = [np.resize(np.roll(rows, -place, axis=0), (MANY_ROWS, rows.shape[1])) for place in range(8)]
    return _microseconds(scorer, single), _microseconds(scorer, many)


def _microseconds(scorer: Scorer, batches: list[Matrix]) -> float:
    score = scorer.score
    for batch in batches[:8]:
        score(batch)
    rounds = []
    for _ in range(_ROUNDS):
        count, began, now = 0, time.perf_counter(), 0.0
        while now < _SECONDS / _ROUNDS or count < 4:
            score(batches[count % len(batches)])
            count += 1
            now = time.perf_counter() - began
        rounds.append(now / count * 1e6)
    return min(rounds)


def _same_alone(scorer: Scorer, rows: Matrix, wanted: Matrix, tolerance: float) -> bool:
    places = np.unique(np.linspace(0, len(rows) - 1, _ALONE).astype(int))
    alone = [answer_or_none(scorer, rows[place : place + 1]) for place in places]
    if any(one is None or one.shape != (1, *wanted.shape[1:]) for one in alone):
        return False
    found = np.concatenate([one for one in alone if one is not None])
    return not differing(wanted[places], found, tolerance).any()


def _refused(about: Candidate, why: str, **more: int) -> Candidate:
    return _with(about, status="refused", why=why, **more)


def _with(about: Candidate, **changes: object) -> Candidate:
    return msgspec.structs.replace(about, **changes)
