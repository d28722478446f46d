"""What a simulated rollout meets: traffic, errors in clusters, shared outages, labels; what its candidate is like."""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid

Counts = npt.NDArray[np.int64]
_MINUTE, _HOUR = 60.0, 3600.0


class World(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The traffic of an endpoint and how its stable version does."""

    requests_per_minute: float = 100.0
    error_rate: float = 0.005
    slow_share: float = 0.01
    """Share of requests over the limit; 0.01 where the limit is the stable version's own 99th percentile."""
    invalid_rate: float = 0.0
    labels_per_hour: float = 0.0
    wrong_rate: float = 0.1
    shared_wrong: float = 0.8
    """Share of the stable version's wrong answers that a candidate gives wrong, too, asked the same."""
    cluster: int = 1
    """Errors and slow requests come so many at a time: one client that tries again."""
    outage_every: float = 0.0
    """Minutes from one outage of both versions to the next; 0: none."""
    outage_minutes: float = 3.0
    outage_rate: float = 0.1
    """Share of requests that fail in an outage."""

    def __post_init__(self) -> None:
        shares = ("error_rate", "slow_share", "invalid_rate", "wrong_rate", "shared_wrong", "outage_rate")
        for name in shares:
            if not 0 <= getattr(self, name) < 1:
                raise Invalid(f"{name} is {getattr(self, name)}", field=name, next_step="give a share, 0 to below 1")
        if not 0 < self.requests_per_minute <= 1e6:
            raise Invalid(
                f"requests_per_minute is {self.requests_per_minute}",
                field="requests_per_minute",
                next_step="give a number from above 0 to 1,000,000",
            )
        for name, most in (("labels_per_hour", 1e7), ("outage_every", 1e6), ("outage_minutes", 1e4)):
            if not 0 <= getattr(self, name) <= most:
                raise Invalid(f"{name} is {getattr(self, name)}", field=name, next_step=f"give 0 to {most:.0f}")
        if not 1 <= self.cluster <= 1000:
            raise Invalid(f"cluster is {self.cluster}", field="cluster", next_step="give 1 to 1000")

    def error_rate_at(self, seconds: float) -> float:
        """What both versions fail with on top of their own, at this moment."""
        if not self.outage_every:
            return 0.0
        into = (seconds / _MINUTE) % self.outage_every - self.outage_every / 3
        return self.outage_rate if 0 <= into < self.outage_minutes else 0.0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be rolled out, by what it does wrong."""

    name: str
    error_rate: float
    slow_share: float
    invalid_rate: float
    wrong_rate: float

    def is_worse_than(self, world: World) -> bool:
        ours = (self.error_rate, self.slow_share, self.invalid_rate, self.wrong_rate)
        return any(
            one > other + 1e-12
            for one, other in zip(
                ours, (world.error_rate, world.slow_share, world.invalid_rate, world.wrong_rate), strict=True
            )
        )


def candidates(world: World) -> list[Candidate]:
    """One that is as good, and one for each thing that goes wrong in practice."""
    equal = Candidate(
        name="as good",
        error_rate=world.error_rate,
        slow_share=world.slow_share,
        invalid_rate=world.invalid_rate,
        wrong_rate=world.wrong_rate,
    )
    worse = msgspec.structs.replace
    found = [
        equal,
        worse(equal, name="errors x2", error_rate=min(2 * world.error_rate, 0.9)),
        worse(equal, name="errors x4", error_rate=min(4 * world.error_rate, 0.9)),
        worse(equal, name="20 % fail", error_rate=max(0.2, world.error_rate)),
        worse(equal, name="1 % invalid", invalid_rate=max(0.01, world.invalid_rate)),
        worse(equal, name="slow x4", slow_share=min(4 * world.slow_share, 0.9)),
    ]
    if world.labels_per_hour:
        found.append(worse(equal, name="wrong +20 %", wrong_rate=min(1.2 * world.wrong_rate, 0.9)))
    return [one for one in found if one is equal or one.is_worse_than(world)]


class Side(NamedTuple):
    """What one side did in a look, an entry for each repetition."""

    requests: Counts
    errors: Counts
    slow: Counts
    invalid: Counts
    error_clusters: Counts
    slow_clusters: Counts


class Labels(NamedTuple):
    """Labels that came in a look: rows and wrong answers of either side."""

    candidate: Counts
    wrong_candidate: Counts
    stable: Counts
    wrong_stable: Counts


class Draw:
    """Draws what happens; everything from one generator, so a seed repeats it."""

    def __init__(self, world: World, candidate: Candidate, rng: np.random.Generator) -> None:
        self._world = world
        self._candidate = candidate
        self._rng = rng

    def side(self, share: float, seconds: float, *, at: float, is_candidate: bool, count: int) -> Side:
        """One side's requests of a look that lasts `seconds`, when it is asked a `share` of them."""
        world, ours = self._world, self._candidate if is_candidate else self._world
        requests = self._rng.poisson(share * world.requests_per_minute * seconds / _MINUTE, count)
        failing = min(ours.error_rate + world.error_rate_at(at), 1.0)
        errors, error_clusters = self._events(requests, failing)
        slow, slow_clusters = self._events(requests, ours.slow_share)
        # Who tries again asks again.
        requests = requests + errors - error_clusters + slow - slow_clusters
        invalid = self._rng.binomial(np.maximum(requests - errors, 0), ours.invalid_rate)
        return Side(requests, errors, slow, invalid, error_clusters, slow_clusters)

    def _events(self, requests: Counts, rate: float) -> tuple[Counts, Counts]:
        if self._world.cluster == 1:
            events = self._rng.binomial(requests, rate)
            return events, events
        groups = self._rng.binomial(requests, rate / self._world.cluster)
        return self._world.cluster * groups, groups

    def paired(self, seconds: float, count: int) -> Labels:
        """Labels of requests that both score."""
        world = self._world
        labels = self._rng.poisson(world.labels_per_hour * seconds / _HOUR, count)
        both = min(world.shared_wrong * world.wrong_rate, self._candidate.wrong_rate)
        chances = [both, self._candidate.wrong_rate - both, world.wrong_rate - both]
        drawn = self._rng.multinomial(labels, [*chances, 1 - sum(chances)])
        return Labels(labels, drawn[:, 0] + drawn[:, 1], labels, drawn[:, 0] + drawn[:, 2])

    def split(self, share: float, seconds: float, count: int) -> Labels:
        """Labels of requests that one of them answers."""
        hour = self._world.labels_per_hour * seconds / _HOUR
        theirs, ours = self._rng.poisson(share * hour, count), self._rng.poisson((1 - share) * hour, count)
        return Labels(
            theirs,
            self._rng.binomial(theirs, self._candidate.wrong_rate),
            ours,
            self._rng.binomial(ours, self._world.wrong_rate),
        )


def lengths(seconds: float) -> list[float]:
    """How long each look lasts: often while much may happen, by the hour when a rollout goes on for days."""
    looks: list[float] = []
    at = 0.0
    for until, length in ((20 * _MINUTE, 10.0), (6 * _HOUR, _MINUTE), (48 * _HOUR, 10 * _MINUTE), (seconds, _HOUR)):
        end: Any = min(until, seconds)
        steps = max(round((end - at) / length), 0) if end > at else 0
        looks += [length] * steps
        at += steps * length
    return looks
