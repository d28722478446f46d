"""Rollouts end to end: real models behind a real server, each judged by the guard that it is a case for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd_models
import pytest
from rolling import ENVIRONMENT, Load, Rolling, champions, told
from shop import START, running

from homeostat.ground.errors import Conflict

pytestmark = pytest.mark.slow

QUICK = 'canary(25, 100, min_requests=30, min_time="2s", bake="4s", memory="100MB")'


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """A server on the machine's clock, version 1 in service."""
    with running(tmp_path_factory.mktemp("live") / "home", clock=None, environment=ENVIRONMENT) as server:
        rolling = Rolling(server)
        assert rolling.in_service(odd_models.Good()) == 1
        yield rolling
        rolling.close()


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Rolling]:
    """A server whose clock is driven, version 1 in service."""
    with running(tmp_path / "home", environment=ENVIRONMENT) as server:
        rolling = Rolling(server)
        assert rolling.in_service(odd_models.Good()) == 1
        yield rolling
        rolling.close()


def why(rolling: Rolling) -> str:
    command = [sys.executable, "-m", "homeostat.cli.entry", "why", "m", "--url", rolling.server.url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("model", "guard", "line"),
    [
        (odd_models.Crashing(), "errors", "the candidate fails in"),
        (odd_models.Nowhere(), "invalid", "the candidate gives no valid answer in"),
        (odd_models.Slow(), "slow", "the candidate is slow in"),
        (odd_models.Dead(), "fuse", "calls of the candidate failed"),
        (odd_models.Hungry(), "memory", "the limit is 100MB"),
    ],
    ids=["crashing", "nan", "slow", "dead", "hungry"],
)
def test_a_bad_version_is_rolled_back_by_its_guard_and_why_shows_the_numbers(
    live: Rolling, model: Any, guard: str, line: str
) -> None:
    version = live.register(model)
    with Load(live):
        time.sleep(2)  # the stable version's own latency has to be known
        started = live.client.rollouts.start(f"m@{version}", plan=QUICK, reason="a try", actor="ada")
        assert started["step"] == "canary 25 %"
        ended = live.wait(lambda found: found["state"] != "running")
    assert (ended["state"], ended["reason"].partition(":")[0]) == ("rolled_back", guard), ended["reason"]
    assert line in ended["reason"]
    assert ended["routing"]["arms"] == [{"version": 1, "weight": 10_000, "arm": "stable"}]
    assert ended["routing"]["shadows"] == []
    assert live.versions_asked(20) == {"1": 20}
    assert told(live.server, version) == [
        ("started", "canary 25 %", "ada"),
        ("rolled_back", "rolled_back", "rollout"),
    ]
    text = why(live)
    assert f"m@{version} after @1: rolled back" in text
    assert line in text and "e (worse)" in text
    numbers = ended["numbers"]
    if guard in numbers and guard != "memory":
        assert numbers[guard]["says"] == "worse" and numbers[guard]["e_rollback"] >= numbers[guard]["rollback_at"]
        others = [name for name in ("errors", "invalid", "slow") if name != guard]
        assert all(numbers[name]["e_rollback"] < numbers[name]["rollback_at"] for name in others)
    model_view = live.client.model("m")
    assert (model_view["champion"], model_view["challenger"]) == (1, None)


def test_a_crashing_version_is_gone_within_ten_seconds(live: Rolling) -> None:
    version = live.register(odd_models.Dead())
    with Load(live, per_second=20):
        began = time.monotonic()
        live.client.rollouts.start(f"m@{version}", plan="canary(25, 100)")
        started = time.monotonic()
        live.wait(lambda found: found["state"] == "rolled_back", timeout=20)
        assert time.monotonic() - started <= 10, time.monotonic() - began


def test_a_version_that_no_worker_can_load_is_given_up(live: Rolling) -> None:
    version = live.register(odd_models.Lost())
    digest = live.client.registry.version(f"m@{version}")["files"]["model.pkl"]["digest"]
    [blob] = [path for path in (live.server.home / "blobs").rglob("*") if path.is_file() and digest.endswith(path.name)]
    blob.unlink()
    with Load(live) as load:
        live.client.rollouts.start(f"m@{version}", plan="canary(50, 100)")
        ended = live.wait(lambda found: found["state"] != "running")
    assert (ended["state"], ended["reason"].partition(":")[0]) == ("rolled_back", "loading"), ended["reason"]
    assert set(load.statuses) == {200}  # what was served before went on
    assert live.versions_asked(10) == {"1": 10}


def test_a_good_version_is_swapped_in_whole_baked_and_kept(live: Rolling) -> None:
    version = live.register(odd_models.Twin())
    rollouts = live.client.rollouts
    with Load(live) as load:
        rollouts.start(f"m@{version}", plan='blue_green(bake="5s", approve=True)', actor="ada")
        waiting = live.wait(lambda found: found["step"] == "approval")
        assert waiting["routing"]["shadows"] == [version]
        with pytest.raises(Conflict, match="under way"):
            live.client.registry.set_alias("m", "champion", version)
        rollouts.approve("m", comment="looks right", actor="bob")
        baking = live.wait(lambda found: found["step"] == "bake")
        assert baking["routing"] == {
            "arms": [{"version": version, "weight": 10_000, "arm": "stable"}],
            "shadows": [1],
            "shadow_share": 10_000,
        }
        assert live.client.model("m")["champion"] == version
        ended = live.wait(lambda found: found["state"] != "running")
    assert ended["state"] == "promoted", ended["reason"]
    assert set(load.statuses) == {200}  # not one request failed in the swap
    assert live.versions_asked(20) == {str(version): 20}
    assert [(word["by"], word["step"], word["comment"]) for word in ended["approved"]] == [
        ("bob", "approval", "looks right")
    ]
    assert told(live.server, version) == [
        ("started", "blue-green", "ada"),
        ("advanced", "approval", "rollout"),
        ("promoted", "bake", "bob"),
        ("completed", "promoted", "rollout"),
    ]
    evidence = live.client.registry.history("m", alias="champion")[-1]["evidence"]
    assert evidence["approved_by"] == ["bob"] and evidence["numbers"]["errors"]["candidate"][1] >= 20
    live.client.rollback("m", reason="so that the next test starts from version 1")
    assert live.client.model("m")["champion"] == 1


def test_a_version_that_breaks_in_the_bake_is_taken_back_by_itself(live: Rolling) -> None:
    version = live.register(odd_models.Crashing())
    rollouts = live.client.rollouts
    with Load(live):
        time.sleep(1)
        rollouts.start(f"m@{version}", plan='canary(1, 100, bake="10min")')
        rollouts.promote("m", full=True, reason="we are in a hurry", actor="ada")
        assert live.client.model("m")["champion"] == version
        ended = live.wait(lambda found: found["state"] != "running")
    assert ended["state"] == "rolled_back" and ended["reason"].startswith("errors:"), ended["reason"]
    assert champions(live.server)[-2:] == [(1, version, "promote"), (version, 1, "rollback")]
    assert live.versions_asked(20) == {"1": 20}
    assert [word["by"] for word in ended["approved"]] == ["ada"]


def test_a_paused_rollout_moves_no_further_and_an_aborted_one_gives_everything_back(live: Rolling) -> None:
    version = live.register(odd_models.Twin())
    rollouts = live.client.rollouts
    with Load(live):
        rollouts.start(f"m@{version}", plan='canary(25, 50, 100, min_requests=10, min_time="1s")')
        rollouts.pause("m", reason="lunch", actor="ada")
        time.sleep(5)
        paused = rollouts.get("m")
        assert (paused["step"], paused["paused_by"]) == ("canary 25 %, paused", "ada")
        assert paused["stage_rows"] > 20
        with pytest.raises(Conflict, match="paused already"):
            rollouts.pause("m")
        rollouts.resume("m", actor="ada")
        live.wait(lambda found: found["step"] == "canary 50 %")
        aborted = rollouts.abort("m", reason="enough", actor="bob")
    assert (aborted["state"], aborted["reason"]) == ("aborted", "enough")
    assert live.versions_asked(20) == {"1": 20}
    with pytest.raises(Conflict, match="is over"):
        rollouts.promote("m")
    kinds = [(kind, actor) for kind, _, actor in told(live.server, version)]
    assert kinds == [
        ("started", "person"),
        ("paused", "ada"),
        ("resumed", "ada"),
        ("advanced", "rollout"),
        ("aborted", "bob"),
    ]


def test_a_version_as_good_walks_shadow_and_canary_on_late_labels(driven: Rolling) -> None:
    version = driven.register(odd_models.Twin())
    plan = 'shadow(min_labels=300) >> canary(25, 100, min_requests=100, min_time="2h", bake="2h")'
    driven.client.rollouts.start(f"m@{version}", plan=plan)
    now, steps = START, []
    for _ in range(160):
        now = driven.hour(now, rows=100, requests=4)
        found = driven.client.rollouts.get("m")
        if not steps or steps[-1] != found["step"]:
            steps.append(found["step"])
        if found["state"] != "running":
            break
    assert steps == ["shadow", "canary 25 %", "bake", "promoted"], found["reason"]
    assert champions(driven.server)[-1] == (1, version, "promote")
    text = why(driven)
    assert f"m@{version} after @1: promoted" in text and "labelled requests; 10% worse is excluded" in text


def test_a_version_that_is_subtly_worse_ends_in_shadow(driven: Rolling) -> None:
    version = driven.register(odd_models.Worse())
    driven.client.rollouts.start(f"m@{version}", plan="shadow >> canary(5, 25, 100)")
    now = START
    for _ in range(168):
        now = driven.hour(now, rows=100)
        found = driven.client.rollouts.get("m")
        if found["state"] != "running":
            break
    assert (found["state"], found["reason"].partition(":")[0]) == ("rolled_back", "quality"), found
    assert found["numbers"]["quality"]["loss_difference"] > 0.05
    assert found["numbers"]["quality"]["e_rollback"] >= found["numbers"]["quality"]["rollback_at"]
    assert driven.versions_asked(10) == {"1": 10}
    assert "of the stable's on" in why(driven)


def test_an_a_b_is_decided_by_the_labels_of_each_arms_own_requests(driven: Rolling) -> None:
    version = driven.register(odd_models.Worse())
    driven.client.rollouts.start(f"m@{version}", plan='ab(50, metric="wrong", horizon="30d")')
    now = START
    for _ in range(100):
        now = driven.hour(now, rows=800)
        found = driven.client.rollouts.get("m")
        if found["state"] != "running":
            break
    assert (found["state"], found["reason"].partition(":")[0]) == ("rolled_back", "quality"), found["numbers"]
    assert found["numbers"]["arm_quality"]["loss"] == "wrong"
    candidate, stable = (found["numbers"]["arm_quality"][side] for side in ("candidate", "stable"))
    assert candidate[0] / candidate[1] > stable[0] / stable[1]
    assert abs(candidate[1] - stable[1]) < 0.2 * stable[1]
