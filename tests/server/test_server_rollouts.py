"""Rollouts by hand, on a home and over HTTP: started, steered, refused; tokens; simulation."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from running_server import Running
from sklearn.linear_model import LinearRegression, LogisticRegression

import homeostat as hs
from homeostat.cli.main import cli
from homeostat.ground.errors import Conflict, Invalid, NotFound, Refused
from homeostat.ground.records import Label, PredictionBatch
from homeostat.loop.engine import Engine
from homeostat.monitoring.labels import record_labels
from homeostat.monitoring.record import record_batches
from homeostat.sdk.client import Client

X = np.random.default_rng(0).normal(size=(60, 2))
FRAME = pd.DataFrame(X, columns=["a", "b"])


def late(seed: float = 0.0) -> LogisticRegression:
    return LogisticRegression(C=1.0 + seed).fit(FRAME, X[:, 0] > 0)


class Place:
    """A home with `late@1` in service and `late@2` registered, its server, and a client one way or the other."""

    def __init__(self, server: Running, client: Client) -> None:
        self.server, self.service = server, server.service
        self.client, self.rollouts = client, client.rollouts
        client.registry.register(late(), "late")
        client.registry.register(late(1.0), "late")
        client.registry.promote("late@1", "champion", reason="first")

    def endpoint(self) -> Any:
        return self.client.model("late")["endpoint"]

    def events(self) -> list[tuple[str, str, str]]:
        found = self.service.events(0, 1000)
        return [(one["kind"], one["actor"], one["reason"]) for one in found if one["kind"].startswith("rollout.")]

    def served(self, version: int, arm: str, count: int, *, scores: list[float] | None = None, **more: Any) -> None:
        """As if a worker had logged so many answers."""
        now = self.service.clock.now()
        batches = [
            PredictionBatch(
                endpoint="late", model="late", version=version, arm=arm, status=more.get("status", "ok"),
                request_ids=[f"{arm}{version}-{now}-{number}"], times=[now], received=now, latency_us=500,
                scores=[(scores or [0.6])[number % len(scores or [0.6])]] if more.get("status", "ok") == "ok" else [],
            )
            for number in range(count)
        ]  # fmt: skip
        with self.service.database.write() as conn:
            record_batches(conn, batches, bins={}, slow_us={})

    @property
    def engine(self) -> Engine:
        service = self.service
        return Engine(service.database, service.blobs, service.settings, service.clock)

    def look(self) -> list[str]:
        return self.engine.look_at_rollouts()


@pytest.fixture(params=["embedded", "remote"])
def place(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Iterator[Place]:
    server = start()
    home = str(server.service.settings.home_path)
    client = hs.connect(home) if request.param == "embedded" else hs.connect(url=server.url)
    yield Place(server, client)
    client.close()


def test_any_registered_version_is_rolled_out_and_steered(place: Place) -> None:
    started = place.rollouts.start("late@2", plan="canary(10, 50, 100)", reason="try it", actor="ada")
    assert (started["state"], started["step"], started["candidate"], started["stable"]) == (
        "running",
        "canary 10 %",
        2,
        1,
    )
    assert started["plan"] == "canary(10, 50, 100)" and started["started_by"] == "ada"
    assert [(arm["version"], arm["weight"], arm["arm"]) for arm in place.endpoint()["arms"]] == [
        (1, 9000, "stable"),
        (2, 1000, "canary"),
    ]
    assert place.client.model("late")["challenger"] == 2
    assert place.rollouts.pause("late", actor="ada")["paused_by"] == "ada"
    assert place.rollouts.resume(started["id"])["paused_by"] is None
    assert place.rollouts.promote("late", reason="enough seen", actor="bob")["step"] == "canary 50 %"
    baking = place.rollouts.promote("late", actor="bob")
    assert (baking["step"], baking["routing"]["shadows"]) == ("bake", [1])
    assert (place.client.model("late")["champion"], place.client.model("late")["challenger"]) == (2, None)
    assert place.rollouts.promote("late")["state"] == "promoted"
    assert (list(place.endpoint()["shadows"]), place.endpoint()["shadow_share"]) == ([1], 500)  # the reverse shadow
    assert [kind for kind, _, _ in place.events()] == [
        "rollout.started",
        "rollout.paused",
        "rollout.resumed",
        "rollout.advanced",
        "rollout.promoted",
        "rollout.completed",
    ]
    assert ("rollout.advanced", "bob", "promoted by bob: enough seen") in place.events()
    move = place.client.registry.history("late", alias="champion")[-1]
    assert (move["kind"], move["actor"], move["evidence"]["rollout"]) == ("promote", "bob", started["id"])
    assert move["evidence"]["approved_by"] == ["bob", "bob"]
    assert [found["id"] for found in place.rollouts.list(model="late")] == [started["id"]]
    assert place.rollouts.list(state="running") == []


def test_without_a_plan_it_is_shadow_then_canary_and_the_first_version_goes_in_at_once(place: Place) -> None:
    assert place.rollouts.start("late@2")["plan"] == "shadow >> canary(5, 25, 100)"
    assert list(place.endpoint()["shadows"]) == [2]
    aborted = place.rollouts.abort("late", reason="no")
    assert (aborted["state"], aborted["reason"]) == ("aborted", "no")
    assert not place.endpoint()["shadows"]
    place.client.registry.register(late(), "fresh")
    first = place.rollouts.start("fresh@1")
    assert (first["state"], first["reason"]) == ("promoted", "first version")
    assert place.client.model("fresh")["champion"] == 1


def test_an_abort_in_the_bake_and_a_rollback_of_the_model_both_take_the_champion_back(place: Place) -> None:
    place.rollouts.start("late@2", plan="canary(5, 100)")
    place.rollouts.promote("late", full=True)
    place.rollouts.abort("late", actor="ada", reason="hm")
    assert place.client.model("late")["champion"] == 1
    assert [arm["version"] for arm in place.endpoint()["arms"]] == [1]
    place.rollouts.start("late@2", plan="canary(5, 100)")
    place.rollouts.promote("late", full=True)
    place.client.rollback("late", reason="at once")
    assert place.client.model("late")["champion"] == 1
    assert place.rollouts.get("late")["state"] == "aborted"
    assert [arm["version"] for arm in place.endpoint()["arms"]] == [1]
    moves = [
        (row["from_version"], row["to_version"]) for row in place.client.registry.history("late", alias="champion")
    ]
    assert moves == [(None, 1), (1, 2), (2, 1), (1, 2), (2, 1)]


def test_what_cannot_be_is_refused_by_name(place: Place) -> None:
    rollouts = place.rollouts
    with pytest.raises(NotFound, match="9"):
        rollouts.start("late@9")
    with pytest.raises(NotFound):
        rollouts.start("nobody@1")
    with pytest.raises(Conflict, match="in service"):
        rollouts.start("late@1")
    with pytest.raises(Invalid, match="does not grow to 100") as caught:
        rollouts.start("late@2", plan="canary(5)")
    assert caught.value.field == "canary"
    with pytest.raises(Invalid, match="cannot be read"):
        rollouts.start("late@2", plan="import os")
    with pytest.raises(Invalid, match="cannot be decided by 'squared_error'"):
        rollouts.start("late@2", plan='ab(50, metric="squared_error")')
    with pytest.raises(NotFound, match="has no rollout"):
        rollouts.get("late")
    with pytest.raises(NotFound):
        rollouts.pause("0" * 32)
    place.client.registry.register(LinearRegression().fit(FRAME, X[:, 0]), "late")
    with pytest.raises(Refused, match="cannot take the place"):
        rollouts.start("late@3")
    assert rollouts.start("late@3", force=True, plan="canary(5, 100)")["step"] == "canary 5 %"
    with pytest.raises(Conflict, match=r"a rollout of version 3 \(canary 5 %\) is running"):
        rollouts.start("late@2")
    with pytest.raises(Conflict, match="waits for no approval"):
        rollouts.approve("late")
    with pytest.raises(Invalid, match="no state"):
        rollouts.list(state="odd")
    with pytest.raises(Invalid, match="limit"):
        rollouts.list(limit=0)
    assert [kind for kind, _, _ in place.events()] == ["rollout.started"]


def test_a_look_of_the_engine_moves_what_was_seen_and_takes_nothing_from_before_the_start(place: Place) -> None:
    place.served(1, "stable", 300)
    place.served(2, "canary", 50, status="error")  # of an earlier rollout: no evidence in this one
    place.rollouts.start("late@2", plan='canary(50, 100, min_requests=50, min_time="1ms", bake="1ms")')
    assert place.look() == []
    place.served(1, "stable", 300)
    place.served(2, "canary", 300)
    place.look()
    [moved] = place.look() or place.look() or [""]
    found = place.rollouts.get("late")
    assert found["step"] == "bake", (moved, found["numbers"])
    assert found["numbers"]["errors"]["candidate"] == [0, 0]  # the bake counts anew
    evidence = place.client.registry.history("late", alias="champion")[-1]["evidence"]["numbers"]
    assert evidence["errors"]["candidate"] == [0, 300]
    place.served(2, "stable", 30)
    [done] = place.look()
    assert done.startswith("late@2 promoted")


def test_a_bad_candidate_is_rolled_back_by_the_engine_and_told_to_the_outside(place: Place) -> None:
    place.served(1, "stable", 100)
    place.rollouts.start("late@2", plan="canary(50, 100)")
    place.served(1, "stable", 100)
    place.served(2, "canary", 30, status="error")
    [moved] = place.look()
    assert moved == "late@2 rolled_back: fuse: the last 30 calls of the candidate failed"
    why = place.client.why("late")
    assert why["rollouts"][-1]["reason"].startswith("fuse:")
    assert why["rollouts"][-1]["numbers"]["errors"]["candidate"] == [30, 30]
    with place.service.database.read() as conn:
        topics = [row.topic for row in conn.exec_driver_sql("select topic from outbox")]
    assert "rollout.rolled_back" in topics


def test_after_the_bake_the_old_version_looks_on_until_its_time_is_over_or_somebody_moves_on(place: Place) -> None:
    plan = 'canary(50, 100, bake="1ms", reverse_shadow="{span}")'
    for span, ends in (("1ms", True), ("7d", False)):
        place.rollouts.start("late@2", plan=plan.format(span=span))
        place.rollouts.promote("late", full=True)
        place.served(2, "stable", 5)
        place.look()
        watched = place.rollouts.get("late")
        assert (watched["state"], watched["watch_until"] is not None) == ("promoted", True)
        assert list(place.endpoint()["shadows"]) == [1]
        assert place.look() == []  # that is for the loop's next tick
        place.engine.tick()
        assert (place.rollouts.get("late")["watch_until"] is None) == ends
        assert bool(place.endpoint()["shadows"]) != ends
        place.client.rollback("late")
        assert place.client.model("late")["champion"] == 1 and not place.endpoint()["shadows"]
        place.engine.tick()
        assert place.rollouts.get("late")["watch_until"] is None


def test_trouble_with_one_model_does_not_keep_another_from_being_rolled_back(place: Place) -> None:
    for number in range(2):
        place.client.registry.register(late(number), "early")
    place.client.registry.promote("early@1", "champion")
    place.rollouts.start("early@2", plan="canary(50, 100)")
    place.rollouts.start("late@2", plan="canary(50, 100)")
    with place.service.database.write() as conn:
        conn.exec_driver_sql("update rollout_rollouts set evidence = '{}' where model = 'early'")
    place.served(2, "canary", 30, status="error")
    with pytest.raises(msgspec.ValidationError):
        place.look()
    with place.service.database.read() as conn:
        states = conn.exec_driver_sql("select state from rollout_rollouts where model = 'late'").scalars().all()
    assert states == ["rolled_back"]


def test_shares_are_set_by_hand_where_no_rollout_is_under_way(place: Place) -> None:
    split = place.rollouts.split("late", {2: 12.5}, reason="a look", actor="ada")
    assert [(arm["version"], arm["weight"], arm["arm"]) for arm in split["arms"]] == [
        (1, 8750, "stable"),
        (2, 1250, "canary"),
    ]
    for weights in ({1: 10}, {2: 0}, {2: 100}, {2: -5}):
        with pytest.raises(Invalid, match="cannot be given"):
            place.rollouts.split("late", weights)
    with pytest.raises(NotFound):
        place.rollouts.split("late", {7: 10})
    assert len(place.rollouts.split("late", {})["arms"]) == 1
    place.rollouts.start("late@2")
    with pytest.raises(Conflict, match="sets the weights"):
        place.rollouts.split("late", {2: 10})


def test_rates_are_those_of_the_recorded_traffic(place: Place) -> None:
    with pytest.raises(Conflict, match="answered nothing"):
        place.rollouts.rates("late")
    place.served(1, "stable", 190)
    place.served(1, "stable", 10, status="error")
    now = place.service.clock.now()
    with place.service.database.write() as conn:
        ids = conn.exec_driver_sql("select request_id from monitoring_outcomes order by request_id").scalars().all()
        told = [Label(request_id=name, value=float(number % 4 > 0), at=now) for number, name in enumerate(ids[:100])]
        record_labels(conn, "late", told, recorded=now)
    rates = place.rollouts.rates("late")
    assert rates["error_rate"] == pytest.approx(0.05)
    assert rates["requests_per_minute"] == pytest.approx(200 / 60, rel=0.01)
    assert rates["labels_per_hour"] == 100 and rates["wrong_rate"] == pytest.approx(0.25)
    found = place.rollouts.simulate("canary(10, 100)", model="late", repetitions=20, limit=10, cluster=2)
    assert found["world"]["error_rate"] == pytest.approx(0.05) and found["world"]["cluster"] == 2
    assert found["results"][0]["candidate"]["name"] == "as good"


def test_a_simulation_that_cannot_be_names_its_field(place: Place) -> None:
    for said, field in (
        ({"error_rate": 2.0}, "error_rate"),
        ({"luck": 1.0}, "luck"),
        ({"cluster": 0}, "cluster"),
        ({"repetitions": 0}, "repetitions"),
        ({"limit": -1.0}, "limit"),
    ):
        with pytest.raises(Invalid) as caught:
            place.rollouts.simulate("canary(5, 100)", **said)
        assert field in (caught.value.field, *str(caught.value).split("`")) or field in str(caught.value)
    with pytest.raises(NotFound):
        place.rollouts.simulate(model="nobody")


def test_deploying_needs_the_permission_and_reading_needs_the_project(guarded: Running) -> None:
    local = hs.connect(str(guarded.service.settings.home_path))
    Place(guarded, local)
    reader = guarded.make_token("reader", permissions=("read",))
    other = guarded.make_token("other", permissions=("read", "deploy"), projects=["elsewhere"])
    deployer = guarded.make_token("deployer", permissions=("read", "deploy"), projects=["late"])
    body = {"model": "late", "version": 2, "plan": "canary(5, 100)", "actor": "somebody else"}
    assert guarded.call("POST", "/api/rollouts", reader, json=body).status_code == 403
    assert guarded.call("POST", "/api/rollouts", other, json=body).status_code == 403
    assert guarded.call("POST", "/api/rollouts", json=body).status_code == 401
    started = guarded.call("POST", "/api/rollouts", deployer, json=body)
    assert started.status_code == 201, started.text
    assert started.json()["started_by"] == "deployer"  # who asked, whatever the body says
    path = f"/api/rollouts/{started.json()['id']}"
    assert guarded.call("GET", path, reader).status_code == 200
    assert guarded.call("GET", path, other).status_code == 403
    assert guarded.call("GET", "/api/rollouts", other).json() == []
    assert guarded.call("GET", "/api/rollouts?model=late", other).status_code == 403
    for verb in ("pause", "resume", "approve", "promote", "abort"):
        assert guarded.call("POST", f"{path}/{verb}", reader, json={}).status_code == 403
        assert guarded.call("POST", f"{path}/{verb}", other, json={}).status_code == 403
    assert guarded.call("POST", "/api/models/late/split", other, json={}).status_code == 403
    assert guarded.call("GET", "/api/models/late/rates", other).status_code == 403
    assert guarded.call("POST", f"{path}/pause", deployer, json={"reason": "x"}).json()["paused_by"] == "deployer"
    local.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    [
        ("/api/rollouts", {"model": "late"}, 400, "version"),
        ("/api/rollouts", {"model": "late", "version": 2, "plan": 5}, 400, "plan"),
        ("/api/rollouts", {"model": "late", "version": 2, "planet": "x"}, 400, "planet"),
        ("/api/rollouts", {"model": "late", "version": [2]}, 400, "version"),
        ("/api/rollouts/late/jump", {}, 404, ""),
        ("/api/rollouts/late/pause", {"because": 1}, 400, "because"),
        ("/api/rollouts/simulate", {"repetitions": "many"}, 400, "repetitions"),
        ("/api/rollouts/simulate", {"world": {"error_rate": None}}, 400, "world"),
        ("/api/models/late/split", {"weights": {"two": 5}}, 400, "weights"),
    ],
)
def test_a_body_that_does_not_fit_is_answered_with_its_field(
    start: Callable[..., Running], path: str, body: dict[str, Any], status: int, names: str
) -> None:
    answer = start().call("POST", path, json=body)
    assert answer.status_code == status, answer.text
    assert names in answer.text and "Traceback" not in answer.text


def test_the_commands_say_what_the_verbs_do(start: Callable[..., Running]) -> None:
    server = start()
    home = str(server.service.settings.home_path)
    client = hs.connect(home)
    Place(server, client)

    def run(line: str, *more: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, [*line.split(), *more, "--home", home])
        assert result.exit_code == code, result.output + str(result.exception)
        return str(result.output)

    text = run("rollout start late@2 --shadow --canary 5,25,100 --bake 2h --approve --as ada")
    assert 'shadow >> canary(5, 25, 100, bake="2h") >> approval' in text and "late@2 after @1: shadow" in text
    assert "late@2 after @1: shadow, paused" in run("rollout pause late --as ada")
    run("rollout resume late")
    assert "canary 5 %" in run("rollout promote late --reason", "labels are late")
    status = run("rollout status late")
    assert "errors" in status and "rolls back at" in status and "@2 5 %" in status
    assert json.loads(run("rollout status late --json"))["step"] == "canary 5 %"
    run("rollout promote late")
    assert "approval" in run("rollout promote late")
    assert "bake" in run("rollout approve late --as bob --comment", "go on")
    assert "canary 25 % by person" in run("rollout status late") and "approval by bob" in run("rollout status late")
    assert "aborted" in run("rollout abort late --reason", "no more")
    assert "aborted" in run("rollout list late") and run("rollout list --state running").startswith("No rollouts")
    assert "late@1 90 %, late@2 10 %" in run("rollout split late 2=10")
    assert "late@2 after @1: aborted" in run("why late")
    assert run("rollout status late -w", code=1)
    assert "is not VERSION=PERCENT" in run("rollout split late two", code=2)
    assert "go with" in run("rollout start late@2 --bake 1h", code=2)
    simulated = run("rollout simulate --weights 10,100 --limit 5 --repetitions 20")
    assert "False rollbacks:" in simulated and "20 % fail" in simulated
    client.close()
