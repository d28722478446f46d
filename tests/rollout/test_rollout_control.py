"""Every kind of step, every guard, and what people may do: on the rules alone, with numbers made up."""

from typing import Any

import msgspec
import numpy as np
import pytest

from homeostat.ground.clock import DAY, HOUR, MINUTE, SECOND
from homeostat.ground.errors import Conflict, Invalid, Refused
from homeostat.rollout import control
from homeostat.rollout.begin import start_rollout
from homeostat.rollout.controller import look, look_back
from homeostat.rollout.observed import Observation
from homeostat.rollout.routing import weights
from homeostat.rollout.stopping import stop_rollout
from homeostat.rollout.store import (
    end_watches,
    get_rollout,
    last_rollout,
    open_rollouts,
    save_decision,
    table,
)
from homeostat.rollout.summary import summary
from homeostat.rollout.types import Plan, ab, blue_green, canary, shadow
from homeostat.rollout.walk import ArmCounts, Decision, Evidence, Rollout, SlowLimit, new_evidence
from homeostat.store.database import Database
from homeostat.store.events import list_events

START = 100 * DAY
LIMIT = SlowLimit(us=50_000)
QUICK = canary(50, 100, min_requests=20, min_time="1min", bake="10min", reverse_shadow="0s")


class Steps:
    """A rollout that is looked at in memory, every look a stretch of traffic after the one before."""

    def __init__(self, plan: Plan, *, task: str = "binary") -> None:
        self.task = task
        self.now = START
        self.totals: dict[tuple[int, str], ArmCounts] = {}
        evidence = msgspec.structs.replace(
            new_evidence(plan, task=task, at=START), split_since=START if plan.steps()[0].weight else None
        )
        self.rollout = Rollout(
            id="r", endpoint="m", model="m", candidate=2, stable=1, plan=plan, stage=0, state="running",
            evidence=evidence, started_at=START, stage_since=START, ended_at=None, reason="", cycle_id=None, looks=0,
        )  # fmt: skip
        self.look(0, {})

    def look(self, span: int, traffic: dict[tuple[int, str], dict[str, int]], **seen: Any) -> Decision:
        """A look after `span` microseconds at which the arms did this, on top of before."""
        self.now += span
        for key, more in traffic.items():
            before = msgspec.structs.asdict(self.totals.get(key, ArmCounts()))
            counts = {"rows": more.get("requests", 0)} | more
            self.totals[key] = ArmCounts(**{name: value + counts.get(name, 0) for name, value in before.items()
                                            if name != "latency"})  # fmt: skip
        observation = Observation(
            now=self.now, label_seq=0, traffic=dict(self.totals), **({"slow_limit": LIMIT} | seen)
        )
        back = self.rollout.state == "promoted"
        decision = (look_back if back else look)(self.rollout, observation, task=self.task)
        self.rollout = decision.rollout
        return decision

    def canary(self, count: int = 100, span: int = 10 * SECOND, **bad: int) -> Decision:
        """As many requests on each arm of a canary, some of the candidate's bad."""
        return self.look(span, {(1, "stable"): {"requests": count}, (2, "canary"): {"requests": count} | bad})

    def promoted(self) -> "Steps":
        """Walked to the promotion."""
        while self.rollout.stage_name != "bake":
            assert self.canary(span=MINUTE).action in {"continue", "advance", "promote"}
        return self

    def bake(self, count: int = 100, span: int = 10 * SECOND, shadow: int | None = None, **bad: int) -> Decision:
        behind = count if shadow is None else shadow
        arms = {(2, "stable"): {"requests": count} | bad, (1, "shadow"): {"requests": behind}}
        return self.look(span, arms)


def test_each_guard_rolls_back_for_its_own_kind_of_bad_event() -> None:
    for bad, name in (("errors", "errors"), ("invalid", "invalid"), ("slow", "slow")):
        steps = Steps(QUICK)
        for _ in range(12):
            decision = steps.canary(**{bad: 30})
            if decision.action == "rollback":
                break
        assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", name), decision
        numbers = decision.numbers
        assert [test for test in ("errors", "invalid", "slow") if numbers[test]["says"] == "worse"] == [name]


def test_a_guard_that_is_off_does_not_roll_back_and_need_not_be_safe() -> None:
    steps = Steps(canary(50, 100, min_requests=20, min_time="1min", bake="0s", guards=("errors",)))
    for _ in range(20):
        decision = steps.canary(slow=60, invalid=60)
        if decision.action != "continue":
            break
    assert decision.action == "promote"


def test_a_model_of_which_no_latency_is_known_is_not_called_safe() -> None:
    steps = Steps(QUICK)
    steps.rollout = msgspec.structs.replace(
        steps.rollout, evidence=msgspec.structs.replace(steps.rollout.evidence, slow_limit=None)
    )
    arms = {(1, "stable"): {"requests": 50}, (2, "canary"): {"requests": 50}}
    for _ in range(60):
        decision = steps.look(MINUTE, arms, slow_limit=None)
    assert (decision.action, steps.rollout.evidence.slow.requests_candidate) == ("continue", 0)
    assert decision.numbers["errors"]["says"] == "safe" and decision.numbers["slow"]["says"] == "open"


def test_slow_is_counted_from_the_latency_buckets_by_the_limit_of_the_look_before() -> None:
    steps = Steps(QUICK)
    fast, slow = (10, 0, 0, 0), (0, 0, 0, 10)
    own = SlowLimit(us=100.0, bucket=1)

    def arms(number: int) -> dict[tuple[int, str], ArmCounts]:
        return {
            (1, "stable"): ArmCounts(requests=10 * number, latency=tuple(number * count for count in fast)),
            (2, "canary"): ArmCounts(requests=10 * number, latency=tuple(number * count for count in slow)),
        }

    for number in range(1, 4):
        observation = Observation(now=START + number * 20 * SECOND, label_seq=0, traffic=arms(number), slow_limit=own)
        steps.rollout = look(steps.rollout, observation, task="binary").rollout
    guard = steps.rollout.evidence.slow
    # The first of these looks still counted by the limit that the model declared before.
    assert (guard.bad_candidate, guard.bad_stable) == (20, 0)


def test_a_candidate_that_never_answers_goes_after_five_calls_and_a_client_that_retries_does_not_look_like_it() -> None:
    dead = Steps(QUICK)
    assert dead.canary(4, errors=4).action == "continue"
    decision = dead.canary(1, errors=1)
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "fuse")
    retried = Steps(QUICK)
    retried.canary(50, span=2 * SECOND)
    assert retried.canary(6, span=2 * SECOND, errors=6).action == "continue"
    assert retried.canary(19, span=2 * SECOND, errors=19).action == "rollback"
    late = Steps(QUICK)
    late.canary(50, span=2 * SECOND)
    late.canary(3, span=2 * SECOND, errors=3)
    assert late.canary(3, span=21 * SECOND, errors=3).reason.startswith("fuse")


def test_memory_over_the_limit_twice_rolls_back_and_nobody_to_ask_does_not() -> None:
    plan = canary(50, 100, memory="100MB")
    steps = Steps(plan)
    assert steps.look(SECOND, {}, memory=150_000_000).action == "continue"
    assert steps.look(SECOND, {}, memory=50_000_000).action == "continue"
    assert steps.look(SECOND, {}, memory=None).action == "continue"
    assert steps.look(SECOND, {}, memory=150_000_000).action == "continue"
    decision = steps.look(SECOND, {}, memory=160_000_000)
    assert (decision.action, decision.reason) == (
        "rollback",
        "memory: the candidate added 160MB to a worker, the limit is 100MB",
    )
    assert "memory" not in summary(Steps(QUICK).rollout)


def test_a_candidate_that_no_worker_can_load_goes_after_half_a_minute() -> None:
    steps = Steps(QUICK)
    assert steps.look(SECOND, {}, load_failure="no such file").action == "continue"
    assert steps.look(20 * SECOND, {}, load_failure="").action == "continue"
    assert steps.look(SECOND, {}, load_failure="no such file").action == "continue"
    decision = steps.look(31 * SECOND, {}, load_failure="no such file")
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "loading")


def test_blue_green_swaps_only_what_was_seen_to_work() -> None:
    steps = Steps(blue_green(min_requests=50, bake="10min"))
    assert weights(steps.rollout) == {
        "arms": [{"version": 1, "weight": 10_000, "arm": "stable"}],
        "shadows": [2],
        "shadow_share": 10_000,
    }
    both = {(1, "stable"): {"requests": 40}, (2, "shadow"): {"requests": 40}}
    assert steps.look(SECOND, both).action == "continue"
    decision = steps.look(SECOND, both)
    assert (decision.action, decision.rollout.stage_name, decision.rollout.is_released) == ("promote", "bake", True)
    assert weights(decision.rollout) == {
        "arms": [{"version": 2, "weight": 10_000, "arm": "stable"}],
        "shadows": [1],
        "shadow_share": 10_000,
    }
    faulty = Steps(blue_green(min_requests=50))
    assert faulty.look(SECOND, both | {(2, "shadow"): {"requests": 80, "errors": 3}}).action == "continue"
    idle = Steps(blue_green(horizon="1h"))
    held = idle.look(HOUR, {})
    assert (held.action, held.rollout.state) == ("hold", "held")


def test_the_bake_ends_when_its_time_is_over_and_something_was_asked() -> None:
    steps = Steps(QUICK).promoted()
    assert steps.look(20 * MINUTE, {}).action == "continue"  # no data is never success
    decision = steps.bake(5)
    assert (decision.action, decision.rollout.state, decision.rollout.watch_until) == ("complete", "promoted", None)
    assert weights(decision.rollout)["shadows"] == []


def test_in_the_bake_errors_have_to_be_over_the_limit_and_more_than_the_old_versions() -> None:
    worse = Steps(QUICK).promoted()
    for _ in range(30):
        decision = worse.bake(errors=20)
        if decision.action != "continue":
            break
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "errors")
    assert weights(decision.rollout)["arms"] == [{"version": 1, "weight": 10_000, "arm": "stable"}]
    few = Steps(QUICK).promoted()
    for _ in range(40):
        assert few.bake(errors=1).action == "continue"  # 1 %, the limit is 2 %
    outage = Steps(QUICK).promoted()
    for _ in range(40):
        arms = {(2, "stable"): {"requests": 100, "errors": 20}, (1, "shadow"): {"requests": 100, "errors": 20}}
        assert outage.look(10 * SECOND, arms).action == "continue"


def test_in_the_bake_latency_is_held_against_what_the_old_versions_was() -> None:
    steps = Steps(QUICK).promoted()
    for _ in range(30):
        decision = steps.bake(slow=30)
        if decision.action != "continue":
            break
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "slow")


class Rows(msgspec.Struct, kw_only=True):
    """Labels as monitoring hands them over."""

    label_at: Any
    y: Any
    score: Any = None
    is_candidate: Any = None
    score_stable: Any = None
    score_candidate: Any = None


def arm_rows(rng: np.random.Generator, at: int, wrong: tuple[float, float], count: int = 200) -> Rows:
    """Labels of an hour, half of them of either arm's own requests, with so many wrong answers."""
    theirs = np.arange(count) % 2 == 1
    is_wrong = rng.uniform(size=count) < np.where(theirs, wrong[1], wrong[0])
    y = (rng.uniform(size=count) < 0.5).astype(float)
    return Rows(label_at=np.full(count, at), y=y, score=np.where(is_wrong, 1 - y, y) * 0.8 + 0.1, is_candidate=theirs)


@pytest.mark.parametrize(
    ("plan", "wrong", "ends"),
    [
        (ab(50, horizon="30d", bake="0s"), (0.2, 0.12), "promote"),
        (ab(50, horizon="30d", bake="0s"), (0.2, 0.3), "rollback"),
        (ab(50, metric="log_loss", horizon="30d", bake="0s"), (0.2, 0.1), "promote"),
        (ab(50, metric="brier", horizon="30d", bake="0s"), (0.2, 0.35), "rollback"),
        (ab(50, margin=0.25, horizon="30d", bake="0s"), (0.2, 0.2), "promote"),
        (ab(50, horizon="3d", bake="0s"), (0.2, 0.2), "hold"),
    ],
)
def test_an_a_b_is_decided_by_its_metric_or_held(plan: Plan, wrong: tuple[float, float], ends: str) -> None:
    rng, steps = np.random.default_rng(7), Steps(plan)
    for _ in range(24 * 30):
        rows = arm_rows(rng, steps.now, wrong)
        arms = {(1, "stable"): {"requests": 100}, (2, "canary"): {"requests": 100}}
        decision = steps.look(HOUR, arms, arms=rows)
        if decision.action != "continue":
            break
    assert decision.action == ends, decision
    if ends != "hold":
        assert decision.numbers["arm_quality"]["says"] == {"promote": "safe", "rollback": "worse"}[ends]


def test_late_labels_roll_a_canary_back() -> None:
    rng, steps = np.random.default_rng(8), Steps(canary(50, 100, min_time="30d", horizon="60d"))
    for _ in range(24 * 20):
        arms = {(1, "stable"): {"requests": 100}, (2, "canary"): {"requests": 100}}
        decision = steps.look(HOUR, arms, arms=arm_rows(rng, steps.now, (0.1, 0.3)))
        if decision.action != "continue":
            break
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "quality")


def test_regressions_and_classes_are_judged_by_losses_they_have() -> None:
    rng = np.random.default_rng(9)
    steps = Steps(ab(50, metric="absolute_error", horizon="60d", bake="0s"), task="regression")
    for _ in range(24 * 30):
        theirs = np.arange(100) % 2 == 1
        y = rng.normal(size=100)
        rows = Rows(label_at=np.full(100, steps.now), y=y, is_candidate=theirs,
                    score=y + rng.normal(size=100) * np.where(theirs, 2.0, 1.0))  # fmt: skip
        decision = steps.look(HOUR, {(1, "stable"): {"requests": 50}, (2, "canary"): {"requests": 50}}, arms=rows)
        if decision.action != "continue":
            break
    assert decision.action == "rollback"
    three = Steps(shadow(min_labels=50), task="multiclass")
    for _ in range(24 * 10):
        y = rng.integers(0, 3, 100).astype(float)
        candidate = np.where(rng.uniform(size=100) < 0.4, (y + 1) % 3, y)
        rows = Rows(label_at=np.full(100, three.now), y=y, score_candidate=candidate,
                    score_stable=np.where(rng.uniform(size=100) < 0.2, (y + 1) % 3, y))  # fmt: skip
        decision = three.look(HOUR, {(1, "stable"): {"requests": 100}, (2, "shadow"): {"requests": 100}}, paired=rows)
        if decision.action != "continue":
            break
    assert (decision.action, decision.reason.partition(":")[0]) == ("rollback", "quality")


def begin(database: Database, plan: Plan, *, candidate: int = 2, **more: Any) -> Rollout:
    with database.write() as conn:
        return start_rollout(
            conn, endpoint="m", model="m", candidate=candidate, stable=1, plan=plan, cycle_id=None, at=START,
            actor="ada", **more,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "task"),
    [
        (ab(50, metric="log_loss"), "regression"),
        (ab(50, metric="squared_error"), "binary"),
        (ab(50, metric="brier"), "multiclass"),
    ],
)
def test_an_a_b_by_a_loss_that_the_model_does_not_have_is_refused(
    sqlite_database: Database, plan: Plan, task: str
) -> None:
    with pytest.raises(Invalid, match="cannot be decided") as caught:
        begin(sqlite_database, plan, task=task)
    assert caught.value.field == "metric"


def said(database: Database, decide: Any, *, at: int = START + HOUR, actor: str = "ada") -> Rollout:
    """A person's word, kept."""
    with database.write() as conn:
        rollout = last_rollout(conn, "m")
        assert rollout is not None
        return save_decision(conn, decide(rollout), at=at, actor=actor)


def test_a_pause_counts_for_no_minimum_and_no_horizon_and_the_guards_go_on(database: Database) -> None:
    begin(database, canary(50, 100, min_requests=20, min_time="1h", horizon="2h"))
    said(database, lambda found: control.pause(found, now=START + HOUR, actor="ada", reason="lunch"))
    with database.read() as conn:
        paused = last_rollout(conn, "m")
    assert paused is not None and paused.stage_name == "canary 50 %, paused"
    steps = Steps(paused.plan)
    steps.rollout = msgspec.structs.replace(paused, evidence=steps.rollout.evidence)
    steps.now = START + HOUR
    assert steps.canary(200, span=5 * HOUR).action == "continue"  # past every minimum and the horizon
    resumed = control.resume(steps.rollout, now=START + 6 * HOUR, reason="").rollout
    assert (resumed.stage_since, resumed.control.paused_at) == (START + 5 * HOUR, None)
    with pytest.raises(Conflict, match="not paused"):
        control.resume(resumed, now=START + 6 * HOUR, reason="")
    failing = Steps(QUICK)
    failing.rollout = control.pause(failing.rollout, now=START, actor="ada", reason="").rollout
    for _ in range(12):
        decision = failing.canary(errors=30)
        if decision.action == "rollback":
            break
    assert decision.action == "rollback"


def test_an_approval_waits_for_a_word_and_keeps_who_gave_it(database: Database) -> None:
    begin(database, shadow(approve=True) >> canary(5, 100))
    with pytest.raises(Conflict, match="waits for no approval"):
        said(database, lambda found: control.approve(found, now=START + HOUR, actor="bob", comment=""))
    said(database, lambda found: control.promote(found, now=START + HOUR, actor="ada", reason="labels are late"))
    with database.read() as conn:
        waiting = last_rollout(conn, "m")
    assert waiting is not None and waiting.stage_name == "approval"
    assert weights(waiting)["shadows"] == [2]
    nothing = Observation(now=START + 6 * DAY, label_seq=0, traffic={})
    assert look(waiting, nothing, task="binary").action == "continue"
    held = look(waiting, msgspec.structs.replace(nothing, now=START + 8 * DAY), task="binary")
    assert (held.action, held.reason) == ("hold", "undecided in approval after 7d")
    approved = said(
        database, lambda found: control.approve(found, now=START + DAY, actor="bob", comment="go"), actor="bob"
    )
    assert approved.stage_name == "canary 5 %"
    assert [(word.step, word.by, word.comment) for word in approved.control.approved] == [
        ("shadow", "ada", "labels are late"),
        ("approval", "bob", "go"),
    ]
    with database.read() as conn:
        last = list_events(conn, subject="m")[-1]
    assert (last.kind, last.actor, last.reason) == ("rollout.advanced", "bob", "approved by bob: go")


def test_a_promotion_past_a_guard_that_leans_needs_force_and_overrules_it() -> None:
    steps = Steps(QUICK)
    while True:  # an e-value over 20, below what rolls back
        decision = steps.canary(40, invalid=1)
        assert decision.action == "continue", decision
        if decision.numbers["invalid"]["e_rollback"] >= 20:
            break
    with pytest.raises(Refused, match=r"guards lean against m@2: invalid \(e = "):
        control.promote(steps.rollout, now=steps.now, actor="ada", reason="")
    forced = control.promote(steps.rollout, now=steps.now, actor="ada", reason="known", to_the_end=True, force=True)
    assert (forced.action, forced.rollout.stage_name) == ("promote", "bake")
    assert [(item.test, item.by, item.reason) for item in forced.rollout.control.overridden] == [
        ("invalid", "ada", "known")
    ]
    assert forced.reason == "promoted by ada, overruling invalid: known"
    steps.rollout = forced.rollout
    for _ in range(30):
        assert steps.bake(invalid=30).action == "continue"  # overruled
    for _ in range(30):
        decision = steps.bake(errors=30)
        if decision.action == "rollback":
            break
    assert decision.action == "rollback"  # the others were not


def test_a_held_rollout_is_promoted_by_force_alone(database: Database) -> None:
    begin(database, canary(5, 100, horizon="1h"))
    held = said(
        database, lambda found: look(found, Observation(now=START + HOUR, label_seq=0, traffic={}), task="binary")
    )
    assert held.state == "held"
    with pytest.raises(Conflict, match="is over: held"):
        said(database, lambda found: control.promote(found, now=START + DAY, actor="ada", reason=""))
    promoted = said(
        database,
        lambda found: control.promote(found, now=START + DAY, actor="ada", reason="", to_the_end=True, force=True),
    )
    assert (promoted.state, promoted.stage_name) == ("running", "bake")
    with database.read() as conn:
        assert open_rollouts(conn) == [(promoted.id, "running")]


def test_an_abort_in_the_bake_gives_the_stable_version_everything_back(database: Database) -> None:
    begin(database, canary(5, 100))
    said(database, lambda found: control.promote(found, now=START, actor="ada", reason="", to_the_end=True))
    aborted = said(
        database, lambda found: control.abort(found, now=START + HOUR, actor="bob", reason="no"), actor="bob"
    )
    assert aborted.state == "aborted"
    assert weights(aborted) == {
        "arms": [{"version": 1, "weight": 10_000, "arm": "stable"}],
        "shadows": [],
        "shadow_share": 10_000,
    }
    with pytest.raises(Conflict, match="is over: aborted"):
        said(database, lambda found: control.abort(found, now=START + HOUR, actor="bob", reason="again"))


def test_the_old_version_looks_on_after_the_bake_and_late_labels_take_it_back() -> None:
    plan = canary(50, 100, min_requests=20, min_time="1min", bake="10min")  # and 7 days of reverse shadow, by default
    steps = Steps(plan).promoted()
    done = steps.bake(50, span=11 * MINUTE)
    assert (done.action, done.rollout.state) == ("complete", "promoted")
    assert done.rollout.watch_until == steps.now + 7 * DAY
    routing = weights(done.rollout)
    assert (routing["shadows"], routing["shadow_share"]) == ([1], 500)
    rng = np.random.default_rng(3)
    for _ in range(24 * 6):
        y = (rng.uniform(size=100) < 0.5).astype(float)
        stable, candidate = (np.where(rng.uniform(size=100) < wrong, 1 - y, y) * 0.8 + 0.1 for wrong in (0.1, 0.3))
        rows = Rows(label_at=np.full(100, steps.now), y=y, score_stable=stable, score_candidate=candidate)
        decision = steps.look(HOUR, {(2, "stable"): {"requests": 100}, (1, "shadow"): {"requests": 100}}, paired=rows)
        if decision.action != "continue":
            break
    assert (decision.action, decision.rollout.state) == ("rollback", "rolled_back")
    assert decision.reason.startswith("quality:")
    quiet = Steps(plan).promoted()
    quiet.bake(50, span=11 * MINUTE)
    let_go = quiet.look(8 * DAY, {})
    assert (let_go.action, let_go.rollout.state, let_go.rollout.watch_until) == ("unwatch", "promoted", None)


def test_another_rollout_ends_the_watch_over_the_last_promotion(database: Database) -> None:
    rollout = begin(database, canary(5, 100))
    with database.write() as conn:
        conn.execute(table.update().values(state="promoted", watch_until=START + DAY))
        assert [found for found, _ in open_rollouts(conn)] == [rollout.id]
    following = begin(database, canary(5, 100), candidate=3)
    with database.read() as conn:
        assert [found for found, _ in open_rollouts(conn)] == [following.id]
        assert get_rollout(conn, rollout.id).watch_until is None
    with database.write() as conn:
        end_watches(conn, "m")
        assert stop_rollout(conn, "m", at=START, actor="ada", reason="x") is not None


def test_a_rollout_of_before_is_read_and_goes_on(database: Database) -> None:
    """Rows that were written before there were bakes, approvals and guards for nonsense."""
    rollout = begin(database, shadow() >> canary(5, 25, 100))
    old_plan = {
        "stages": [
            {"kind": "shadow", "horizon": DAY, "undecided": "hold", "min_labels": 300, "margin": 0.1},
            {"kind": "canary", "horizon": DAY, "undecided": "hold", "weights": [5, 25, 100], "min_requests": 100,
             "min_time": HOUR, "error_limit": 0.02, "slow_limit": 0.05},
        ]
    }  # fmt: skip
    ratios = {"r0": 1.0, "ratios": [1.25, 1.5, 2.0, 3.0, 5.0, 10.0], "logs": [0.1] * 6}
    guard = {
        "worse": ratios,
        "near": {"r0": 2.0, "ratios": [0.8, 1.0, 1.25], "logs": []},
        "below": {"limit": 0.02, "fractions": [0.01, 0.125, 0.25, 0.5], "logs": []},
        "bad_candidate": 0, "requests_candidate": 0, "bad_stable": 1, "requests_stable": 900, "looks": [[1, 900]],
    }  # fmt: skip
    counts = {"requests": 5, "rows": 5, "errors": 0, "rejected": 0, "slow": 0, "invalid": 0}
    old = {
        "quality": {"margin": 0.1, "worse": [0.0] * 3, "near": [0.0] * 2, "rows": 3, "batches": 0, "loss_stable": 0.0,
                    "loss_candidate": 0.0, "hour": 4, "open_rows": 3, "open_stable": 0.4, "open_candidate": 0.5},
        "errors": guard, "slow": guard, "label_seq": 7, "stage_rows": 5, "failed_in_a_row": 0,
        "totals": {"stable": counts, "canary": counts, "shadow": counts},
    }  # fmt: skip
    with database.write() as conn:
        conn.execute(table.update().values(plan=old_plan, evidence=old, control={}))
        found = get_rollout(conn, rollout.id)
    assert isinstance(found.evidence, Evidence) and found.evidence.label_seq == 7
    assert [step.name for step in found.plan.steps()] == ["shadow", "canary 5 %", "canary 25 %"]
    arms = {(1, "stable"): ArmCounts(requests=105, rows=105), (2, "shadow"): ArmCounts(requests=105, rows=105)}
    decision = look(found, Observation(now=START + HOUR, label_seq=9, traffic=arms, slow_limit=LIMIT), task="binary")
    assert (decision.action, decision.rollout.evidence.errors.requests_candidate) == ("continue", 100)
