"""SIGKILL at every step of a rollout: it resumes with the right weights, and nothing is decided twice."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import odd_models
import pytest
from rolling import ENVIRONMENT, Load, Rolling, champions, told
from shop import START, Server, running

from homeostat.ground.errors import Conflict, Unavailable

pytestmark = pytest.mark.slow

AWAY = (httpx.TransportError, Unavailable, AssertionError, OSError)
"""What a client sees while the server is dead or just starting."""
PLAN = 'shadow(min_labels=200) >> canary(25, 50, 100, min_requests=150, min_time="2h", bake="3h", approve=True)'
STEPS = ["shadow", "canary 25 %", "canary 50 %", "approval", "bake", "promoted"]
WEIGHTS = {
    "shadow": ({1: 100}, [2]),
    "canary 25 %": ({1: 75, 2: 25}, []),
    "canary 50 %": ({1: 50, 2: 50}, []),
    "approval": ({1: 50, 2: 50}, []),
    "bake": ({2: 100}, [1]),
    "promoted": ({2: 100}, [1]),  # the reverse shadow
}


class Killer(threading.Thread):
    """Kills the server once each step is in the catalogue, holding the write lock so that it cannot go past it."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._reached = {
            step: f"select 1 from rollout_rollouts where state = 'running' and stage = {number}"  # noqa: S608
            for number, step in enumerate(STEPS[:-1])
        }
        self._reached["promoted"] = "select 1 from rollout_rollouts where state = 'promoted'"
        self.killed: list[str] = []

    def run(self) -> None:
        for step, reached in self._reached.items():
            connection = sqlite3.connect(self._server.home / "catalogue.db", timeout=30, isolation_level=None)
            while not connection.execute(f"{reached} and candidate = 2").fetchall():
                time.sleep(0.001)
            connection.execute("begin immediate")
            self._server.kill()
            connection.execute("rollback")
            connection.close()
            self._server.start()
            self.killed.append(step)


def again(act: Any) -> Any:
    """Whatever it takes until the server is back."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return act()
        except AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def once(act: Any) -> None:
    """A person's word: when the answer to it was lost in a kill, a second one finds it said."""
    with suppress(Conflict):
        again(act)


def routing(rolling: Rolling) -> tuple[dict[int, float], list[int]]:
    """What the catalogue has the endpoint do: per cent by version, and who looks on."""
    endpoint = again(lambda: rolling.client.model("m"))["endpoint"]
    return {arm["version"]: arm["weight"] / 100 for arm in endpoint["arms"]}, endpoint["shadows"]


def test_a_server_killed_at_every_step_resumes_with_the_right_weights_and_decides_nothing_twice(tmp_path: Path) -> None:
    with running(tmp_path / "home", environment=ENVIRONMENT) as server:
        rolling = Rolling(server)
        assert rolling.in_service(odd_models.Good()) == 1
        assert rolling.register(odd_models.Twin()) == 2
        killer = Killer(server)
        killer.start()
        once(lambda: rolling.client.rollouts.start("m@2", plan=PLAN, actor="ada"))
        now, seen = START, []
        for _ in range(220):
            found = again(lambda: rolling.client.rollouts.get("m"))
            if not seen or seen[-1] != found["step"]:
                wait_for_kill(killer, found["step"])
                found = again(lambda: rolling.client.rollouts.get("m"))
                seen.append(found["step"])
                assert routing(rolling) == WEIGHTS[found["step"]]
                check_answers(rolling, found["step"])
            if found["state"] != "running":
                break
            if found["step"] == "approval":
                once(lambda: rolling.client.rollouts.approve("m", actor="bob", comment="go"))
                continue
            again(lambda now=now: ask_and_label(rolling, now))
            now += timedelta(hours=1)
            again(lambda now=now: server.move_clock(now))
        killer.join(timeout=30)
        assert killer.killed == STEPS == seen
        assert told(server, 2) == [
            ("started", "shadow", "ada"),
            ("advanced", "canary 25 %", "rollout"),
            ("advanced", "canary 50 %", "rollout"),
            ("advanced", "approval", "rollout"),
            ("promoted", "bake", "bob"),
            ("completed", "promoted", "rollout"),
        ]
        assert champions(server) == [(None, 1, "promote"), (1, 2, "promote")]
        challenger = [(row["from_version"], row["to_version"]) for row in ledger(server, "challenger")]
        assert challenger == [(None, 2), (2, None)]
        rolling.close()


def ask_and_label(rolling: Rolling, now: Any) -> None:
    for _ in range(4):
        asked = rolling.ask(100, at=now)
        assert asked.answer.status_code == 200, asked.answer.text
        rolling.label(asked, at=now + timedelta(minutes=30))


def ledger(server: Server, alias: str) -> Any:
    return server.get(f"/api/models/m/ledger?alias={alias}")


def wait_for_kill(killer: Killer, step: str) -> None:
    """The killer sees the step when we do; by the time it says so, the server is up again."""
    deadline = time.monotonic() + 60
    while step not in killer.killed:
        assert time.monotonic() < deadline, (step, killer.killed)
        time.sleep(0.02)


def check_answers(rolling: Rolling, step: str) -> None:
    """The workers do what the catalogue says."""
    weights, _ = WEIGHTS[step]
    count = 120
    found = again(lambda: rolling.versions_asked(count))
    assert set(found) <= {str(version) for version in weights}
    for version, share in weights.items():
        expected = count * share / 100
        assert abs(found[str(version)] - expected) <= 5 * (count * share / 100 * (1 - share / 100)) ** 0.5, found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Rolling]:
    with running(tmp_path / "home", clock=None, environment=ENVIRONMENT) as server:
        rolling = Rolling(server)
        assert rolling.in_service(odd_models.Good()) == 1
        yield rolling
        rolling.close()


def test_a_server_killed_while_it_rolls_back_has_rolled_back_once(live: Rolling) -> None:
    server = live.server
    version = live.register(odd_models.Crashing())
    with Load(live) as load:
        time.sleep(1)
        live.client.rollouts.start(f"m@{version}", plan="canary(50, 100)")
        for _ in range(3):  # in the middle of its evidence
            time.sleep(2)
            server.kill()
            server.start()
        live.wait(lambda found: found["state"] != "running", timeout=60)
        server.kill()
        server.start()
        time.sleep(3)
    found = live.client.rollouts.get("m")
    assert (found["state"], found["reason"].partition(":")[0]) == ("rolled_back", "errors"), found
    assert told(server, version) == [
        ("started", "canary 50 %", "person"),
        ("rolled_back", "rolled_back", "rollout"),
    ]
    assert champions(server) == [(None, 1, "promote")]
    assert live.versions_asked(20) == {"1": 20}
    counted = found["numbers"]["errors"]
    assert counted["candidate"][0] <= load.statuses[500]  # each failure counted once, whatever was killed
