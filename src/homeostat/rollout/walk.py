"""The nouns of a plan that is being walked: the rollout, what it has learned, what people did to it."""

from typing import Any

import msgspec

from homeostat.rollout.arms import ArmQuality, new_arm_quality
from homeostat.rollout.guards import Guard, new_guard
from homeostat.rollout.losses import default_loss
from homeostat.rollout.memory import MemoryUse
from homeostat.rollout.paired import PairedLoss
from homeostat.rollout.stages import AB, Released, Shadow
from homeostat.rollout.types import Plan, Step

_COUNTS = ("requests", "rows", "errors", "rejected", "slow", "invalid")


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm did: calls, rows in them, and calls that went wrong in one way or another."""

    requests: int = 0
    rows: int = 0
    errors: int = 0
    rejected: int = 0
    slow: int = 0
    invalid: int = 0
    latency: tuple[int, ...] = ()
    """Answered calls by latency bucket."""

    def minus(self, before: "ArmCounts") -> "ArmCounts":
        padded = before.latency + (0,) * (len(self.latency) - len(before.latency))
        return ArmCounts(
            **{name: getattr(self, name) - getattr(before, name) for name in _COUNTS},
            latency=tuple(now - then for now, then in zip(self.latency, padded, strict=True)),
        )

    @property
    def asked(self) -> int:
        """Calls that were ours to answer: what the caller did wrong says nothing about the version."""
        return self.requests - self.rejected

    @property
    def answered(self) -> int:
        """Calls that were answered, be it with nonsense."""
        return self.asked - self.errors

    @property
    def failed(self) -> int:
        return self.errors + self.invalid

    @property
    def rows_per_call(self) -> float:
        return self.rows / self.requests if self.requests else 1.0


class SlowLimit(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a call counts as slow."""

    us: float
    bucket: int | None = None
    """Calls in latency buckets above this one are slow; None: the model declares its limit, and `slow` counts."""

    def of(self, counts: ArmCounts) -> int:
        """How many calls were slow."""
        return counts.slow if self.bucket is None else sum(counts.latency[self.bucket + 1 :])


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a rollout has learned so far."""

    quality: PairedLoss | None
    """On rows that both versions scored; None for a plan in which that never happens."""
    errors: Guard
    slow: Guard
    invalid: Guard | None = None
    arms: ArmQuality | None = None
    """On each arm's own rows; None for a plan that does not look at them."""
    memory: MemoryUse | None = None
    slow_limit: SlowLimit | None = None
    """What counts as slow from the last look on; None while too little is known of the stable arm's latency."""
    label_seq: int = 0
    """Labels up to here have been counted."""
    totals: dict[str, ArmCounts] | None = None
    """Traffic of the arms at the last look; None before the first."""
    stage_rows: int = 0
    """Rows that the candidate answered in this stage."""
    failed_in_a_row: int = 0
    """Calls of the candidate that all failed, up to the last look."""
    failed_since: int | None = None
    """Event time of the look before the first of them."""
    has_answered: bool = False
    """Whether the candidate has answered any call in this step."""
    split_since: int | None = None
    """Event time since which both arms answer: labels of earlier requests compare nothing."""
    unloaded_since: int | None = None
    """Event time since which workers say that they cannot load the candidate."""


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that let the rollout pass a step."""

    step: str
    by: str
    at: int
    comment: str = ""


class Overridden(msgspec.Struct, frozen=True, kw_only=True):
    """A test that a person overruled: it no longer rolls back."""

    test: str
    e_rollback: float
    by: str
    at: int
    reason: str = ""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What people did to a rollout, and what it was started with."""

    task: str = ""
    started_by: str = ""
    paused_at: int | None = None
    paused_by: str = ""
    approved: tuple[Approved, ...] = ()
    overridden: tuple[Overridden, ...] = ()
    promoted_at: int | None = None
    """When the candidate became the champion; the bake follows."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A plan being walked on an endpoint. Times are microseconds of event time."""

    id: str
    endpoint: str
    model: str
    candidate: int
    stable: int | None
    plan: Plan
    stage: int
    """Index into `plan.steps()`."""
    state: str
    """'running', 'promoted', 'rolled_back', 'held' or 'aborted'."""
    evidence: Evidence
    started_at: int
    stage_since: int
    ended_at: int | None
    reason: str
    cycle_id: str | None
    looks: int
    control: Control = Control()
    watch_until: int | None = None
    """After a promotion: until then the old version still scores along, and labels may roll back."""

    @property
    def step(self) -> Step:
        """Where it stands in its plan."""
        return self.plan.steps()[self.stage]

    @property
    def is_released(self) -> bool:
        """Whether the candidate is the champion, in the bake or after it."""
        return self.control.promoted_at is not None or self.state == "promoted"

    @property
    def stage_name(self) -> str:
        """'shadow', 'canary 5 %', or the state once it has ended."""
        if self.state != "running":
            return self.state
        return f"{self.step.name}, paused" if self.control.paused_at is not None else self.step.name


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a look or a person concluded, and the rollout as it is then."""

    action: str
    """'continue', 'advance', 'promote' (the candidate becomes the champion), 'complete' (the bake is over), 'rollback'
    or 'hold'; by hand also 'pause', 'resume', 'approve' and 'abort'."""
    reason: str
    numbers: dict[str, Any]
    rollout: Rollout


def new_evidence(plan: Plan, *, task: str = "binary", at: int = -1, label_seq: int = 0) -> Evidence:
    """What a rollout starts from: nothing known."""
    shadow = next((stage for stage in plan.stages if isinstance(stage, Shadow)), None)
    split = next((stage for stage in plan.stages if isinstance(stage, AB)), None)
    released = plan.released
    error_limit, slow_limit = (released.error_limit, released.slow_limit) if released else (0.02, 0.05)
    tests = plan.tests
    return Evidence(
        quality=PairedLoss(margin=shadow.margin if shadow else 0.10) if "paired quality" in tests else None,
        errors=new_guard(margin=2.0, limit=error_limit, at=at),
        slow=new_guard(margin=1.5, limit=slow_limit, at=at),
        invalid=new_guard(margin=2.0, limit=error_limit, at=at),
        arms=_arm_quality(released, split, task, at) if "arm quality" in tests else None,
        memory=MemoryUse(limit=released.memory) if released and released.memory else None,
        label_seq=label_seq,
    )


def _arm_quality(released: Released | None, split: AB | None, task: str, at: int) -> ArmQuality:
    if split is None:
        return new_arm_quality(default_loss(task), margin=0.0, at=at)
    default = "squared_error" if task == "regression" else "wrong"
    assert released is not None  # an A/B is one
    return new_arm_quality(split.metric or default, margin=split.margin, at=at)
