"""Endpoints, generations, sticky routing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_helpers import endpoint, route

from homeostat.ground.errors import Invalid, NotFound
from homeostat.serving.endpoints import (
    current_generation,
    get_endpoint,
    list_endpoints,
    remove_endpoint,
    set_routing,
)
from homeostat.serving.routing import choose_arm, named_arm
from homeostat.serving.types import FULL, Arm
from homeostat.store.database import Database
from homeostat.store.events import list_events

KEYS = [f"N{number}" for number in range(20_000)]


def test_a_routing_is_kept_and_every_change_raises_the_generation(database: Database) -> None:
    assert route(database, endpoint(1)) == 1
    assert route(database, endpoint(1, canary=2, weight=500, shadows=(3,), sticky="carrier")) == 2
    with database.read() as conn:
        kept = get_endpoint(conn, "late")
        assert (current_generation(conn), kept.generation) == (2, 2)
        assert [(arm.version, arm.weight, arm.arm) for arm in kept.arms] == [(1, 9500, "stable"), (2, 500, "canary")]
        assert (kept.shadows, kept.sticky, kept.versions) == ((3,), "carrier", (1, 2, 3))
        assert list_endpoints(conn, model="late") == [kept]
        assert list_endpoints(conn, model="other") == []


def test_the_salt_stays_when_a_canary_is_ramped_up(database: Database) -> None:
    route(database, endpoint(1, canary=2, weight=500))
    with database.read() as conn:
        before = get_endpoint(conn, "late").salt
    route(database, endpoint(1, canary=2, weight=2500))
    with database.read() as conn:
        assert get_endpoint(conn, "late").salt == before != ""


def test_a_change_appends_an_event_with_what_was_before(database: Database) -> None:
    route(database, endpoint(1))
    route(database, endpoint(2, shadows=(1,)))
    with database.read() as conn:
        last = list_events(conn, subject="late", kinds=("endpoint.routed",))[-1]
    assert (last.actor, last.reason, last.data["endpoint"]) == ("test", "a test", "late")
    assert last.data["arms"] == [{"version": 2, "weight": FULL, "arm": "stable"}]
    assert last.data["before"] == {"arms": [{"version": 1, "weight": FULL, "arm": "stable"}], "shadows": []}


def test_a_removed_endpoint_is_gone_and_workers_are_told(database: Database) -> None:
    route(database, endpoint(1))
    with database.write() as conn:
        assert remove_endpoint(conn, "late", actor="test", reason="", at=2) == 2
    with database.read() as conn, pytest.raises(NotFound, match="late"):
        get_endpoint(conn, "late")


@pytest.mark.parametrize(
    ("arms", "shadows", "field"),
    [
        ([], (), "arms"),
        ([Arm(version=1, weight=9000)], (), "arms"),
        ([Arm(version=1, weight=5000), Arm(version=2, weight=5000)], (), "arms"),
        ([Arm(version=1, weight=11_000), Arm(version=2, weight=-1000, arm="canary")], (), "arms"),
        ([Arm(version=1, weight=FULL)], (1,), "shadows"),
        ([Arm(version=1, weight=5000), Arm(version=1, weight=5000, arm="canary")], (), "shadows"),
    ],
)
def test_a_routing_that_does_not_add_up_is_refused(
    sqlite_database: Database, arms: list[Arm], shadows: tuple[int, ...], field: str
) -> None:
    with sqlite_database.write() as conn, pytest.raises(Invalid) as refused:
        set_routing(conn, "late", model="late", arms=arms, shadows=shadows, actor="test", reason="", at=1)
    assert refused.value.field == field


@pytest.mark.parametrize("weight", [100, 500, 2500, 5000, 9999])
def test_the_share_of_keys_on_the_canary_is_its_weight(weight: int) -> None:
    wanted = endpoint(1, canary=2, weight=weight, salt="s1")
    found = sum(choose_arm(wanted, key).version == 2 for key in KEYS)
    share = weight / FULL
    assert abs(found - len(KEYS) * share) < 5 * math.sqrt(len(KEYS) * share * (1 - share)) + 1


@given(st.text(max_size=20), st.integers(0, FULL), st.integers(0, FULL))
def test_ramping_up_only_adds_keys(key: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    on_low = choose_arm(endpoint(1, canary=2, weight=low, salt="s"), key).version
    on_high = choose_arm(endpoint(1, canary=2, weight=high, salt="s"), key).version
    assert (on_low, on_high) != (2, 1)
    assert low > 0 or on_low == 1
    assert high < FULL or on_high == 2


def test_another_salt_draws_other_keys() -> None:
    first, second = (endpoint(1, canary=2, weight=1000, salt=salt) for salt in ("a", "b"))
    both = sum(choose_arm(first, key).version == 2 == choose_arm(second, key).version for key in KEYS)
    assert 100 < both < 300  # independent draws share 1 %, 200 of 20,000


def test_a_named_version_must_be_live() -> None:
    wanted = endpoint(1, canary=2, weight=100, shadows=(3,))
    assert [named_arm(wanted, version).arm for version in (1, 2, 3)] == ["stable", "canary", "shadow"]
    with pytest.raises(Invalid, match="live versions: 1, 2, 3"):
        named_arm(wanted, 9)
