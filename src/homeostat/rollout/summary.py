"""The numbers a decision rests on, for people: what `homeostat why` and the pages show."""

import math
from typing import Any

from homeostat.ground.clock import SECOND
from homeostat.rollout.evidence import PROMOTE_AT, shown
from homeostat.rollout.guards import Guard
from homeostat.rollout.verdicts import rate_guards, rate_rollback_at
from homeostat.rollout.walk import Rollout

_Z = 1.96


def summary(rollout: Rollout) -> dict[str, Any]:
    """Each guard's numbers; e-values are capped at 1e9."""
    numbers: dict[str, Any] = {}
    evidence, plan = rollout.evidence, rollout.plan
    elapsed = max(evidence.errors.last - rollout.started_at, 0) / SECOND
    if (quality := evidence.quality) is not None:
        numbers["quality"] = {
            "labels": quality.rows,
            "batches": quality.batches,
            "loss_difference": _rounded(quality.relative_difference),
            "margin": quality.margin,
            **_tested(quality.log_e_rollback, quality.log_e_promote, plan.rollback_at("paired quality"), elapsed),
        }
    if (arms := evidence.arms) is not None:
        numbers["arm_quality"] = {
            "loss": arms.loss,
            "candidate": [round(arms.cost_candidate, 4), arms.labels_candidate],
            "stable": [round(arms.cost_stable, 4), arms.labels_stable],
            "loss_difference": _rounded(arms.relative_difference),
            **_tested(arms.log_e_rollback, arms.log_e_promote, plan.rollback_at("arm quality"), elapsed),
        }
    for name, guard in rate_guards(evidence).items():
        numbers[name] = _of_guard(guard, rate_rollback_at(rollout, name, guard), elapsed)
    if evidence.slow_limit is not None:
        numbers["slow"]["over_us"] = round(evidence.slow_limit.us)
    if (memory := evidence.memory) is not None:
        numbers["memory"] = {"added": memory.added, "most": memory.most, "limit": memory.limit}
    return numbers


def interval(bad: int, requests: int) -> list[float] | None:
    """The 95 % interval of a rate (Wilson, JASA 1927); None without requests.

    >>> interval(0, 100), interval(0, 0)
    ([0.0, 0.03699], None)
    """
    if not requests:
        return None
    rate, spread = bad / requests, _Z**2 / requests
    middle = (rate + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(rate * (1 - rate) / requests + spread / (4 * requests)) / (1 + spread)
    return [round(max(middle - half, 0.0), 5), round(min(middle + half, 1.0), 5)]


def _of_guard(guard: Guard, rollback_at: float, elapsed: float) -> dict[str, Any]:
    return {
        "candidate": [guard.bad_candidate, guard.requests_candidate],
        "stable": [guard.bad_stable, guard.requests_stable],
        "interval": interval(guard.bad_candidate, guard.requests_candidate),
        **_tested(guard.log_e_rollback, guard.log_e_promote, rollback_at, elapsed),
    }


def _tested(log_e_rollback: float, log_e_promote: float, rollback_at: float, elapsed: float) -> dict[str, Any]:
    return {
        "e_rollback": shown(log_e_rollback),
        "rollback_at": round(rollback_at, 1),
        "e_promote": shown(log_e_promote),
        "promote_at": PROMOTE_AT,
        "says": _says(log_e_rollback, log_e_promote, rollback_at),
        "seconds_left": _seconds_left(log_e_promote, elapsed),
    }


def _seconds_left(log_e_promote: float, elapsed: float) -> float | None:
    """How long until it is shown to be safe, if evidence goes on growing as it did; None when it does not grow."""
    wanted = math.log(PROMOTE_AT)
    if not 0 < log_e_promote < wanted or not elapsed:
        return None
    return round(elapsed * (wanted / log_e_promote - 1))


def _says(log_e_rollback: float, log_e_promote: float, rollback_at: float) -> str:
    if log_e_rollback >= math.log(rollback_at):
        return "worse"
    return "safe" if log_e_promote >= math.log(PROMOTE_AT) else "open"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
