"""The numbers a decision rests on, for people: what `homeostat why` and the pages show."""

import math
from typing import Any

from homeostat.rollout.evidence import PROMOTE_AT, shown
from homeostat.rollout.verdicts import rate_guards, rate_rollback_at
from homeostat.rollout.walk import Rollout


def summary(rollout: Rollout) -> dict[str, Any]:
    """Each guard's numbers; e-values are capped at 1e9."""
    numbers: dict[str, Any] = {}
    evidence, plan = rollout.evidence, rollout.plan
    if (quality := evidence.quality) is not None:
        numbers["quality"] = {
            "labels": quality.rows,
            "batches": quality.batches,
            "loss_difference": _rounded(quality.relative_difference),
            "margin": quality.margin,
            **_tested(quality.log_e_rollback, quality.log_e_promote, plan.rollback_at("paired quality")),
        }
    if (arms := evidence.arms) is not None:
        numbers["arm_quality"] = {
            "loss": arms.loss,
            "candidate": [round(arms.cost_candidate, 4), arms.labels_candidate],
            "stable": [round(arms.cost_stable, 4), arms.labels_stable],
            "loss_difference": _rounded(arms.relative_difference),
            **_tested(arms.log_e_rollback, arms.log_e_promote, plan.rollback_at("arm quality")),
        }
    for name, guard in rate_guards(evidence).items():
        numbers[name] = {
            "candidate": [guard.bad_candidate, guard.requests_candidate],
            "stable": [guard.bad_stable, guard.requests_stable],
            **_tested(guard.log_e_rollback, guard.log_e_promote, rate_rollback_at(rollout, name, guard)),
        }
    if evidence.slow_limit is not None:
        numbers["slow"]["over_us"] = round(evidence.slow_limit.us)
    if (memory := evidence.memory) is not None:
        numbers["memory"] = {"added": memory.added, "most": memory.most, "limit": memory.limit}
    return numbers


def _tested(log_e_rollback: float, log_e_promote: float, rollback_at: float) -> dict[str, Any]:
    return {
        "e_rollback": shown(log_e_rollback),
        "rollback_at": round(rollback_at, 1),
        "e_promote": shown(log_e_promote),
        "says": _says(log_e_rollback, log_e_promote, rollback_at),
    }


def _says(log_e_rollback: float, log_e_promote: float, rollback_at: float) -> str:
    if log_e_rollback >= math.log(rollback_at):
        return "worse"
    return "safe" if log_e_promote >= math.log(PROMOTE_AT) else "open"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
