"""The registry as its users meet it: on a home and over HTTP, with and without tokens."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from running_server import Running
from sklearn.linear_model import LogisticRegression

import homeostat as hs
from homeostat.ground.errors import Conflict, Denied, Invalid, NotFound, Refused
from homeostat.ground.records import Signature
from homeostat.registry.keys import trusted
from homeostat.registry.packaging import package_model
from homeostat.registry.scorers import load_scorer
from homeostat.registry.signing import verify_version
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version, register_version
from homeostat.sdk.client import Client
from homeostat.sdk.remote import Remote
from homeostat.serving.endpoints import get_endpoint, set_routing
from homeostat.serving.types import Arm


def fitted(seed: int = 0) -> LogisticRegression:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 2))
    return LogisticRegression().fit(X, X[:, 0] > 0)


class Place:
    """A home, its server, and a client that reaches it one way or the other."""

    def __init__(self, server: Running, client: Client) -> None:
        self.server = server
        self.registry = client.registry

    def register(self, count: int, name: str = "late") -> None:
        """Versions whose roc_auc are 0.6, 0.7, ..."""
        for number in range(count):
            self.registry.register(fitted(number), name, evaluation={"roc_auc": 0.6 + number / 10})

    def version(self, name: str, version: int) -> ModelVersion:
        with self.server.service.database.read() as conn:
            return get_version(conn, name, version)


@pytest.fixture(params=["embedded", "remote"])
def place(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Iterator[Place]:
    server = start()
    home = str(server.service.settings.home_path)
    client = hs.connect(home) if request.param == "embedded" else hs.connect(url=server.url)
    yield Place(server, client)
    client.close()


@pytest.fixture
def on_both(database_url: str, start: Callable[..., Running]) -> Running:
    """A server, once on each kind of database."""
    return start(database=database_url)


def test_a_fitted_model_is_registered_signed_and_scores_as_before(place: Place) -> None:
    model = fitted()
    made = place.registry.register(
        model, "late", evaluation={"roc_auc": np.float64(0.9)}, tags={"team": "ops"}, description="first"
    )
    assert (made["ref"], made["metrics"], made["tags"]) == ("late@1", {"roc_auc": 0.9}, {"team": "ops"})
    assert made["is_signed"] and made["description"] == "first" and "bins" not in made
    service, version = place.server.service, place.version("late", 1)
    assert verify_version(service.blobs, version, trusted(service.settings)).signed
    X = np.random.default_rng(5).normal(size=(20, 2))
    scorer = load_scorer(service.blobs, version.package.flavor, version.package.manifest, "binary")
    assert np.allclose(scorer.score(X), model.predict_proba(X)[:, 1])


def test_the_run_that_is_open_is_the_lineage_of_what_is_registered(place: Place) -> None:
    home = str(place.server.service.settings.home_path)
    with hs.run("exp", home=home, params={"C": 1.0}, system_metrics=False) as run:
        made = place.registry.register(fitted(), "late")
        other = place.registry.register(fitted(3), "late")
    assert made["run_id"] == run.id
    assert made["lineage"]["project"] == "exp" and made["lineage"]["params"] == {"C": "1.0"}
    assert (made["version"], other["version"]) == (1, 2), "one run may register several"


def test_a_run_of_another_place_is_kept_by_its_id(place: Place) -> None:
    assert place.registry.register(fitted(), "late", run="a" * 32)["lineage"]["run"] == "a" * 32
    with pytest.raises(Invalid, match="no id of a run"):
        place.registry.register(fitted(), "late", run="first try")


class Odd:
    """A model of our own."""

    def predict(self, X: Any) -> Any:
        return X


def test_what_no_safe_format_holds_needs_a_reason_that_is_signed(place: Place) -> None:
    with pytest.raises(Refused, match="cannot be packaged"):
        place.registry.register(Odd(), "odd")
    made = place.registry.register(Odd(), "odd", allow_pickle="a class of our own")
    service = place.server.service
    verified = verify_version(service.blobs, place.version("odd", 1), trusted(service.settings))
    assert made["flavor"] == "pickle"
    assert verified.pickle and verified.pickle["reason"] == "a class of our own"


@pytest.mark.parametrize("evaluation", [{"auc": float("nan")}, {"auc": "good"}])
def test_an_evaluation_that_is_no_number_is_refused_by_name(place: Place, evaluation: Any) -> None:
    with pytest.raises(Invalid, match="auc"):
        place.registry.register(fitted(), "late", evaluation=evaluation)
    assert place.registry.models() == []


def test_who_was_champion_when_is_answered_with_who_moved_it_and_why(place: Place) -> None:
    place.register(3)
    before = datetime.now(UTC)
    for version in (1, 3):
        place.registry.set_alias("late", "champion", version, reason=f"try {version}", actor="ada")
    middle = place.registry.history("late", alias="champion")[-1]["at"]
    back = place.registry.rollback("late", reason="worse", actor="bob")
    assert (back["from_version"], back["to_version"], back["kind"]) == (3, 1, "rollback")
    was = place.registry.at("late", "champion", middle)
    assert (was["version"], was["ref"], was["move"]["reason"]) == (3, "late@3", "try 3")
    now = place.registry.at("late")
    assert (now["ref"], now["move"]["actor"]) == ("late@1", "bob")
    assert place.registry.at("late", "champion", before)["version"] is None
    assert place.registry.at("late", "champion", 10**15)["ref"] is None
    for nonsense in ("yesterday", 10**30, -5):
        with pytest.raises(Invalid, match="time"):
            place.registry.at("late", "champion", nonsense)


def test_any_alias_is_set_where_another_stands_removed_and_rolled_back(place: Place) -> None:
    place.register(2)
    place.registry.set_alias("late", "blue", 2)
    assert place.registry.set_alias("late", "green", "blue")["to_version"] == 2
    assert place.registry.version("late@green")["aliases"] == ["blue", "green"]
    assert place.registry.remove_alias("late", "green", reason="done")["to_version"] is None
    assert place.registry.rollback("late", alias="green")["to_version"] == 2
    with pytest.raises(NotFound, match="no version 9"):
        place.registry.set_alias("late", "blue", 9)


def test_a_stage_asks_for_what_it_requires_and_for_somebody_else(place: Place) -> None:
    place.register(3)
    required = hs.Requirement(kind="at_least", name="roc_auc", bound=0.75)
    declared = place.registry.declare_stages(
        ["staging", hs.Stage(name="production", requires=(required,), approval=True)], model="late"
    )
    assert [stage["name"] for stage in declared] == ["staging", "production"]
    assert declared[1]["requires"][0]["text"] == "roc_auc>=0.75"
    assert place.registry.stages("late") == declared
    with pytest.raises(Refused, match=r"roc_auc >= 0.75 \(it is 0.7\)"):
        place.registry.promote("late@2", "production", actor="ada")
    with pytest.raises(Refused, match="asks for something"):
        place.registry.set_alias("late", "production", 3)
    asked = place.registry.promote("late@3", "production", reason="better", actor="ada")["request"]
    assert place.registry.requests("late", pending=True) == [asked]
    with pytest.raises(Denied, match="cannot approve"):
        place.registry.approve(asked["id"], actor="ada")
    done = place.registry.approve(asked["id"], comment="fine", actor="bob")
    assert done["move"]["evidence"]["approved_by"] == "bob"
    assert done["request"]["state"] == "approved"
    found = place.registry.version("late@production")
    assert (found["version"], found["stage"]) == (3, "production")


def test_the_usual_stages_can_be_declared_for_every_model(place: Place) -> None:
    place.register(1)
    place.registry.declare_stages(["test", "live"])
    assert [stage["name"] for stage in place.registry.stages("late")] == ["test", "live"]
    place.registry.declare_stages([])
    assert [stage["name"] for stage in place.registry.stages("late")] == ["staging", "production"]


def test_rolling_a_stage_back_takes_the_stage_along(place: Place) -> None:
    place.register(2)
    for version in (1, 2):
        place.registry.promote(f"late@{version}", "production")
    place.registry.rollback("late", alias="production")
    stages = {row["version"]: row["stage"] for row in place.registry.versions("late")}
    assert stages == {1: "production", 2: "archived"}


def test_every_action_that_is_refused_says_why(place: Place) -> None:
    place.register(2)
    place.registry.set_alias("late", "champion", 1)
    actions = {row["action"]: row for row in place.registry.allowed_actions("late@champion")}
    assert actions["promote to staging"]["allowed"]
    assert actions["roll champion back"]["why"] and not actions["roll champion back"]["allowed"]
    assert actions["delete"]["why"] == "champion stands on it"
    with pytest.raises(Conflict, match="champion stands on it"):
        place.registry.delete_version("late@1")
    assert place.registry.delete_version("late@2")["ref"] == "late@2"
    assert [row["version"] for row in place.registry.versions("late")] == [1]
    with pytest.raises(Invalid, match="which version"):
        place.registry.delete_version("late@champion")


def test_models_and_versions_are_described_and_tagged(place: Place) -> None:
    place.register(1)
    place.registry.set_tags("late", {"team": "ops", "tier": "1"})
    assert place.registry.set_tags("late", {"tier": None})["tags"] == {"team": "ops"}
    assert place.registry.set_tags("late@1", {"ok": "yes"})["tags"] == {"ok": "yes"}
    place.registry.describe("late@1", "good")
    place.registry.describe("late", "Is it late?")
    line = place.registry.models()[0]
    assert (line["description"], line["tags"], line["versions"]) == ("Is it late?", {"team": "ops"}, 1)
    assert place.registry.version("late@1")["description"] == "good"
    with pytest.raises(NotFound, match="no tag"):
        place.registry.set_tags("late", {"never": None})
    with pytest.raises(Invalid, match="description"):
        place.registry.describe("late", "a\0b")


def test_a_name_with_odd_characters_is_reached_everywhere(place: Place) -> None:
    name = "späte Flüge? 100% #1"
    place.registry.create(name, description="odd")
    place.registry.register(fitted(), name)
    place.registry.set_alias(name, "champion", 1)
    assert place.registry.version(f"models:/{name}@champion")["ref"] == f"{name}@1"
    assert place.registry.model(name)["champion"] == 1
    with pytest.raises(Conflict, match="already"):
        place.registry.create(name)


def test_a_model_goes_to_the_trash_and_comes_back_with_its_ledger(place: Place) -> None:
    place.register(1)
    place.registry.set_alias("late", "favourite", 1)
    place.registry.rename("late", "later")
    place.registry.delete_model("later")
    with pytest.raises(NotFound):
        place.registry.versions("later")
    assert place.registry.restore_model("later")["aliases"] == {}
    assert place.registry.rollback("later", alias="favourite")["to_version"] == 1
    place.registry.delete_model("later")
    place.registry.create("later")
    with pytest.raises(Conflict, match="another model"):
        place.registry.restore_model("later")


# A model in service.


def serve(place: Place, versions: int = 2) -> None:
    """A model with versions that can answer, the first in service."""
    place.register(1, "served")
    database = place.server.service.database
    package = place.version("served", 1).package
    signature = Signature(task="binary", inputs=(), columns=(), feature_hash="f" * 64)
    with database.write() as conn:
        for _ in range(versions):
            register_version(
                conn, model="served", run_id=None, package=package, signature=signature, at=5, actor="test"
            )
        arms = [Arm(version=2, weight=10_000, arm="stable")]
        set_routing(conn, "served", model="served", arms=arms, actor="test", reason="first", at=6)
    place.registry.set_alias("served", "champion", 2)


def stable(place: Place) -> int:
    with place.server.service.database.read() as conn:
        return get_endpoint(conn, "served").stable.version


def test_moving_the_champion_of_a_served_model_moves_its_traffic(place: Place) -> None:
    serve(place)
    place.registry.set_alias("served", "champion", 3, reason="better")
    assert stable(place) == 3
    place.registry.rollback("served")
    assert stable(place) == 2
    with pytest.raises(Refused, match="it takes x0, x1, which callers do not send"):
        place.registry.set_alias("served", "champion", 1)
    assert place.registry.at("served")["version"] == stable(place) == 2


def test_a_stage_named_champion_moves_the_traffic_when_it_is_entered(place: Place) -> None:
    serve(place)
    place.registry.declare_stages([hs.Stage(name="champion", approval=True)], model="served")
    asked = place.registry.promote("served@3", "champion", actor="ada")["request"]
    assert stable(place) == 2
    place.registry.approve(asked["id"], actor="bob")
    assert (stable(place), place.registry.at("served")["version"]) == (3, 3)


def test_what_is_in_service_is_neither_renamed_nor_deleted(place: Place) -> None:
    serve(place)
    with pytest.raises(Conflict, match="in service"):
        place.registry.delete_model("served")
    with pytest.raises(Conflict, match="in service"):
        place.registry.rename("served", "other")
    with place.server.service.database.write() as conn:
        arms = [Arm(version=2, weight=10_000, arm="stable")]
        set_routing(conn, "served", model="served", arms=arms, shadows=[3], actor="test", reason="shadow", at=7)
    with pytest.raises(Conflict, match="looks on"):
        place.registry.delete_version("served@3")


# Tokens.


def test_a_token_does_what_it_may_and_is_who_did_it(guarded_on_both: Running) -> None:
    server = guarded_on_both

    def client(name: str, *permissions: str, projects: list[str] | None = None) -> Client:
        token = server.make_token(name, permissions=permissions, projects=projects)
        return Remote(server.url, token=token)

    writer, ann, ben = (
        client("writer", "read", "write"),
        client("ann", "read", "deploy"),
        client("ben", "read", "deploy"),
    )
    made = writer.registry.register(fitted(), "late", evaluation={"roc_auc": 0.9})
    assert made["actor"] == "writer"
    writer.registry.set_tags("late@1", {"a": "b"})
    for forbidden in (
        lambda: writer.registry.promote("late@1", "staging"),
        lambda: writer.registry.set_alias("late", "champion", 1),
        lambda: writer.registry.declare_stages(["live"], model="late"),
        lambda: writer.registry.rollback("late"),
        lambda: writer.registry.delete_version("late@1"),
        lambda: writer.registry.delete_model("late"),
        lambda: writer.registry.rename("late", "x"),
    ):
        with pytest.raises(Denied, match="deploy"):
            forbidden()
    assert {row["allowed"] for row in writer.registry.allowed_actions("late@1")} == {False}
    ann.registry.declare_stages([hs.Stage(name="live", approval=True)], model="late")
    asked = ann.registry.promote("late@1", "live", actor="somebody else")["request"]
    assert asked["asked_by"] == "ann"
    with pytest.raises(Denied, match="ann asked for this"):
        ann.registry.approve(asked["id"], actor="ben")
    with pytest.raises(Denied, match="deploy"):
        writer.registry.approve(asked["id"])
    done = ben.registry.approve(asked["id"], actor="ann")
    assert (done["move"]["actor"], done["move"]["evidence"]["asked_by"]) == ("ben", "ann")
    elsewhere = client("elsewhere", "read", "write", "deploy", projects=["other"])
    for forbidden in (
        lambda: elsewhere.registry.version("late@1"),
        lambda: elsewhere.registry.register(fitted(), "late"),
        lambda: elsewhere.registry.approve(asked["id"]),
        lambda: elsewhere.registry.declare_stages(["live"]),
        lambda: elsewhere.registry.create("third"),
    ):
        with pytest.raises(Denied):
            forbidden()
    assert elsewhere.registry.models() == []
    for opened in (writer, ann, ben, elsewhere):
        opened.close()


# Bodies that no client of ours sends.


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"flavor": "sklearn-skops", "files": {"model.skops": {"digest": "0" * 64}}}, "upload them"),
        ({"flavor": "sklearn-skops", "files": {"model.skops": {"digest": "../../x"}}}, "digest"),
        ({"flavor": "sklearn-skops", "files": {"../model.skops": {"digest": "0" * 64}}}, "cannot have the files"),
        ({"flavor": "nonsense", "files": {}}, "cannot have the files"),
        ({"flavor": "pickle", "files": {"model.pkl": {"digest": "0" * 64}}}, "needs a reason"),
        ({"flavor": "pickle"}, "files"),
        ({"flavor": "pickle", "files": {}, "signed": True}, "signed"),
    ],
)
def test_a_package_that_cannot_be_is_refused(start: Callable[..., Running], body: dict[str, Any], says: str) -> None:
    server = start()
    answer = server.call("POST", "/api/models/late/versions", json=body)
    assert answer.status_code in {400, 404}, answer.text
    assert says in answer.text
    assert server.call("GET", "/api/models").json() == []


def uploaded(server: Running, **about: Any) -> dict[str, Any]:
    """The body of a package whose bytes are there."""
    digest = server.service.blobs.put(package_model(fitted()).files["model.skops"])
    return {"flavor": "sklearn-skops", "files": {"model.skops": {"digest": digest}}, **about}


def test_a_request_that_is_sent_again_makes_no_second_version(start: Callable[..., Running]) -> None:
    server = start()
    body = uploaded(server, run="a" * 32, evaluation={"roc_auc": 0.8})
    answers = [server.call("POST", "/api/models/late/versions", json=body) for _ in range(2)]
    assert [(answer.status_code, answer.json()["ref"]) for answer in answers] == [(201, "late@1")] * 2
    other = server.call("POST", "/api/models/late/versions", json=body | {"evaluation": {"roc_auc": 0.9}})
    assert other.json()["ref"] == "late@2"


def test_an_alias_is_moved_only_from_where_it_was_expected(start: Callable[..., Running]) -> None:
    server = start()
    for _ in range(2):
        server.call("POST", "/api/models/late/versions", json=uploaded(server))
    put = "/api/models/late/aliases/champion"
    assert server.call("PUT", put, json={"version": 1, "expected": None}).status_code == 200
    answer = server.call("PUT", put, json={"version": 2, "expected": None})
    assert (answer.status_code, answer.json()["field"]) == (409, "expected")
    assert server.call("PUT", put, json={"version": 2, "expected": 1}).status_code == 200


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([{"name": "4"}], "cannot be an alias"),
        ([{"name": "a b"}], "not usable"),
        ([{"name": "a"}, {"name": "a"}], "cannot be declared"),
        ([{"name": "a", "requires": [{"kind": "has_tag"}]}], "names nothing"),
        ([{"name": "a", "requires": [{"kind": "has_tag", "name": "\x00"}]}], "names nothing"),
        ([{"name": "a", "requires": [{"kind": "magic"}]}], "magic"),
        ([{"name": "a", "requires": "signed"}], "requires"),
    ],
)
def test_stages_that_cannot_be_are_refused(start: Callable[..., Running], stages: Any, says: str) -> None:
    server = start()
    server.call("POST", "/api/models", json={"name": "late"})
    answer = server.call("PUT", "/api/models/late/stages", json={"stages": stages})
    assert answer.status_code == 400 and says in answer.text, answer.text
    kept = server.call("GET", "/api/models/late/stages").json()
    assert [stage["name"] for stage in kept] == ["staging", "production"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/models/a%00b/versions", None),
        ("GET", "/api/models/late/at?alias=a%00b", None),
        ("GET", "/api/models/late/versions/99999999999999999999", None),
        ("POST", "/api/models/late/rollback", {"alias": "a\x00b"}),
        ("POST", "/api/models/late/rollback", {"to": 10**12}),
        ("POST", "/api/requests/a%00b/approve", {}),
        ("POST", "/api/models/a%00/restore", None),
        ("PATCH", "/api/models/late", {"tags": {"a\x00": None}}),
        ("PATCH", "/api/models/late", {"description": "a\x00"}),
        ("POST", "/api/models", {"name": "x", "actor": "y" * 500}),
        ("POST", "/api/models", [1]),
        ("GET", "/api/models/late/requests?pending=maybe", None),
        ("DELETE", "/api/models/late/versions/champion", None),
    ],
)
def test_odd_requests_are_no_faults_of_ours(on_both: Running, method: str, path: str, body: Any) -> None:
    on_both.call("POST", "/api/models", json={"name": "late"})
    answer = on_both.call(method, path, json=body) if body is not None else on_both.call(method, path)
    assert answer.status_code < 500, answer.text
    assert "/at?" in path or answer.status_code >= 400
