import msgspec
import numpy as np
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Conflict, NotFound
from homeostat.rollout.begin import start_rollout
from homeostat.rollout.controller import look
from homeostat.rollout.observed import Observation
from homeostat.rollout.routing import weights
from homeostat.rollout.stopping import stop_rollout
from homeostat.rollout.store import (
    get_rollout,
    list_rollouts,
    rollout_of_cycle,
    running_rollout,
    save_decision,
)
from homeostat.rollout.types import Plan, canary, shadow
from homeostat.rollout.walk import ArmCounts, Rollout, SlowLimit
from homeostat.store.database import Database
from homeostat.store.events import list_events

PLAN = shadow() >> canary(5, 25, 100)
START = 100 * DAY
LIMIT = SlowLimit(us=50_000)
"""A model that declares what is slow; its traffic counts such calls itself."""


class Pairs(msgspec.Struct, kw_only=True):
    """What the monitoring room would hand over."""

    label_at: np.ndarray
    y: np.ndarray
    score_stable: np.ndarray
    score_candidate: np.ndarray


class World:
    """An endpoint with traffic of 40 calls an hour, split as the rollout wants it; labels follow in the same hour."""

    def __init__(
        self, *, quality: str = "same", error_rate: float = 0.0, stable_errors: float = 0.0, seed: int = 0
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.quality = quality
        self.rates = {1: stable_errors, 2: error_rate}
        self.totals = {}
        self.labels = 0

    def hours(self, rollout: Rollout, now: int, hours: int = 6) -> Observation:
        """The observation after some hours of the routing that the rollout wants."""
        routing = weights(rollout)
        for arm in routing["arms"]:
            self._serve(arm["version"], arm["arm"], 40 * hours * arm["weight"] // 10_000)
        for version in routing["shadows"]:
            self._serve(version, "shadow", 40 * hours)
        pairs = self._pairs(now, hours) if routing["shadows"] else None
        return Observation(now=now, label_seq=self.labels, paired=pairs, traffic=dict(self.totals), slow_limit=LIMIT)

    def _serve(self, version: int, arm: str, calls: int) -> None:
        before = self.totals.get((version, arm), ArmCounts())
        self.totals[(version, arm)] = ArmCounts(
            requests=before.requests + calls,
            rows=before.rows + calls,
            errors=before.errors + int(self.rng.binomial(calls, self.rates[version])),
        )

    def _pairs(self, now: int, hours: int) -> Pairs:
        rows = 40 * hours
        self.labels += rows
        logit = self.rng.normal(-1.2, 1.2, rows)
        y = (self.rng.uniform(size=rows) < 1 / (1 + np.exp(-logit))).astype(float)
        stable = 1 / (1 + np.exp(-(logit + 0.3 * self.rng.normal(size=rows))))
        candidate = 1 / (1 + np.exp(-(logit + 0.3 * self.rng.normal(size=rows))))
        if self.quality == "shuffled":
            candidate = np.full(rows, 0.25)
        return Pairs(
            label_at=now - hours * HOUR + np.arange(rows) * hours * HOUR // rows,
            y=y,
            score_stable=stable,
            score_candidate=candidate,
        )


def begin(
    database: Database,
    plan: Plan = PLAN,
    *,
    cycle: str = "c1",
    candidate: int = 2,
    stable: int | None = 1,
    endpoint: str = "m",
) -> Rollout:
    with database.write() as conn:
        return start_rollout(
            conn,
            endpoint=endpoint,
            model="m",
            candidate=candidate,
            stable=stable,
            plan=plan,
            cycle_id=cycle,
            at=START,
            actor="test",
        )


def walk(database: Database, world: World, rollout: Rollout, *, looks: int = 80, hours: int = 6) -> Rollout:
    """Look every six hours, each time from what the database holds, until the rollout ends."""
    now = rollout.started_at
    for _ in range(looks):
        now += hours * HOUR
        with database.write() as conn:
            current = get_rollout(conn, rollout.id)
            rollout = save_decision(conn, look(current, world.hours(current, now, hours), task="binary"), at=now)
        if rollout.state != "running":
            break
    return rollout


def told(database: Database) -> list[tuple[str, str]]:
    with database.read() as conn:
        return [(event.kind, event.data["stage"]) for event in list_events(conn, subject="m")]


def test_an_equally_good_candidate_walks_the_whole_plan(database: Database) -> None:
    ended = walk(database, World(), begin(database))
    assert ended.state == "promoted", ended.reason
    assert told(database) == [
        ("rollout.started", "shadow"),
        ("rollout.advanced", "canary 5 %"),
        ("rollout.advanced", "canary 25 %"),
        ("rollout.promoted", "bake"),
        ("rollout.completed", "promoted"),
    ]
    assert ended.ended_at is not None and 2 * DAY < ended.ended_at - START < 10 * DAY
    assert weights(ended) == {
        "arms": [{"version": 2, "weight": 10_000, "arm": "stable"}],
        "shadows": [1],
        "shadow_share": 500,
    }
    with database.read() as conn:
        promoted = list_events(conn, kinds=("rollout.promoted",))[0]
    assert promoted.data["numbers"]["errors"]["e_promote"] >= 20
    assert promoted.data["numbers"]["quality"]["labels"] >= 300


def test_a_candidate_with_shuffled_labels_ends_in_shadow(database: Database) -> None:
    ended = walk(database, World(quality="shuffled"), begin(database))
    assert (ended.state, ended.stage) == ("rolled_back", 0)
    assert "loss" in ended.reason and "e = " in ended.reason
    assert told(database)[-1] == ("rollout.rolled_back", "rolled_back")
    assert weights(ended) == {
        "arms": [{"version": 1, "weight": 10_000, "arm": "stable"}],
        "shadows": [],
        "shadow_share": 10_000,
    }


def test_a_candidate_that_fails_in_the_canary_is_rolled_back(sqlite_database: Database) -> None:
    ended = walk(sqlite_database, World(error_rate=0.3), begin(sqlite_database, canary(25, 100)), hours=1)
    assert ended.state == "rolled_back" and "fails in" in ended.reason
    assert ended.ended_at is not None and ended.ended_at - START <= DAY


def test_a_candidate_that_only_fails_blows_the_fuse_even_in_shadow(sqlite_database: Database) -> None:
    ended = walk(sqlite_database, World(error_rate=1.0), begin(sqlite_database))
    assert (ended.state, ended.looks) == ("rolled_back", 2)  # the first look only learns where the counters stand
    assert "calls of the candidate failed" in ended.reason


def test_an_outage_of_both_versions_blows_no_fuse(sqlite_database: Database) -> None:
    rollout = walk(sqlite_database, World(error_rate=1.0, stable_errors=1.0), begin(sqlite_database), looks=4)
    assert rollout.state == "running"


def test_no_data_is_never_success(sqlite_database: Database) -> None:
    rollout = begin(sqlite_database)
    empty = Observation(now=START + 13 * DAY, label_seq=0, paired=None, traffic={})
    assert look(rollout, empty, task="binary").action == "continue"
    held = look(rollout, msgspec.structs.replace(empty, now=START + 14 * DAY), task="binary")
    assert (held.action, held.rollout.state) == ("hold", "held")
    assert "undecided in shadow" in held.reason
    eager = begin(sqlite_database, shadow(undecided="promote"), cycle="c2", endpoint="other")
    assert look(eager, msgspec.structs.replace(empty, now=START + 14 * DAY), task="binary").action == "hold"
    in_canary = begin(sqlite_database, canary(5, 100), cycle="c3", endpoint="third")
    assert look(in_canary, msgspec.structs.replace(empty, now=START + 13 * DAY), task="binary").action == "continue"


@pytest.mark.parametrize(
    ("undecided", "action", "state"),
    [("hold", "hold", "held"), ("rollback", "rollback", "rolled_back"), ("promote", "advance", "running")],
)
def test_what_happens_undecided_at_the_horizon_is_the_plans_choice(
    sqlite_database: Database, undecided: str, action: str, state: str
) -> None:
    plan = shadow(margin=0.01, min_labels=20, horizon="1d", undecided=undecided) >> canary(5, 100)
    world, rollout = World(), begin(sqlite_database, plan)
    decision = look(rollout, world.hours(rollout, START + DAY), task="binary")
    assert (decision.action, decision.rollout.state) == (action, state)


def test_each_weight_needs_its_requests_and_its_time(sqlite_database: Database) -> None:
    rollout = begin(sqlite_database, canary(5, 50, 100, min_requests=50, min_time="12h"))
    first = look(rollout, traffic(START, 0), task="binary").rollout
    many_early = look(first, traffic(START + HOUR, 500), task="binary")
    few_late = look(first, traffic(START + DAY, 49), task="binary")
    enough = look(first, traffic(START + DAY, 50), task="binary")
    assert [one.action for one in (many_early, few_late, enough)] == ["continue", "continue", "advance"]
    assert (enough.rollout.stage, enough.rollout.stage_since) == (1, START + DAY)
    # The count begins anew at the next weight, and the last step wants evidence that errors and slowness are no danger.
    again = look(enough.rollout, traffic(START + 2 * DAY, 60), task="binary")
    unproven = look(enough.rollout, traffic(START + 2 * DAY, 150), task="binary")
    proven = look(enough.rollout, traffic(START + 2 * DAY, 450), task="binary")
    assert [one.action for one in (again, unproven, proven)] == ["continue", "continue", "promote"]
    assert proven.rollout.stage_name == "bake" and proven.rollout.is_released


def traffic(now: int, candidate: int, errors: int = 0) -> Observation:
    arms = {
        (1, "stable"): ArmCounts(requests=10 * candidate, rows=10 * candidate),
        (2, "canary"): ArmCounts(requests=candidate, rows=candidate, errors=errors),
    }
    return Observation(now=now, label_seq=0, paired=None, traffic=arms, slow_limit=LIMIT)


def test_calls_refused_for_the_callers_fault_do_not_count_against_a_version(sqlite_database: Database) -> None:
    rollout = begin(sqlite_database, canary(5, 100))
    rollout = look(rollout, traffic(START, 0), task="binary").rollout
    seen = traffic(START + HOUR, 300)
    seen.traffic[(2, "canary")] = ArmCounts(requests=300, rows=300, rejected=300)
    after = look(rollout, seen, task="binary")
    assert after.action == "continue"
    assert after.rollout.evidence.errors.requests_candidate == 0


def test_the_routing_follows_the_stage(sqlite_database: Database) -> None:
    rollout = begin(sqlite_database)
    assert weights(rollout) == {
        "arms": [{"version": 1, "weight": 10_000, "arm": "stable"}],
        "shadows": [2],
        "shadow_share": 10_000,
    }
    in_canary = msgspec.structs.replace(rollout, stage=2)
    assert weights(in_canary) == {
        "arms": [{"version": 1, "weight": 7500, "arm": "stable"}, {"version": 2, "weight": 2500, "arm": "canary"}],
        "shadows": [],
        "shadow_share": 10_000,
    }


def test_the_first_version_is_promoted_at_once(database: Database) -> None:
    rollout = begin(database, stable=None, candidate=1)
    assert (rollout.state, rollout.reason, rollout.ended_at) == ("promoted", "first version", START)
    assert weights(rollout)["arms"] == [{"version": 1, "weight": 10_000, "arm": "stable"}]
    assert begin(database, stable=None, candidate=1) == rollout
    assert told(database) == [("rollout.promoted", "promoted")]


def test_a_cycle_starts_its_rollout_once_and_an_endpoint_has_one_at_a_time(database: Database) -> None:
    rollout = begin(database)
    assert begin(database) == rollout
    with pytest.raises(Conflict, match=r"version 2 \(shadow\)"):
        begin(database, cycle="c2", candidate=3)
    with pytest.raises(Conflict, match="in service"):
        begin(database, cycle="c3", candidate=1, endpoint="other")
    with database.read() as conn:
        assert running_rollout(conn, "m") == rollout_of_cycle(conn, "c1") == rollout
        assert running_rollout(conn, "other") is None
        assert rollout_of_cycle(conn, "c2") is None
    assert told(database) == [("rollout.started", "shadow")]


def test_an_aborted_rollout_makes_room_for_the_next(database: Database) -> None:
    rollout = begin(database)
    with database.write() as conn:
        aborted = stop_rollout(conn, "m", at=START + HOUR, actor="ada", reason="wrong data")
        assert stop_rollout(conn, "m", at=START + DAY, actor="ada", reason="again") is None
    assert aborted is not None
    assert (aborted.state, aborted.reason, aborted.ended_at) == ("aborted", "wrong data", START + HOUR)
    following = begin(database, cycle="c2", candidate=3)
    with database.read() as conn:
        assert {one.id for one in list_rollouts(conn)} == {rollout.id, following.id}
        assert [one.id for one in list_rollouts(conn, endpoint="m", state="running")] == [following.id]
        with pytest.raises(NotFound):
            get_rollout(conn, "missing")
    assert told(database)[1] == ("rollout.aborted", "aborted")


def test_a_look_at_a_rollout_that_moved_meanwhile_is_not_saved(database: Database) -> None:
    rollout = begin(database)
    decision = look(rollout, World().hours(rollout, START + HOUR), task="binary")
    with database.write() as conn:
        save_decision(conn, decision, at=START + HOUR)
    with pytest.raises(Conflict, match="moved meanwhile"), database.write() as conn:
        save_decision(conn, decision, at=START + HOUR)
    with database.read() as conn:
        assert get_rollout(conn, rollout.id) == decision.rollout


def test_decisions_from_persisted_evidence_are_the_same_bit_for_bit(database: Database) -> None:
    """One rollout walks in memory, the other through the database at every look, as after a crash."""
    stored = begin(database)
    kept = stored
    one, other = World(seed=3, stable_errors=0.01, error_rate=0.01), World(seed=3, stable_errors=0.01, error_rate=0.01)
    for step in range(1, 30):
        now = START + 6 * step * HOUR
        kept = look(kept, one.hours(kept, now), task="binary").rollout
        with database.write() as conn:
            stored = get_rollout(conn, stored.id)
            save_decision(conn, look(stored, other.hours(stored, now), task="binary"), at=now)
            stored = get_rollout(conn, stored.id)
        assert stored == kept
        if kept.state != "running":
            break
    assert kept.stage > 0


def test_a_look_that_was_lost_in_a_crash_loses_no_traffic(sqlite_database: Database) -> None:
    rollout = begin(sqlite_database, canary(50, 100))
    rollout = look(rollout, traffic(START, 0), task="binary").rollout
    lost = look(rollout, traffic(START + HOUR, 100, errors=1), task="binary")
    assert lost.action == "continue"
    after = look(rollout, traffic(START + 2 * HOUR, 200, errors=3), task="binary").rollout.evidence
    assert (after.errors.bad_candidate, after.errors.requests_candidate, after.stage_rows) == (3, 200, 200)
