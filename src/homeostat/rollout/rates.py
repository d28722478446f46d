"""The arithmetic of bad events: their rate in two arms, their rate against a limit, how they cluster.

The functions take numbers or NumPy arrays, so that what decides and what simulates (`simulate.py`) are the same lines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid
from homeostat.rollout.evidence import log_mean_exp

Floats = npt.NDArray[np.float64]

WORSE_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""Rate ratios the rollback test bets on. The last two find what is broken a minute sooner and cost ln(8/6)."""

STRETCHES_NEEDED = 20
"""Stretches of the stable arm after which the dispersion counts as known."""
CAUTION = 1.5
"""Standard errors by which the dispersion is drawn up."""
SUSPECTED = 5.0
"""The dispersion that is taken for granted while nothing is known: one client that tries five times."""


class RateRatio(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's rate of bad events more (or less) than `r0` times the stable's, request for request?

    Given that x events fell on either arm, those of the candidate are binomial with q = n_c r / (n_c r + n_s); each
    component r bets on it by the likelihood ratio against r0 (`ratio_gains`). Exact for rare independent events, at
    any look, under any change of the weights. With every r above r0 the null is "at most r0 times" (rollback), with
    every r below it is "at least r0 times" (promote).
    """

    r0: float
    ratios: tuple[float, ...]
    logs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (all(r > self.r0 for r in self.ratios) or all(r < self.r0 for r in self.ratios)):
            raise Invalid(
                f"rate ratios {self.ratios} lie on both sides of {self.r0}, which would gain under the null",
                field="ratios",
                next_step="give ratios all above or all below r0",
            )

    def seen(self, bad_c: float, n_c: int, bad_s: float, n_s: int) -> "RateRatio":
        """After a look at which the arms answered n_c and n_s requests, bad_c and bad_s of them badly."""
        if not n_c or not n_s:
            return self
        return msgspec.structs.replace(
            self, logs=_added(self.logs, ratio_gains(bad_c, n_c, bad_s, n_s, r0=self.r0, ratios=self.ratios))
        )

    @property
    def log_e(self) -> float:
        return log_mean_exp(self.logs) if self.logs else 0.0


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's rate of bad events below `limit` (all fractions below 1) or above it (all above 1)?

    For rates near zero in both arms, where no ratio shows, and where no other arm answers at the same time. Clean
    requests are evidence by their number: 149 for a limit of 2 %, none without requests.
    """

    limit: float
    fractions: tuple[float, ...] = (0.01, 0.125, 0.25, 0.5)
    logs: tuple[float, ...] = ()

    def seen(self, bad: float, n: float) -> "RateLimit":
        """After `n` more requests of the candidate, `bad` of them bad."""
        return msgspec.structs.replace(
            self, logs=_added(self.logs, limit_gains(bad, n, limit=self.limit, fractions=self.fractions))
        )

    @property
    def log_e(self) -> float:
        return log_mean_exp(self.logs) if self.logs else 0.0


def ratio_gains(bad_c: Any, n_c: Any, bad_s: Any, n_s: Any, *, r0: float, ratios: Sequence[float]) -> Floats:
    """What each ratio's log wealth gains at a look: x_c ln(q_r / q_0) + x_s ln((1 - q_r) / (1 - q_0)).

    The conditional test of two Poisson rates (Przyborowski & Wilenski, Biometrika 1940) as a likelihood-ratio process;
    q_r = n_c r / (n_c r + n_s). The last axis is that of the ratios. A look without requests of either arm gains 0.
    """
    bad_c, n_c, bad_s, n_s = (np.asarray(part, dtype=np.float64)[..., None] for part in (bad_c, n_c, bad_s, n_s))
    q0, q = _share(r0, n_c, n_s), _share(np.asarray(ratios), n_c, n_s)
    gains: Floats = bad_c * np.log(q / q0) + bad_s * np.log((1 - q) / (1 - q0))
    return np.where((n_c > 0) & (n_s > 0), gains, 0.0)


def limit_gains(bad: Any, n: Any, *, limit: float, fractions: Sequence[float]) -> Floats:
    """What each fraction's log wealth gains at a look: x ln(f) + (n - x) ln((1 - f limit) / (1 - limit)).

    The likelihood ratio of Wald's sequential test (Annals of Mathematical Statistics 1945) of p = f limit against the
    limit itself; with every f below 1 the null is p >= limit, with every f above 1 it is p <= limit.
    """
    bad, n = (np.asarray(part, dtype=np.float64)[..., None] for part in (bad, n))
    f = np.asarray(fractions)
    gains: Floats = bad * np.log(f) + (n - bad) * np.log((1 - f * limit) / (1 - limit))
    return gains


class Clusters(NamedTuple):
    """Bad events and requests by stretch of time, as the sums that say how the events cluster. Each adds up."""

    bad: Any
    requests: Any
    squares: Any
    """Sum of bad^2 / requests."""
    stretches: Any
    """Those with requests; without, a stretch says nothing."""

    @property
    def dispersion(self) -> Any:
        """1 for independent events, more for clusters: what is over 1 is drawn up by `CAUTION` standard errors.

        Pearson's sum of (x - np)^2 / np by its degrees of freedom, p the share of bad ones over all; the
        variance-to-mean ratio where stretches are equally long (McCullagh & Nelder, Generalized linear models, 1989,
        section 4.5). The sum is written out: sum of x^2 / np, less the events. Its relative standard error is about
        sqrt(2 / degrees of freedom); without the caution 20 stretches would leave 3 to 8 % false rollbacks. Before
        there are `STRETCHES_NEEDED`, some that cluster by `SUSPECTED` are taken to have been.

        >>> round(float(clusters([0, 10] * 10, [100] * 20).dispersion), 2)
        7.34
        >>> float(clusters([1] * 20, [9] * 20).dispersion)
        1.0
        """
        share = np.maximum(self.bad, 1) / np.maximum(self.requests, 1)
        freedom = np.maximum(self.stretches - 1, 1)
        seen = np.maximum((self.squares / share - self.bad) / freedom - 1, 0)
        suspected = np.maximum(STRETCHES_NEEDED - self.stretches, 0) / 4
        excess = (freedom * seen + suspected * (SUSPECTED - 1)) / (freedom + suspected)
        return 1 + excess * (1 + CAUTION * np.sqrt(2 / freedom))


def clusters(bad: Any, requests: Any) -> Clusters:
    """The sums over stretches, which are the last axis."""
    bad, requests = np.asarray(bad, dtype=np.float64), np.asarray(requests, dtype=np.float64)
    squares = np.divide(bad**2, requests, out=np.zeros_like(bad), where=requests > 0)
    return Clusters(bad.sum(-1), requests.sum(-1), squares.sum(-1), (requests > 0).sum(-1))


def _share(r: Any, n_c: Floats, n_s: Floats) -> Floats:
    share: Floats = np.clip(n_c * r / np.maximum(n_c * r + n_s, 1e-300), 1e-12, 1 - 1e-12)
    return share


def _added(logs: tuple[float, ...], gains: Floats) -> tuple[float, ...]:
    before = logs or (0.0,) * len(gains)
    return tuple(log + gain for log, gain in zip(before, gains.tolist(), strict=True))
