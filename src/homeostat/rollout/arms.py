"""Quality of arms that answer different requests (canary, A/B): late labels of each arm's own."""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.clock import HOUR
from homeostat.rollout.bets import Bets, rows_needed
from homeostat.rollout.evidence import PROMOTE_AT
from homeostat.rollout.guards import Guard, new_guard
from homeostat.rollout.losses import row_losses
from homeostat.rollout.rates import RateRatio

_BELOW = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Shares of the margin's rate ratio that the promotion test of wrong answers bets on."""


class ArmLoss(Bets, frozen=True, kw_only=True):
    """Is the candidate arm's mean loss above the stable arm's, hour by hour?

    Which arm a request meets is drawn, so within an hour both answer the same kind of requests, and the difference of
    their mean losses has the expectation that a paired one would have, only with more noise. `Bets` says how it is bet
    on. A batch waits until both arms have its rows.
    """

    rows_candidate: int = 0
    """Rows of the closed batches."""
    rows_stable: int = 0
    open_candidate: tuple[int, float] = (0, 0.0)
    """(rows, sum of losses) of the open batch."""
    open_stable: tuple[int, float] = (0, 0.0)

    def added(self, loss: str, hour: int, cost: float, *, is_candidate: bool) -> "ArmLoss":
        """After one more labelled row."""
        state = self
        if hour > self.hour and min(self.open_candidate[0], self.open_stable[0]) >= self._needed(loss):
            state = self.closed()
        side = "open_candidate" if is_candidate else "open_stable"
        rows, total = getattr(state, side)
        return msgspec.structs.replace(state, hour=max(hour, self.hour), **{side: (rows + 1, total + cost)})

    def closed(self) -> "ArmLoss":
        """With the open batch bet on, and a new one begun."""
        (rows_c, cost_c), (rows_s, cost_s) = self.open_candidate, self.open_stable
        state = self.bet(cost_c / rows_c - cost_s / rows_s, self._scale) if self.batches else self
        return msgspec.structs.replace(
            state,
            batches=self.batches + 1,
            rows_candidate=self.rows_candidate + rows_c,
            rows_stable=self.rows_stable + rows_s,
            loss_candidate=self.loss_candidate + cost_c,
            loss_stable=self.loss_stable + cost_s,
            open_candidate=(0, 0.0),
            open_stable=(0, 0.0),
        )

    def _needed(self, loss: str) -> int:
        return int(rows_needed(loss, self.batches, self._scale if self.batches else 1.0))

    @property
    def _scale(self) -> float:
        return max(self.loss_stable / self.rows_stable, 1e-12)


class ArmQuality(msgspec.Struct, frozen=True, kw_only=True):
    """The loss of either arm on the labels of its own requests.

    Wrong answers are events, so their rates are compared as those of errors are, each label counting when it comes
    (`rates.ratio_gains`, counted down for clusters as in `guards.counted`). Other losses are bet on by the hour.
    """

    loss: str
    rates: Guard | None = None
    bets: ArmLoss | None = None
    labels_candidate: int = 0
    labels_stable: int = 0
    cost_candidate: float = 0.0
    cost_stable: float = 0.0

    def seen(
        self, task: str, label_at: npt.ArrayLike, y: npt.ArrayLike, score: npt.ArrayLike, is_candidate: npt.ArrayLike
    ) -> "ArmQuality":
        """After more labelled rows of both arms, in the order in which their labels came in."""
        truth, scores = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
        costs = row_losses(self.loss, truth, scores, task=task)
        theirs = np.asarray(is_candidate, dtype=bool)
        at = np.asarray(label_at, dtype=np.int64)
        return msgspec.structs.replace(
            self,
            rates=self.rates and _rates_seen(self.rates, at, costs, theirs),
            bets=self.bets and _bets_seen(self.bets, self.loss, at, costs, theirs),
            labels_candidate=self.labels_candidate + int(theirs.sum()),
            labels_stable=self.labels_stable + int((~theirs).sum()),
            cost_candidate=self.cost_candidate + float(costs[theirs].sum()),
            cost_stable=self.cost_stable + float(costs[~theirs].sum()),
        )

    def is_worse(self, rollback_at: float) -> bool:
        """The candidate arm is shown to lose more."""
        if self.rates is not None:
            return self.rates.is_worse(rollback_at)
        return self.bets is not None and self.bets.is_worse(rollback_at)

    @property
    def is_won(self) -> bool:
        """The candidate arm is shown to lose less than the margin allows."""
        return self.log_e_promote >= math.log(PROMOTE_AT)

    @property
    def log_e_rollback(self) -> float:
        return (self.rates or self.bets).log_e_rollback  # type: ignore[union-attr]  # one of them is there

    @property
    def log_e_promote(self) -> float:
        if self.rates is not None:
            return self.rates.near.log_e
        return self.bets.log_e_promote if self.bets is not None else 0.0

    @property
    def relative_difference(self) -> float | None:
        """Candidate's mean loss over the stable's, minus 1; None before both have labels."""
        if not self.labels_candidate or not self.cost_stable:
            return None
        return (self.cost_candidate / self.labels_candidate) / (self.cost_stable / self.labels_stable) - 1


def new_arm_quality(loss: str, *, margin: float, at: int = -1) -> ArmQuality:
    """Nothing known yet; `margin` is how much more loss the candidate may have and still win, as a share."""
    if loss != "wrong":
        return ArmQuality(loss=loss, bets=ArmLoss(margin=margin))
    r0 = 1 + margin
    rates = msgspec.structs.replace(
        new_guard(margin=2.0, limit=0.5, at=at), near=RateRatio(r0=r0, ratios=tuple(f * r0 for f in _BELOW))
    )
    return ArmQuality(loss=loss, rates=rates)


def _rates_seen(rates: Guard, at: Any, costs: Any, theirs: Any) -> Guard:
    if not len(at):
        return rates
    # Labels come in bulk and late, so a stretch is an hour of their own time, not of ours.
    for hour in np.unique(at // HOUR).tolist():
        now = at // HOUR == hour
        rates = rates.seen(
            int(costs[now & theirs].sum()),
            int((now & theirs).sum()),
            int(costs[now & ~theirs].sum()),
            int((now & ~theirs).sum()),
            at=max(int(at[now].max()), rates.last),
        )
    return rates


def _bets_seen(bets: ArmLoss, loss: str, at: Any, costs: Any, theirs: Any) -> ArmLoss:
    rows = zip((at // HOUR).tolist(), costs.tolist(), theirs.tolist(), strict=True)
    for hour, cost, is_candidate in rows:
        bets = bets.added(loss, hour, cost, is_candidate=is_candidate)
    return bets
