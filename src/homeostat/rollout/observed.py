"""From what a look saw to the evidence with it added."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy.typing as npt

from homeostat.rollout.guards import Guard
from homeostat.rollout.walk import ArmCounts, Evidence, Rollout, SlowLimit


class Pairs(Protocol):
    """Labelled rows that both versions scored, in the order in which their labels came in (arrays of one length)."""

    @property
    def label_at(self) -> npt.ArrayLike: ...
    @property
    def y(self) -> npt.ArrayLike: ...
    @property
    def score_stable(self) -> npt.ArrayLike: ...
    @property
    def score_candidate(self) -> npt.ArrayLike: ...


class ArmLabels(Protocol):
    """Labelled rows that either arm answered, in the order in which their labels came in."""

    @property
    def label_at(self) -> npt.ArrayLike: ...
    @property
    def y(self) -> npt.ArrayLike: ...
    @property
    def score(self) -> npt.ArrayLike: ...
    @property
    def is_candidate(self) -> npt.ArrayLike: ...


class Traffic(Protocol):
    """Growing totals of one version in one role; the counts are those of `ArmCounts`."""

    @property
    def requests(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def slow(self) -> int: ...
    @property
    def invalid(self) -> int: ...


Totals = Mapping[tuple[int, str], Traffic]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a look sees."""

    now: int
    label_seq: int
    """The labels up to here are in `paired` and `arms`."""
    paired: Any = None
    """`Pairs`: those whose label came after the rollout's `evidence.label_seq`; None when there are none."""
    arms: Any = None
    """`ArmLabels`: likewise, of requests since `evidence.split_since`."""
    traffic: Any
    """`Totals` by (version, arm) since any fixed time before the rollout's start. The look takes the difference to the
    last one, so that a look lost in a crash loses no evidence."""
    slow_limit: SlowLimit | None = None
    """What is to count as slow from the next look on."""
    memory: int | None = None
    """Bytes that the candidate added to a worker; None while nobody can say."""
    load_failure: str = ""
    """Why a worker cannot load the candidate."""


def observed(rollout: Rollout, observation: Observation, task: str) -> Evidence:
    """The evidence with this observation added."""
    evidence, step = rollout.evidence, rollout.step
    totals = arm_totals(rollout, observation.traffic)
    came = _came(evidence.totals, totals)
    candidate, control = _sides(came, weight=step.weight, looks_on=step.looks_on)
    seen = _Look(candidate, control, at=observation.now, is_answered=step.weight > 0)
    return msgspec.structs.replace(
        evidence,
        quality=_quality_seen(evidence, observation, task),
        arms=_arms_seen(evidence, observation, task),
        errors=seen.errors(evidence.errors),
        invalid=evidence.invalid and seen.invalid(evidence.invalid),
        slow=seen.slow(evidence.slow, evidence.slow_limit),
        slow_limit=observation.slow_limit or evidence.slow_limit,
        memory=evidence.memory and evidence.memory.seen(observation.memory),
        label_seq=max(observation.label_seq, evidence.label_seq),
        totals=totals,
        stage_rows=evidence.stage_rows + candidate.rows,
        unloaded_since=_unloaded_since(evidence.unloaded_since, observation),
        **_failures(evidence, candidate, control, observation.now),
    )


def arm_totals(rollout: Rollout, traffic: Totals) -> dict[str, ArmCounts]:
    """The totals of each version in each role that it may have in this rollout."""
    roles = {
        "stable": (rollout.stable, "stable"),
        "canary": (rollout.candidate, "canary"),
        "shadow": (rollout.candidate, "shadow"),
        "whole": (rollout.candidate, "stable"),
        "behind": (rollout.stable, "shadow"),
    }
    return {role: _counts(traffic, key) for role, key in roles.items()}


def _counts(traffic: Any, key: tuple[int | None, str]) -> ArmCounts:
    found = traffic.get(key)
    if found is None:
        return ArmCounts()
    counts = {name: int(getattr(found, name)) for name in ArmCounts.__struct_fields__ if name != "latency"}
    return ArmCounts(**counts, latency=tuple(getattr(found, "latency", ())))


def _came(before: dict[str, ArmCounts] | None, totals: dict[str, ArmCounts]) -> dict[str, ArmCounts]:
    known = before or {}  # the first look only learns where the counters stand
    return {role: counts.minus(known.get(role, counts)) for role, counts in totals.items()}


def _sides(came: dict[str, ArmCounts], *, weight: int, looks_on: bool) -> tuple[ArmCounts, ArmCounts]:
    """What the candidate did, and what it is held against."""
    if weight == 100:  # in the bake it answers everything, and the old version scores along
        return came["whole"], came["behind"]
    if weight:
        return came["canary"], came["stable"]
    return (came["shadow"] if looks_on else ArmCounts()), came["stable"]


class _Look:
    """What both sides did since the last look, for one guard after the other."""

    def __init__(self, candidate: ArmCounts, control: ArmCounts, *, at: int, is_answered: bool) -> None:
        self._candidate = candidate
        self._control = control
        self._at = at
        self._is_answered = is_answered

    def errors(self, guard: Guard) -> Guard:
        ours, theirs = self._candidate, self._control
        return self._seen(guard, (ours.errors, ours.asked), (theirs.errors, theirs.asked))

    def invalid(self, guard: Guard) -> Guard:
        ours, theirs = self._candidate, self._control
        return self._seen(guard, (ours.invalid, ours.answered), (theirs.invalid, theirs.answered))

    def slow(self, guard: Guard, limit: SlowLimit | None) -> Guard:
        ours, theirs = self._candidate, self._control
        if limit is None:
            return guard
        if not self._is_answered:  # what scores along scores alone: no fair comparison of latency
            return guard.watched(limit.of(theirs), theirs.answered, at=self._at)
        return self._seen(guard, (limit.of(ours), ours.answered), (limit.of(theirs), theirs.answered))

    def _seen(self, guard: Guard, ours: tuple[int, int], theirs: tuple[int, int]) -> Guard:
        return guard.seen(
            *ours,
            *theirs,
            at=self._at,
            rows_per_call=self._candidate.rows_per_call,
            is_answered=self._is_answered,
        )


def _quality_seen(evidence: Evidence, observation: Observation, task: str) -> Any:
    if evidence.quality is None or observation.paired is None:
        return evidence.quality
    pairs: Pairs = observation.paired
    return evidence.quality.seen(task, pairs.label_at, pairs.y, pairs.score_stable, pairs.score_candidate)


def _arms_seen(evidence: Evidence, observation: Observation, task: str) -> Any:
    if evidence.arms is None or observation.arms is None:
        return evidence.arms
    labels: ArmLabels = observation.arms
    return evidence.arms.seen(task, labels.label_at, labels.y, labels.score, labels.is_candidate)


def _failures(evidence: Evidence, candidate: ArmCounts, control: ArmCounts, now: int) -> dict[str, Any]:
    """How many calls in a row failed, and since when."""
    has_answered = evidence.has_answered or candidate.failed < candidate.asked
    if not candidate.asked:
        return {}
    if candidate.failed < candidate.asked or 2 * control.failed > control.asked > 0:
        # An answer, or both fail: an outage, not the candidate.
        return {"failed_in_a_row": 0, "failed_since": None, "has_answered": has_answered}
    since = now if evidence.failed_since is None else evidence.failed_since
    return {"failed_in_a_row": evidence.failed_in_a_row + candidate.asked, "failed_since": since}


def _unloaded_since(before: int | None, observation: Observation) -> int | None:
    if not observation.load_failure:
        return None
    return observation.now if before is None else before
