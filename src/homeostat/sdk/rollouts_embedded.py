"""The rollouts of a home that is opened in this process."""

from collections.abc import Mapping
from typing import Any

from homeostat.ground.refs import parse_model_ref
from homeostat.sdk.registry_bodies import checked_body
from homeostat.sdk.rollouts import Following, Plain, Progress, simulate_body
from homeostat.server.rollout_bodies import SkipBody, SplitBody, StartBody, WordBody
from homeostat.server.rollouts import Rollouts, simulated


class EmbeddedRollouts(Following):
    """The methods on a home that is opened in this process. A rollout moves while a server of this home runs."""

    def __init__(self, verbs: Rollouts) -> None:
        self._verbs = verbs

    def start(self, version: str, **said: Any) -> Plain:
        model, number = parse_model_ref(version)
        return self._verbs.start(checked_body(StartBody, model=model, version=number, **said))

    def list(self, *, model: str | None = None, state: str | None = None, limit: int = 100) -> list[Plain]:
        return self._verbs.list(model=model, state=state, limit=limit)

    def get(self, ref: str) -> Plain:
        return self._verbs.get(ref)

    def pause(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.pause(ref, WordBody(reason=reason, actor=actor))

    def resume(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.resume(ref, WordBody(reason=reason, actor=actor))

    def approve(self, ref: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._verbs.approve(ref, WordBody(reason=comment, actor=actor))

    def promote(self, ref: str, **said: Any) -> Plain:
        return self._verbs.promote(ref, checked_body(SkipBody, **said))

    def abort(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.abort(ref, WordBody(reason=reason, actor=actor))

    def split(self, model: str, weights: Mapping[int, float], **said: Any) -> Plain:
        return self._verbs.split(model, checked_body(SplitBody, weights=dict(weights), **said))

    def rates(self, model: str) -> Plain:
        return self._verbs.rates(model)

    def simulate(self, plan: str = "", *, progress: Progress | None = None, **said: Any) -> Plain:
        return self._verbs.simulate(simulate_body(plan, said), progress=progress)


def simulate_here(plan: str = "", *, progress: Progress | None = None, **said: Any) -> Plain:
    """A simulation that needs no home: with rates that are given, not recorded."""
    return simulated(simulate_body(plan, said), progress=progress)
