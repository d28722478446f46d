"""Betting on batches of relative loss differences: what the paired and the split comparison of losses share."""

import math
from typing import Any, Self

import msgspec
import numpy as np

from homeostat.rollout.evidence import PROMOTE_AT, log_mean_exp
from homeostat.rollout.losses import LARGEST, Floats

ROLLBACK_BETS = (0.25, 0.5, 0.75)
PROMOTE_BETS = (0.25, 0.5)
"""Stakes on each batch. Both grids were chosen by simulation and on a year of flights:
docs/decisions/2026-11-23-paired-losses-by-betting.md."""
CLIP = 1.0
"""Relative loss differences of a batch count for at most this much."""
BATCH_ROWS = 20
"""Rows that a batch waits for while the scale of the losses is not known, and in regressions."""
MOST_BATCH_ROWS = 500
"""Rows that are enough whatever the scale, for a stable version may never have lost anything."""


class Bets(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's loss above the stable's?

    Betting on bounded means (Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B
    2024). Batch j gives the relative difference d_j = clip(difference of mean losses / S_j, -c, c), S_j the stable's
    mean loss over the rows BEFORE the batch. For stakes L in a fixed grid:

        rollback, H0: E d <= 0       wealth *= 1 + L d_j
        promote,  H0: E d >= margin  wealth *= 1 - L (d_j - margin)

    Rows of an hour, and in part of a day, share their weather: as single bets they would count many times (on flights
    the variance of daily means is 6 to 51 times that of independent rows). A batch is one bet however many rows it has,
    and the stakes are small enough that no single day decides. A batch waits until it has so many rows that one of
    them alone cannot reach the clip, otherwise rare positives would be cut off and "always no" would look good.

    The first batch only sets the scale. Batches do not depend on how often one looks.
    """

    margin: float
    worse: tuple[float, ...] = (0.0,) * len(ROLLBACK_BETS)
    near: tuple[float, ...] = (0.0,) * len(PROMOTE_BETS)
    batches: int = 0
    loss_stable: float = 0.0
    """Sum over the closed batches' rows."""
    loss_candidate: float = 0.0
    hour: int = -1
    """Label hour of the open batch; -1 before the first row."""

    def bet(self, difference: float, scale: float) -> Self:
        """After the bet on one batch: the difference of its mean losses, candidate's less stable's."""
        d = min(max(difference / scale, -CLIP), CLIP)
        worse = (log + math.log1p(stake * d) for log, stake in zip(self.worse, ROLLBACK_BETS, strict=True))
        near = (
            log + math.log1p(-stake * (d - self.margin)) for log, stake in zip(self.near, PROMOTE_BETS, strict=True)
        )
        return msgspec.structs.replace(self, worse=tuple(worse), near=tuple(near))

    def is_worse(self, rollback_at: float) -> bool:
        """The candidate is shown to lose more than the stable version."""
        return self.log_e_rollback >= math.log(rollback_at)

    @property
    def is_near(self) -> bool:
        """The candidate is shown to lose less than the margin allows."""
        return self.log_e_promote >= math.log(PROMOTE_AT)

    @property
    def log_e_rollback(self) -> float:
        return log_mean_exp(self.worse)

    @property
    def log_e_promote(self) -> float:
        return log_mean_exp(self.near)


def bet_gains(difference: Any, scale: Any, *, margin: float) -> tuple[Floats, Floats]:
    """What each stake's log wealth gains by a batch: (against the candidate, for it). The last axis is the stakes'."""
    d = np.clip(np.asarray(difference) / scale, -CLIP, CLIP)[..., None]
    return np.log1p(np.array(ROLLBACK_BETS) * d), np.log1p(-np.array(PROMOTE_BETS) * (d - margin))


def rows_needed(loss: str, batches: Any, scale: Any) -> Any:
    """Rows that a batch waits for, so that one of them alone cannot reach the clip."""
    if loss not in LARGEST:
        return BATCH_ROWS
    wanted = np.minimum(np.ceil(LARGEST[loss] / (CLIP * np.asarray(scale))), MOST_BATCH_ROWS)
    return np.where(np.asarray(batches) > 0, wanted, BATCH_ROWS)
