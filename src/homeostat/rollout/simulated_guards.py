"""Guards of many repetitions at once: the arithmetic of `rates`, `guards` and `bets`, an entry for each repetition."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.rollout.bets import PROMOTE_BETS, ROLLBACK_BETS, bet_gains, rows_needed
from homeostat.rollout.evidence import BLIND_ROLLBACK_AT, PROMOTE_AT
from homeostat.rollout.guards import STRETCHES_KEPT, Guard, counted, new_guard
from homeostat.rollout.losses import LARGEST
from homeostat.rollout.rates import STRETCHES_NEEDED, Clusters, limit_gains, ratio_gains
from homeostat.rollout.simulated_world import Labels

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_WRONG_COSTS = LARGEST["log_loss"]
"""An answer is simulated as right or wrong without doubt: it costs this much, or nothing."""


def log_mean(logs: Floats) -> Floats:
    """`log_mean_exp` of each repetition."""
    top = logs.max(axis=-1)
    mean: Floats = top + np.log(np.exp(logs - top[..., None]).mean(axis=-1))
    return mean


class ManyGuards:
    """A `Guard` for each repetition."""

    def __init__(self, like: Guard, repetitions: int) -> None:
        self._like = like
        self.worse = np.zeros((repetitions, len(like.worse.ratios)))
        self.near = np.zeros((repetitions, len(like.near.ratios)))
        self.below = np.zeros((repetitions, len(like.below.fractions)))
        self.above: Floats | None = None
        self._is_alone = False
        self._bad = np.zeros((repetitions, STRETCHES_KEPT))
        self._requests = np.zeros((repetitions, STRETCHES_KEPT))
        self._next = np.zeros(repetitions, dtype=np.int64)
        self._open_bad = np.zeros(repetitions)
        self._open_requests = np.zeros(repetitions)
        self._open_for = 0.0
        self._sums = Clusters(*(np.zeros(repetitions) for _ in Clusters._fields))

    def seen(self, bad_c: Any, n_c: Any, bad_s: Any, n_s: Any, *, seconds: float, few: Any, is_answered: bool) -> None:
        """As `Guard.seen`; repetitions that are over bring zeros."""
        if self.above is None:
            self._watch(bad_s, n_s, seconds)
        counts = counted(bad_c, bad_s, self._clusters(), few=few)
        phi, worse = counts.phi, self._like.worse
        self.worse += ratio_gains(counts.candidate, n_c, counts.stable, n_s, r0=worse.r0, ratios=worse.ratios)
        if self.above is not None:
            above = self._like.baking(is_alone=False).above
            assert above is not None  # `baking` sets it
            cautious = counts.cautious
            self.above += limit_gains(bad_c / cautious, n_c / cautious, limit=above.limit, fractions=above.fractions)
        elif is_answered:
            near, below = self._like.near, self._like.below
            self.near += ratio_gains(bad_c / phi, n_c, bad_s / phi, n_s, r0=near.r0, ratios=near.ratios)
            self.below += limit_gains(bad_c / phi, n_c / phi, limit=below.limit, fractions=below.fractions)

    def bake(self, *, is_alone: bool) -> None:
        """As `Guard.baking`."""
        above = self._like.baking(is_alone=is_alone).above
        assert above is not None  # `baking` sets it
        self.worse[:] = 0.0
        self.above = np.zeros((len(self.worse), len(above.fractions)))
        self._is_alone = is_alone

    def are_worse(self, rollback_at: float) -> Flags:
        log_e = log_mean(self.worse)
        if self.above is not None:
            above = log_mean(self.above)
            log_e = above if self._is_alone else np.minimum(log_e, above)
        is_blind = counted(0, 0, self._clusters(), few=0).is_blind
        worse: Flags = log_e >= np.log(np.where(is_blind, max(rollback_at, BLIND_ROLLBACK_AT), rollback_at))
        return worse

    def are_safe(self) -> Flags:
        safe: Flags = np.logaddexp(log_mean(self.near), log_mean(self.below)) - math.log(2) >= math.log(PROMOTE_AT)
        return safe

    def are_near(self) -> Flags:
        """By the ratio alone: of wrong answers no limit is known that would be safe."""
        near: Flags = log_mean(self.near) >= math.log(PROMOTE_AT)
        return near

    def _watch(self, bad: Any, requests: Any, seconds: float) -> None:
        self._open_bad += bad
        self._open_requests += requests
        self._open_for += seconds
        is_known = self._sums.stretches.max(initial=0) >= STRETCHES_NEEDED
        if self._open_for < (60.0 if is_known else 10.0):
            return
        rows = np.flatnonzero(self._open_requests)
        place = (rows, self._next[rows] % STRETCHES_KEPT)
        self._add(rows, self._bad[place], self._requests[place], sign=-1)
        self._bad[place], self._requests[place] = self._open_bad[rows], self._open_requests[rows]
        self._add(rows, self._bad[place], self._requests[place], sign=1)
        self._next[rows] += 1
        self._open_bad[:], self._open_requests[:], self._open_for = 0.0, 0.0, 0.0

    def _add(self, rows: Any, bad: Floats, requests: Floats, *, sign: int) -> None:
        self._sums.bad[rows] += sign * bad
        self._sums.requests[rows] += sign * requests
        self._sums.squares[rows] += sign * bad**2 / np.maximum(requests, 1)
        self._sums.stretches[rows] += sign * (requests > 0)

    def _clusters(self) -> Clusters:
        is_open = self._open_requests > 0
        sums = self._sums
        return Clusters(
            sums.bad + self._open_bad,
            sums.requests + self._open_requests,
            sums.squares + self._open_bad**2 / np.maximum(self._open_requests, 1),
            sums.stretches + is_open,
        )


class ManyBets:
    """`PairedLoss` or `ArmLoss` for each repetition, on answers that are right or wrong."""

    def __init__(self, margin: float, repetitions: int) -> None:
        self._margin = margin
        self.worse = np.zeros((repetitions, len(ROLLBACK_BETS)))
        self.near = np.zeros((repetitions, len(PROMOTE_BETS)))
        self.rows = np.zeros(repetitions)
        self._batches = np.zeros(repetitions, dtype=np.int64)
        self._cost = np.zeros(repetitions)
        self._closed = np.zeros(repetitions)
        self._open: list[Floats] = [np.zeros(repetitions) for _ in Labels._fields]
        self._hour = 0.0

    def seen(self, labels: Labels, *, seconds: float) -> None:
        """After the labels of a look; batches close by the hour."""
        self._open = [total + came for total, came in zip(self._open, labels, strict=True)]
        self.rows += labels.candidate
        self._hour += seconds
        if self._hour >= 3600.0:
            self._hour = 0.0
            self._close()

    def are_worse(self, rollback_at: float) -> Flags:
        worse: Flags = log_mean(self.worse) >= math.log(rollback_at)
        return worse

    def are_near(self) -> Flags:
        near: Flags = log_mean(self.near) >= math.log(PROMOTE_AT)
        return near

    def _close(self) -> None:
        scale = np.maximum(self._cost / np.maximum(self._closed, 1), 1e-12)
        needed = rows_needed("log_loss", self._batches, scale)
        candidate, wrong_candidate, stable, wrong_stable = self._open
        closing = np.minimum(candidate, stable) >= needed
        costs = _WRONG_COSTS * (wrong_candidate / np.maximum(candidate, 1) - wrong_stable / np.maximum(stable, 1))
        worse, near = bet_gains(costs, scale, margin=self._margin)
        betting = closing & (self._batches > 0)
        self.worse[betting] += worse[betting]
        self.near[betting] += near[betting]
        self._batches[closing] += 1
        self._cost[closing] += _WRONG_COSTS * wrong_stable[closing]
        self._closed[closing] += stable[closing]
        for total in self._open:
            total[closing] = 0.0


def many_guards(repetitions: int, *, error_limit: float, slow_limit: float) -> dict[str, ManyGuards]:
    """The guards that a rollout starts with, for each repetition."""
    limits = {"errors": (2.0, error_limit), "invalid": (2.0, error_limit), "slow": (1.5, slow_limit)}
    return {
        name: ManyGuards(new_guard(margin=margin, limit=limit), repetitions) for name, (margin, limit) in limits.items()
    }
