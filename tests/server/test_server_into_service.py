"""Versions registered by hand go into service and out of it, on a home and over HTTP."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from running_server import Running
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

import homeostat as hs
from homeostat.ground.errors import Conflict, Invalid, NotFound, Refused
from homeostat.sdk.client import Client
from homeostat.serving.endpoints import find_endpoint
from homeostat.serving.types import Endpoint

pytestmark = pytest.mark.slow  # what goes into service is looked at and compiled, each in a process of its own

_random = np.random.default_rng(0)
X = _random.normal(size=(60, 2))
FRAME = pd.DataFrame(X, columns=["a", "b"])


class Place:
    """A home, its server, and a client that reaches it one way or the other."""

    def __init__(self, server: Running, client: Client) -> None:
        self.service = server.service
        self.registry = client.registry

    def endpoint(self, name: str = "late") -> Endpoint | None:
        with self.service.database.read() as conn:
            return find_endpoint(conn, name)

    def answering(self, name: str = "late") -> int:
        endpoint = self.endpoint(name)
        assert endpoint is not None
        return endpoint.stable.version

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.service.events(0, 1000) if event["kind"] == kind]


@pytest.fixture(params=["embedded", "remote"])
def place(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Iterator[Place]:
    server = start()
    home = str(server.service.settings.home_path)
    client = hs.connect(home) if request.param == "embedded" else hs.connect(url=server.url)
    yield Place(server, client)
    client.close()


def late(columns: list[str] | None = None, seed: int = 0) -> LogisticRegression:
    frame = FRAME if columns is None else pd.DataFrame(X[:, : len(columns)], columns=columns)
    return LogisticRegression(C=1.0 + seed).fit(frame, X[:, 0] > 0)


def test_what_a_version_takes_and_gives_is_stored_when_it_is_registered(place: Place) -> None:
    made = place.registry.register(late(), "late")
    signature = made["signature"]
    assert (signature["task"], list(signature["classes"]), signature["obstacle"]) == ("binary", ["false", "true"], "")
    assert [(item["name"], item["dtype"], item["nullable"]) for item in signature["inputs"]] == [
        ("a", "number", False),
        ("b", "number", False),
    ]
    assert place.registry.version("late@1")["signature"]["inputs"] == signature["inputs"]


def test_names_are_given_where_the_model_has_none(place: Place) -> None:
    model = LinearRegression().fit(X, X)
    made = place.registry.register(model, "two", inputs=["p", "q"], outputs=["r", "s"])
    assert [item["name"] for item in made["signature"]["inputs"]] == ["p", "q"]
    assert list(made["signature"]["outputs"]) == ["r", "s"]
    frame = pd.DataFrame({"s": ["x"], "n": [1.5]})
    with pytest.raises(Invalid, match="takes 2 columns, 3 are named"):
        place.registry.register(model, "two", inputs=["p", "q", "r"])
    with pytest.raises(Invalid, match="2 values a row, 3 outputs"):
        place.registry.register(model, "two", outputs=["p", "q", "r"])
    with pytest.raises(Invalid, match="example has 2 columns"):
        place.registry.register(model, "two", inputs=["p"], example=frame)
    with pytest.raises(Invalid, match="no rows"):
        place.registry.register(model, "two", example=frame.head(0))
    with pytest.raises(NotFound):
        place.registry.versions("two@9")


def test_a_champion_goes_into_service_and_takes_its_traffic_along(place: Place) -> None:
    place.registry.register(late(), "late")
    place.registry.register(late(seed=1), "late")
    assert place.endpoint() is None
    moved = place.registry.promote("late@1", "champion", reason="first")["move"]
    assert (moved["kind"], moved["to_version"], place.answering()) == ("promote", 1, 1)
    place.registry.set_alias("late", "champion", 2)
    assert place.answering() == 2
    place.registry.rollback("late")
    assert place.answering() == 1
    assert place.registry.model("late")["task"] == "binary"


def test_taking_the_champion_away_takes_the_model_out_of_service(place: Place) -> None:
    place.registry.register(late(), "late")
    place.registry.set_alias("late", "champion", 1)
    with pytest.raises(Conflict, match="homeostat model retire late"):
        place.registry.delete_model("late")
    place.registry.remove_alias("late", "champion")
    assert place.endpoint() is None
    place.registry.rollback("late")
    assert place.answering() == 1
    done = place.registry.retire("late", reason="no longer asked for")
    assert (done["move"]["kind"], done["move"]["reason"]) == ("remove", "no longer asked for")
    assert place.endpoint() is None and place.registry.at("late")["version"] is None
    with pytest.raises(Conflict, match="not in service"):
        place.registry.retire("late")
    place.registry.delete_model("late")
    with pytest.raises(NotFound):
        place.registry.retire("late")


def test_in_and_out_of_service_on_both_databases(database_url: str, start: Callable[..., Running]) -> None:
    server = start(database=database_url)
    client = hs.connect(url=server.url)
    place = Place(server, client)
    for number in range(2):
        place.registry.register(late(seed=number), "late")
    place.registry.promote("late@1", "champion")
    place.registry.promote("late@2", "champion")
    place.registry.retire("late")
    assert place.endpoint() is None
    place.registry.rollback("late")
    assert place.answering() == 2
    moves = [(move["kind"], move["to_version"]) for move in place.registry.history("late", alias="champion")]
    assert moves == [("promote", 1), ("promote", 2), ("remove", None), ("rollback", 2)]
    client.close()


def test_a_name_with_spaces_is_served_too(place: Place) -> None:
    place.registry.register(late(), "späte Flüge")
    place.registry.set_alias("späte Flüge", "champion", 1)
    assert place.answering("späte Flüge") == 1


def test_a_version_that_callers_would_notice_is_refused_or_forced(place: Place) -> None:
    place.registry.register(late(), "late")
    place.registry.register(late(["a", "c"]), "late")
    place.registry.set_alias("late", "champion", 1)
    for move in (
        lambda **force: place.registry.set_alias("late", "champion", 2, **force),
        lambda **force: place.registry.promote("late@2", "champion", **force),
    ):
        with pytest.raises(Refused, match="it takes c, which callers do not send; it does not take b") as caught:
            move()
        assert "--force" in caught.value.next_step and place.answering() == 1
        move(force=True)
        assert place.answering() == 2
        forced = place.registry.history("late", alias="champion")[-1]["evidence"]
        assert forced["forced"] and "it takes c, which callers do not send" in forced["differs"]
        place.registry.rollback("late")
        assert place.answering() == 1, "a rollback asks nothing"


def test_a_version_that_cannot_answer_is_champion_of_nothing(place: Place) -> None:
    made = place.registry.register(StandardScaler().fit(X), "scaler")
    assert "does not predict numbers" in made["signature"]["obstacle"]
    place.registry.set_alias("scaler", "champion", 1)
    assert place.endpoint("scaler") is None
    place.registry.register(late(), "late")
    place.registry.set_alias("late", "champion", 1)
    place.registry.register(StandardScaler().fit(X), "late")
    with pytest.raises(Refused, match=r"late@2 cannot answer.*does not predict numbers"):
        place.registry.set_alias("late", "champion", 2)
    assert place.answering() == 1


def test_a_version_that_nobody_has_looked_at_is_looked_at_when_it_is_promoted(place: Place) -> None:
    place.registry.register(late(), "late")
    with place.service.database.write() as conn:
        from homeostat.registry import store

        plain = {"task": "", "inputs": [], "columns": [], "feature_hash": ""}
        conn.execute(store.versions.update().values(signature=plain))
    assert place.registry.version("late@1")["signature"]["task"] == ""
    place.registry.set_alias("late", "champion", 1)
    assert place.answering() == 1
    assert [item["name"] for item in place.registry.version("late@1")["signature"]["inputs"]] == ["a", "b"]
    assert place.events("version.inspected") == [{"version": 1, "task": "binary", "obstacle": ""}]
    assert place.registry.inspect("late@1")["signature"]["task"] == "binary"
    assert len(place.events("version.inspected")) == 1, "what is known is not looked at again"
