"""A model in service: whoever moves its champion, the alias and what answers never disagree."""

import time
from pathlib import Path

import pytest
from shop import START, Server, Shop, command, running, write_project

import homeostat as hs
from homeostat.ground.errors import Conflict
from homeostat.rollout.stopping import stop_rollout
from homeostat.rollout.store import running_rollout
from homeostat.store.database import open_database

pytestmark = pytest.mark.slow
MODEL = "late-order"


def test_a_champion_that_is_moved_by_hand_answers_and_one_that_is_rolled_back_does_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command(home, "apply", str(write_project(tmp_path / "project")))
    shop = Shop(tmp_path / "project")
    with running(home) as server:
        for reason in ("first", "second"):
            server.post(f"/api/models/{MODEL}/cycles", {"reason": reason})
            server.move_clock(START)
        client = hs.connect(url=server.url)
        registry = client.registry
        with pytest.raises(Conflict, match="rollout"):
            registry.set_alias(MODEL, "champion", 2)
        end_rollout(home)
        assert answering(server, shop) == "1"

        registry.declare_stages([hs.Stage(name="champion", approval=True)], model=MODEL)
        asked = registry.promote(f"{MODEL}@2", "champion", actor="ada")["request"]
        registry.approve(asked["id"], actor="bob")
        wait_for(server, shop, "2")
        assert registry.at(MODEL)["ref"] == f"{MODEL}@2"

        assert registry.rollback(MODEL, reason="worse")["to_version"] == 1
        wait_for(server, shop, "1")
        moves = registry.history(MODEL, alias="champion")
        assert [(move["to_version"], move["actor"]) for move in moves][1:] == [(2, "bob"), (1, "person")]
        with pytest.raises(Conflict, match="declared in a file"):
            registry.rename(MODEL, "other")
        with pytest.raises(Conflict, match="in service"):
            registry.delete_model(MODEL)
        client.close()


def end_rollout(home: Path) -> None:
    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    with database.write() as conn:
        rollout = running_rollout(conn, MODEL)
        assert rollout is not None
        stop_rollout(conn, MODEL, at=rollout.started_at + 1, actor="test", reason="enough")
    database.close()


def answering(server: Server, shop: Shop) -> str:
    return str(server.predict(shop.orders.head(1), prefix="who")["model_version"])


def wait_for(server: Server, shop: Shop, version: str) -> None:
    """The worker looks for another routing several times a second."""
    deadline = time.monotonic() + 20
    while answering(server, shop) != version:
        assert time.monotonic() < deadline, f"version {version} does not answer"
        time.sleep(0.1)
