"""What a rollout wants an endpoint to do."""

from typing import TypedDict

from homeostat.rollout.walk import Rollout

FULL = 10_000
REVERSE_SHARE = 500
"""After the bake the version before scores this part of the requests: 5 %, for labels that come late."""


class ArmWeight(TypedDict):
    """A version, its weight (0 to 10,000) and its role."""

    version: int
    weight: int
    arm: str


class Routing(TypedDict):
    """What an endpoint has to do at a step."""

    arms: list[ArmWeight]
    shadows: list[int]
    shadow_share: int
    """Parts of 10,000 of the requests that they score."""


def weights(rollout: Rollout) -> Routing:
    """The routing that a rollout wants now: arms with weights that add up to 10,000, and versions that only look on."""
    if rollout.stable is None:
        return _all_to(rollout.candidate)
    if rollout.state == "promoted":
        if rollout.watch_until is None:
            return _all_to(rollout.candidate)
        return _all_to(rollout.candidate, shadows=[rollout.stable], shadow_share=REVERSE_SHARE)
    if rollout.state != "running":
        return _all_to(rollout.stable)
    step = rollout.step
    if step.weight == 100:
        return _all_to(rollout.candidate, shadows=[rollout.stable] if step.looks_on else [])
    if not step.weight:
        return _all_to(rollout.stable, shadows=[rollout.candidate] if step.looks_on else [])
    canary = step.weight * FULL // 100
    stable = ArmWeight(version=rollout.stable, weight=FULL - canary, arm="stable")
    arms = [stable, ArmWeight(version=rollout.candidate, weight=canary, arm="canary")]
    return Routing(arms=arms, shadows=[], shadow_share=FULL)


def _all_to(version: int, *, shadows: list[int] | None = None, shadow_share: int = FULL) -> Routing:
    arm = ArmWeight(version=version, weight=FULL, arm="stable")
    return Routing(arms=[arm], shadows=shadows or [], shadow_share=shadow_share)
