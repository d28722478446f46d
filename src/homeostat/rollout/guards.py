"""Guards over rates: one kind of bad event (errors, slow, invalid answers) of the candidate beside the stable arm's."""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np

from homeostat.ground.clock import MINUTE, SECOND
from homeostat.rollout.evidence import BLIND_ROLLBACK_AT, PROMOTE_AT, log_mean_exp
from homeostat.rollout.rates import STRETCHES_NEEDED, SUSPECTED, WORSE_RATIOS, Clusters, RateLimit, RateRatio, clusters

STRETCHES_KEPT = 120
"""Stretches of the stable arm (minutes, when it is looked at often) from which its dispersion is estimated."""
FEW_EVENTS = 10
"""Bad events of the stable arm below which nothing can be said about how they cluster."""
SLOT = 10 * SECOND
"""While that is so, the candidate's events of so long count as one (or as one in `SUSPECTED`, when they are many): a
client that tries again is one event."""
ROWS_PER_CALL = 10.0
"""One call that answers many rows counts as at most this many clean requests."""
_ABOVE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of bad event in the candidate against the concurrent stable arm.

    Events come in clusters (one client that retries), which would make the plain tests too sure (37 % of healthy
    candidates rolled back, clusters of 5), so they are counted down by how the stable arm's own events cluster
    (`counted`). This is approximate; what it leaves is simulated in tests/rollout/test_rollout_simulation.py.
    """

    worse: RateRatio
    near: RateRatio
    below: RateLimit
    above: RateLimit | None = None
    """Set in the bake, when no other arm answers: the candidate must also be over its limit."""
    is_alone: bool = False
    """In the bake, when what scores along cannot be compared either (latency): only the limit counts."""
    bad_candidate: int = 0
    requests_candidate: int = 0
    bad_stable: int = 0
    requests_stable: int = 0
    looks: tuple[tuple[int, int], ...] = ()
    """(bad, requests) of the stable arm in its last stretches."""
    open_stretch: tuple[int, int] = (0, 0)
    since: int = -1
    """Event time at which the open stretch began; -1 before the first look."""
    last: int = -1
    """Event time of the last look."""
    slot_bad: int = 0
    """The candidate's bad events in the slot of the last look."""

    def watched(self, bad_s: int, n_s: int, *, at: int) -> "Guard":
        """After a look at the stable arm alone, which tells how its events cluster."""
        bad, requests = self.open_stretch[0] + bad_s, self.open_stretch[1] + n_s
        # Short at first, so that after a few minutes something is known; minutes when it is.
        span = MINUTE if len(self.looks) >= STRETCHES_NEEDED else SLOT
        if self.since >= 0 and at - self.since < span:
            return msgspec.structs.replace(self, open_stretch=(bad, requests), last=at)
        looks = (*self.looks, (bad, requests))[-STRETCHES_KEPT:] if requests else self.looks
        return msgspec.structs.replace(self, looks=looks, open_stretch=(0, 0), since=at, last=at)

    def seen(
        self,
        bad_c: int,
        n_c: int,
        bad_s: int,
        n_s: int,
        *,
        at: int,
        rows_per_call: float = 1.0,
        is_answered: bool = True,
    ) -> "Guard":
        """After one more look at both arms: calls, and bad ones among them.

        A call of several rows that failed is one failure, but as evidence of safety each of its rows counts, up to
        `ROWS_PER_CALL`, whether it was answered or not. What a candidate does that nobody hears (`is_answered` False:
        in shadow) can show that it is bad, and not that it is safe.
        """
        after = self.watched(bad_s, n_s, at=at) if self.above is None else self
        counts = counted(bad_c, bad_s, after.clusters, few=self._few(bad_c, at))
        phi, cautious = float(counts.phi), float(counts.cautious)
        rows = min(max(rows_per_call, 1.0), ROWS_PER_CALL) / phi
        proves = is_answered and self.above is None
        return msgspec.structs.replace(
            after,
            worse=self.worse.seen(float(counts.candidate), n_c, float(counts.stable), n_s),
            near=self.near.seen(bad_c / phi, n_c, bad_s / phi, n_s) if proves else self.near,
            below=self.below.seen(bad_c * rows, n_c * rows) if proves else self.below,
            above=self.above and self.above.seen(bad_c / cautious, n_c / cautious),
            bad_candidate=self.bad_candidate + bad_c,
            requests_candidate=self.requests_candidate + n_c,
            bad_stable=self.bad_stable + bad_s,
            requests_stable=self.requests_stable + n_s,
            last=at,
            slot_bad=bad_c + (self.slot_bad if at // SLOT == self.last // SLOT else 0),
        )

    def baking(self, *, is_alone: bool) -> "Guard":
        """For the time after the promotion: evidence begins anew, what is known of clusters stays."""
        limit = self.below.limit
        fractions = tuple(f for f in _ABOVE if f * limit < 1) or ((1 + limit) / (2 * limit),)
        return msgspec.structs.replace(
            self,
            worse=msgspec.structs.replace(self.worse, logs=()),
            above=RateLimit(limit=limit, fractions=fractions),
            is_alone=is_alone,
            bad_candidate=0,
            requests_candidate=0,
            bad_stable=0,
            requests_stable=0,
        )

    @property
    def log_e_rollback(self) -> float:
        """Of what all has to be shown, the least shown."""
        if self.above is None:
            return self.worse.log_e
        return self.above.log_e if self.is_alone else min(self.worse.log_e, self.above.log_e)

    def is_worse(self, rollback_at: float) -> bool:
        """The candidate is shown to do worse than the stable arm."""
        blind = bool(counted(0, 0, self.clusters, few=0).is_blind)
        return self.log_e_rollback >= math.log(max(rollback_at, BLIND_ROLLBACK_AT) if blind else rollback_at)

    @property
    def is_safe(self) -> bool:
        """The candidate is shown to be no danger."""
        return self.log_e_promote >= math.log(PROMOTE_AT)

    @property
    def log_e_promote(self) -> float:
        """Mean of both ways to show that it is safe: near the stable's rate, or below the limit."""
        return log_mean_exp((self.near.log_e, self.below.log_e))

    @property
    def clusters(self) -> Clusters:
        """How the stable arm's events cluster, the open stretch included."""
        return clusters(*zip(*(*self.looks, self.open_stretch), strict=True))

    def _few(self, bad: int, at: int) -> float:
        """What the candidate's events of a look count for, when no more is known of clusters."""
        if self.last < 0:
            return float(apart(bad, slots=1))
        if at // SLOT == self.last // SLOT:
            return float(apart(self.slot_bad + bad, slots=1) - apart(self.slot_bad, slots=1))
        # Looks far apart do not show which events came together.
        elapsed = at - self.last
        return float(apart(bad, slots=1 if elapsed <= 2 * SLOT else max(1, elapsed // MINUTE)))


def apart(bad: Any, *, slots: Any) -> Any:
    """How many events are surely apart: one for each slot, or one in `SUSPECTED` when they are more than that."""
    return np.maximum(np.minimum(bad, slots), np.asarray(bad) / SUSPECTED)


class Counted(NamedTuple):
    """What a look's bad events count for."""

    candidate: Any
    stable: Any
    phi: Any
    """The dispersion that they were divided by; 1 where it cannot be known."""
    cautious: Any
    """The same, with `SUSPECTED` where it cannot be known: for a test that has no other arm to lean on."""
    is_blind: Any
    """Whether phi is not to be trusted yet."""


def counted(bad_c: Any, bad_s: Any, stable: Clusters, *, few: Any) -> Counted:
    """What a look's bad events count for.

    Where the stable arm has had `FEW_EVENTS`, counts are divided by its dispersion phi. Where it has not, phi cannot be
    known; then only those of the candidate's events count that are surely apart (`few`), and all of the stable arm's,
    which errs on the candidate's side.
    """
    is_rare = stable.bad < FEW_EVENTS
    phi = np.where(is_rare, 1.0, stable.dispersion)
    x_c = np.where(is_rare, few, bad_c / phi)
    is_blind = ~is_rare & (stable.stretches < STRETCHES_NEEDED)
    return Counted(x_c, bad_s / phi, phi, np.where(is_rare, SUSPECTED, phi), is_blind)


def new_guard(*, margin: float, limit: float, at: int = -1) -> Guard:
    """A guard that promotes a candidate shown to be below `margin` times the stable's rate, or below `limit`."""
    near = tuple(r for r in (0.8, 1.0, 1.25) if r < margin)
    return Guard(
        worse=RateRatio(r0=1.0, ratios=WORSE_RATIOS),
        near=RateRatio(r0=margin, ratios=near),
        below=RateLimit(limit=limit),
        since=at,
        last=at,
    )
