"""Quality in shadow: losses of candidate and stable version on the same labelled requests."""

import math

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.clock import HOUR
from homeostat.rollout.evidence import PROMOTE_AT, ROLLBACK_AT, log_mean_exp

Floats = npt.NDArray[np.float64]

ROLLBACK_BETS = (0.25, 0.5, 0.75)
PROMOTE_BETS = (0.25, 0.5)
"""Stakes on each batch of paired losses; see `PairedLoss`. Both grids were chosen by simulation and on a year of
flights: docs/decisions/2026-11-23-paired-losses-by-betting.md."""
CLIP = 1.0
"""Relative loss differences of a batch count for at most this much."""
LARGEST_LOSS = math.log(100)
"""Log loss of one row, with probabilities kept within [0.01, 0.99]."""
BATCH_ROWS = 20
"""Rows that a batch waits for while the scale of the losses is not known, and in regressions."""


class PairedLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's loss above the stable's, on requests that both scored?

    Betting on bounded means (Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B
    2024). Labelled rows are gathered by the hour in which their label came; batch j gives the relative difference
    d_j = clip(mean(loss_candidate - loss_stable) / S_j, -c, c), S_j the stable's mean loss over the rows BEFORE the
    batch. For stakes L in a fixed grid:

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
    rows: int = 0
    batches: int = 0
    loss_stable: float = 0.0
    """Sum over the closed batches' rows."""
    loss_candidate: float = 0.0
    hour: int = -1
    """Label hour of the open batch; -1 before the first row."""
    open_rows: int = 0
    open_stable: float = 0.0
    open_candidate: float = 0.0

    def seen(
        self,
        task: str,
        label_at: npt.ArrayLike,
        y: npt.ArrayLike,
        score_stable: npt.ArrayLike,
        score_candidate: npt.ArrayLike,
    ) -> "PairedLoss":
        """After more labelled rows, in the order in which their labels came in."""
        truth = np.asarray(y, dtype=np.float64)
        stable = row_losses(task, truth, np.asarray(score_stable, dtype=np.float64)).tolist()
        candidate = row_losses(task, truth, np.asarray(score_candidate, dtype=np.float64)).tolist()
        hours = (np.asarray(label_at, dtype=np.int64) // HOUR).tolist()
        state = self
        for hour, ours, theirs in zip(hours, stable, candidate, strict=True):
            if hour > state.hour and state.open_rows >= state.rows_needed(task):
                state = state.closed()
            state = state.added(hour, ours, theirs)
        return state

    @property
    def is_worse(self) -> bool:
        """The candidate is shown to lose more than the stable version."""
        return self.log_e_rollback >= math.log(ROLLBACK_AT)

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

    @property
    def relative_difference(self) -> float | None:
        """Candidate's loss over the stable's, minus 1, over the closed batches; None before the first."""
        return self.loss_candidate / self.loss_stable - 1 if self.loss_stable else None

    def rows_needed(self, task: str) -> int:
        """Rows that the open batch waits for."""
        if task != "binary" or not self.batches:
            return BATCH_ROWS
        return math.ceil(LARGEST_LOSS / (CLIP * self._scale))

    @property
    def _scale(self) -> float:
        closed = self.rows - self.open_rows
        return max(self.loss_stable / closed, 1e-12)

    def added(self, hour: int, ours: float, theirs: float) -> "PairedLoss":
        """With one more row in the open batch."""
        return msgspec.structs.replace(
            self,
            hour=max(hour, self.hour),
            rows=self.rows + 1,
            open_rows=self.open_rows + 1,
            open_stable=self.open_stable + ours,
            open_candidate=self.open_candidate + theirs,
        )

    def closed(self) -> "PairedLoss":
        """With the open batch bet on, and a new one begun."""
        worse, near = self.worse, self.near
        if self.batches:
            mean = (self.open_candidate - self.open_stable) / self.open_rows
            d = min(max(mean / self._scale, -CLIP), CLIP)
            worse = tuple(log + math.log1p(bet * d) for log, bet in zip(worse, ROLLBACK_BETS, strict=True))
            near = tuple(
                log + math.log1p(-bet * (d - self.margin)) for log, bet in zip(near, PROMOTE_BETS, strict=True)
            )
        return msgspec.structs.replace(
            self,
            worse=worse,
            near=near,
            batches=self.batches + 1,
            loss_stable=self.loss_stable + self.open_stable,
            loss_candidate=self.loss_candidate + self.open_candidate,
            open_rows=0,
            open_stable=0.0,
            open_candidate=0.0,
        )


def row_losses(task: str, y: Floats, score: Floats) -> Floats:
    """The loss of each row.

    Binary: log loss with probabilities kept within [0.01, 0.99], so that one row costs at most 4.6. Regression: squared
    error, whose scale cancels in the relative difference.
    """
    if task == "binary":
        p = np.clip(score, 0.01, 0.99)
        losses: Floats = np.where(y == 1, -np.log(p), -np.log1p(-p))
        return losses
    return np.square(score - y)
