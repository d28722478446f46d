"""Quality on paired rows: losses of candidate and stable version on the same labelled requests (shadow, bake)."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.clock import HOUR
from homeostat.rollout.bets import Bets, rows_needed
from homeostat.rollout.losses import default_loss, row_losses


class PairedLoss(Bets, frozen=True, kw_only=True):
    """Is the candidate's loss above the stable's, on requests that both scored?

    Labelled rows are gathered by the hour in which their label came; a batch's difference is the mean of the paired
    differences. How it is bet on, and why: `Bets`.
    """

    rows: int = 0
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
        loss = default_loss(task)
        truth, ours, theirs = (_floats(part) for part in (y, score_stable, score_candidate))
        stable = row_losses(loss, truth, ours, task=task).tolist()
        candidate = row_losses(loss, truth, theirs, task=task).tolist()
        hours = (np.asarray(label_at, dtype=np.int64) // HOUR).tolist()
        state = self
        for hour, cost_stable, cost_candidate in zip(hours, stable, candidate, strict=True):
            if hour > state.hour and state.open_rows >= state.rows_needed(loss):
                state = state.closed()
            state = state.added(hour, cost_stable, cost_candidate)
        return state

    @property
    def relative_difference(self) -> float | None:
        """Candidate's loss over the stable's, minus 1, over the closed batches; None before the first."""
        return self.loss_candidate / self.loss_stable - 1 if self.loss_stable else None

    def rows_needed(self, loss: str) -> int:
        """Rows that the open batch waits for."""
        return int(rows_needed(loss, self.batches, self._scale if self.batches else 1.0))

    @property
    def _scale(self) -> float:
        closed = self.rows - self.open_rows
        return max(self.loss_stable / closed, 1e-12)

    def added(self, hour: int, cost_stable: float, cost_candidate: float) -> "PairedLoss":
        """With one more row in the open batch."""
        return msgspec.structs.replace(
            self,
            hour=max(hour, self.hour),
            rows=self.rows + 1,
            open_rows=self.open_rows + 1,
            open_stable=self.open_stable + cost_stable,
            open_candidate=self.open_candidate + cost_candidate,
        )

    def closed(self) -> "PairedLoss":
        """With the open batch bet on, and a new one begun."""
        state = self
        if self.batches:
            state = self.bet((self.open_candidate - self.open_stable) / self.open_rows, self._scale)
        return msgspec.structs.replace(
            state,
            batches=self.batches + 1,
            loss_stable=self.loss_stable + self.open_stable,
            loss_candidate=self.loss_candidate + self.open_candidate,
            open_rows=0,
            open_stable=0.0,
            open_candidate=0.0,
        )


def _floats(values: npt.ArrayLike) -> npt.NDArray[Any]:
    return np.asarray(values, dtype=np.float64)
