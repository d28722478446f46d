"""The rollouts' methods, the same on a home and over HTTP; each names its verb."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from homeostat.sdk.registry_bodies import checked_body
from homeostat.server.rollout_bodies import SimulateBody

Plain = dict[str, Any]
Progress = Callable[[str, float], None]
"""Called with what is simulated and how much of it is done, 0 to 1."""


class RolloutClient(Protocol):
    """`hs.connect(...).rollouts`.

    A `ref` is a rollout's id, or its model's name for the one that runs (else the newest). `actor` says who did it
    where no tokens are asked for; with tokens it is who the token says.
    """

    def start(
        self, version: str, *, plan: str = "", reason: str = "", actor: str = "person", force: bool = False
    ) -> Plain:
        """Roll out `NAME@4`; `plan` is a line like 'shadow >> canary(5, 25, 100)'  [default: the declared one]."""
        ...

    def list(self, *, model: str | None = None, state: str | None = None, limit: int = 100) -> list[Plain]:
        """Newest first."""
        ...

    def get(self, ref: str) -> Plain:
        """Where it stands, with the numbers of each guard."""
        ...

    def pause(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        """Nothing moves forward; the guards go on."""
        ...

    def resume(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain: ...

    def approve(self, ref: str, *, comment: str = "", actor: str = "person") -> Plain:
        """Agree at an approval step."""
        ...

    def promote(
        self, ref: str, *, full: bool = False, force: bool = False, reason: str = "", actor: str = "person"
    ) -> Plain:
        """Skip ahead: past this step, or (`full`) straight to the promotion; `force` overrules guards."""
        ...

    def abort(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        """End it; the stable version has all traffic again."""
        ...

    def split(
        self,
        model: str,
        weights: Mapping[int, float],
        *,
        reason: str = "",
        actor: str = "person",
        force: bool = False,
    ) -> Plain:
        """Send shares (per cent) of the traffic to versions by hand; the champion takes the rest."""
        ...

    def rates(self, model: str) -> Plain:
        """What the model's recorded traffic is like, as `simulate` takes it."""
        ...

    def simulate(
        self,
        plan: str = "",
        *,
        model: str = "",
        repetitions: int = 500,
        seed: int = 0,
        limit: float | None = None,
        progress: Progress | None = None,
        **world: float,
    ) -> Plain:
        """How often the plan rolls back a good version, and how soon it finds a bad one, on traffic like `world`.

        `model` takes what `world` does not say from the model's recorded traffic. The fields of a world:
        `homeostat rollout simulate --help`.
        """
        ...

    def follow(self, ref: str, *, every: float = 2.0, on_change: Callable[[Plain], None] | None = None) -> Plain:
        """Wait until it has ended; `on_change` hears of every step."""
        ...


class Following:
    """Waiting for a rollout, whoever answers `get`."""

    def get(self, ref: str) -> Plain:
        raise NotImplementedError

    def follow(self, ref: str, *, every: float = 2.0, on_change: Callable[[Plain], None] | None = None) -> Plain:
        seen = None
        found = self.get(ref)
        while True:
            if on_change is not None and (found["step"], found["state"]) != seen:
                on_change(found)
            seen = (found["step"], found["state"])
            if found["state"] != "running":
                return found
            time.sleep(every)
            found = self.get(found["id"])


def simulate_body(plan: str, said: dict[str, Any]) -> SimulateBody:
    """What is to be simulated, the rates of the world apart."""
    known = {key: said.pop(key) for key in ("model", "repetitions", "seed", "limit") if key in said}
    return checked_body(SimulateBody, plan=plan, world=said, **known)
