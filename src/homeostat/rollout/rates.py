"""Rates of bad events (errors, slow requests) of a candidate against the stable arm at the same time."""

import math
from collections.abc import Sequence

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.rollout.evidence import BLIND_ROLLBACK_AT, PROMOTE_AT, ROLLBACK_AT, log_mean_exp

WORSE_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Rate ratios the rollback test bets on."""
LOOKS_KEPT = 120
"""Looks of the stable arm from which its dispersion is estimated."""
LOOKS_NEEDED = 20
"""Looks after which the dispersion counts as known."""
ROWS_PER_CALL = 10.0
"""One call that answers many rows counts as at most this many clean requests."""


class RateRatio(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's rate of bad events more (or less) than `r0` times the stable's, request for request?

    Given that x events fell on either arm, those of the candidate are binomial with q = n_c r / (n_c r + n_s); each
    component r bets on it by the likelihood ratio against r0:
    l_r += x_c ln(q_r / q_0) + x_s ln((1 - q_r) / (1 - q_0)). Exact for rare independent events, at any look, under any
    change of the weights. With every r above r0 the null is "at most r0 times" (rollback), with every r below it is
    "at least r0 times" (promote).
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
        q0 = self._share(self.r0, n_c, n_s)
        gains = (
            bad_c * math.log(q / q0) + bad_s * math.log((1 - q) / (1 - q0))
            for q in (self._share(r, n_c, n_s) for r in self.ratios)
        )
        logs = self.logs or (0.0,) * len(self.ratios)
        return msgspec.structs.replace(self, logs=tuple(log + gain for log, gain in zip(logs, gains, strict=True)))

    @property
    def log_e(self) -> float:
        return log_mean_exp(self.logs) if self.logs else 0.0

    @staticmethod
    def _share(r: float, n_c: int, n_s: int) -> float:
        return min(max(n_c * r / (n_c * r + n_s), 1e-12), 1 - 1e-12)


class RateBelow(msgspec.Struct, frozen=True, kw_only=True):
    """Is the candidate's rate of bad events below `limit`? For rates near zero in both arms, where no ratio shows.

    H0: p >= limit. Component p1 = f * limit, f < 1: l_f += x ln(p1 / limit) + (n - x) ln((1 - p1) / (1 - limit)).
    Clean requests are evidence by their number: 149 for a limit of 2 %, none without requests.
    """

    limit: float
    fractions: tuple[float, ...] = (0.01, 0.125, 0.25, 0.5)
    logs: tuple[float, ...] = ()

    def seen(self, bad: float, n: float) -> "RateBelow":
        """After `n` more requests of the candidate, `bad` of them bad."""
        gains = (
            bad * math.log(f) + (n - bad) * math.log((1 - f * self.limit) / (1 - self.limit)) for f in self.fractions
        )
        logs = self.logs or (0.0,) * len(self.fractions)
        return msgspec.structs.replace(self, logs=tuple(log + gain for log, gain in zip(logs, gains, strict=True)))

    @property
    def log_e(self) -> float:
        return log_mean_exp(self.logs) if self.logs else 0.0


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of bad event (errors, slow requests) in the candidate against the concurrent stable arm.

    Events come in clusters (one client that retries), which would make the plain tests too sure: counts are divided by
    phi = max(1, Pearson's dispersion of the stable arm's counts over its last looks), the variance-to-mean ratio when
    the looks are equally long. This is approximate: in simulation (clusters of 5, 120 looks) it rolls back 0 to 1 % of
    equal candidates once it has seen 20 looks, and 7 % when it starts from nothing. The shadow stage therefore warms it
    up, and before that a rollback needs `BLIND_ROLLBACK_AT`.
    """

    worse: RateRatio
    near: RateRatio
    below: RateBelow
    bad_candidate: int = 0
    requests_candidate: int = 0
    bad_stable: int = 0
    requests_stable: int = 0
    looks: tuple[tuple[int, int], ...] = ()
    """(bad, requests) of the stable arm at its last looks."""

    def watched(self, bad_s: int, n_s: int) -> "Guard":
        """After a look at the stable arm alone, which tells how its events cluster."""
        looks = (*self.looks, (bad_s, n_s))[-LOOKS_KEPT:] if n_s else self.looks
        return msgspec.structs.replace(self, looks=looks)

    def seen(self, bad_c: int, n_c: int, bad_s: int, n_s: int, *, rows_per_call: float = 1.0) -> "Guard":
        """After one more look at both arms: calls, and bad ones among them.

        A call of several rows that failed is one failure, but as evidence of safety each of its rows counts, up to
        `ROWS_PER_CALL`, whether it was answered or not.
        """
        looks = self.watched(bad_s, n_s).looks
        phi = dispersion(looks)
        rows = min(max(rows_per_call, 1.0), ROWS_PER_CALL) / phi
        return Guard(
            worse=self.worse.seen(bad_c / phi, n_c, bad_s / phi, n_s),
            near=self.near.seen(bad_c / phi, n_c, bad_s / phi, n_s),
            below=self.below.seen(bad_c * rows, n_c * rows),
            bad_candidate=self.bad_candidate + bad_c,
            requests_candidate=self.requests_candidate + n_c,
            bad_stable=self.bad_stable + bad_s,
            requests_stable=self.requests_stable + n_s,
            looks=looks,
        )

    @property
    def log_e_rollback(self) -> float:
        return self.worse.log_e

    @property
    def is_worse(self) -> bool:
        """The candidate is shown to do worse than the stable arm."""
        return self.worse.log_e >= math.log(ROLLBACK_AT if len(self.looks) >= LOOKS_NEEDED else BLIND_ROLLBACK_AT)

    @property
    def is_safe(self) -> bool:
        """The candidate is shown to be no danger."""
        return self.log_e_promote >= math.log(PROMOTE_AT)

    @property
    def log_e_promote(self) -> float:
        """Mean of both ways to show that it is safe: near the stable's rate, or below the limit."""
        return log_mean_exp((self.near.log_e, self.below.log_e))


def new_guard(*, margin: float, limit: float) -> Guard:
    """A guard that promotes a candidate shown to be below `margin` times the stable's rate, or below `limit`."""
    near = tuple(r for r in (0.8, 1.0, 1.25) if r < margin)
    return Guard(
        worse=RateRatio(r0=1.0, ratios=WORSE_RATIOS),
        near=RateRatio(r0=margin, ratios=near),
        below=RateBelow(limit=limit),
    )


def dispersion(looks: Sequence[tuple[int, int]]) -> float:
    """max(1, sum of (x - np)^2 / np over the looks, by degrees of freedom).

    >>> dispersion([(0, 100), (10, 100), (0, 100), (10, 100)])
    6.666666666666667
    """
    requests = sum(n for _, n in looks)
    rate = sum(bad for bad, _ in looks) / requests if requests else 0.0
    if not rate or len(looks) < 2:
        return 1.0
    return max(1.0, sum((bad - n * rate) ** 2 / (n * rate) for bad, n in looks) / (len(looks) - 1))
