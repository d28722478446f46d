"""Stages, what they require, who must agree; names that are given again; who was champion when."""

import pytest
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Denied, Invalid, NotFound, Refused
from homeostat.registry import aliases, models, promotion, stages, versions
from homeostat.registry.requirements import Requirement
from homeostat.registry.stages import Stage
from homeostat.registry.types import ModelVersion, PackageFile, StoredPackage
from homeostat.store.database import Database

PACKAGE = StoredPackage("mlflow", {"MLmodel": PackageFile("d" * 64, 10)})


@pytest.fixture
def late(database: Database) -> Database:
    """A model with four versions whose roc_auc are 0.6, 0.7, 0.8, 0.9."""
    with database.write() as conn:
        models.create_model(conn, "late flights", at=1, actor="ada")
        for number in range(6, 10):
            register(conn, auc=number / 10)
    return database


def register(conn: Connection, *, auc: float = 0.5, run: str | None = None) -> ModelVersion:
    evaluation = {"evaluation": {"challenger": {"roc_auc": auc}}}
    return versions.register_version(
        conn, model="late flights", run_id=run, package=PACKAGE, evaluation=evaluation, again=True, at=2, actor="ada"
    )


def test_who_was_champion_is_answered_from_the_ledger_after_ten_moves_and_two_rollbacks(late: Database) -> None:
    truth: dict[int, int] = {}
    with late.write() as conn:
        for at, version in enumerate([1, 2, 3, 1, 4, 2, 4, 3, 1, 2], start=10):
            aliases.set_alias(conn, "late flights", "champion", version, at=at * 10, actor="ada", reason=f"move {at}")
            truth[at * 10] = version
        for at in (300, 310):
            truth[at] = aliases.rollback(conn, "late flights", at=at, actor="bob", reason="worse").to_version or 0
    assert (truth[300], truth[310]) == (1, 3)
    with late.read() as conn:
        assert aliases.version_at(conn, "late flights", "champion", 99) is None
        for at, version in truth.items():
            for moment in (at, at + 5):
                assert aliases.version_at(conn, "late flights", "champion", moment) == version
        history = aliases.history(conn, "late flights", alias="champion")
    assert [move.kind for move in history] == ["set"] * 10 + ["rollback"] * 2
    assert (history[-1].actor, history[-1].reason, history[-1].from_version) == ("bob", "worse", 1)


def test_rolling_back_with_nothing_before_is_refused(late: Database) -> None:
    with late.write() as conn:
        with pytest.raises(Conflict, match="nothing to go back to"):
            aliases.rollback(conn, "late flights", at=5, actor="ada")
        aliases.set_alias(conn, "late flights", "champion", 1, at=5, actor="ada")
        with pytest.raises(Conflict, match="nothing to go back to"):
            aliases.rollback(conn, "late flights", at=6, actor="ada")


def test_a_version_that_does_not_show_what_a_stage_requires_is_refused_with_its_numbers(late: Database) -> None:
    declared = [
        Stage(name="staging"),
        Stage(
            name="production",
            requires=(
                Requirement(kind="at_least", name="roc_auc", bound=0.75),
                Requirement(kind="was_in", name="staging"),
            ),
        ),
    ]
    with late.write() as conn:
        stages.declare_stages(conn, declared, model="late flights", at=3, actor="ada")
        with pytest.raises(Refused, match=r"roc_auc >= 0.75 \(it is 0.6\).*never been in staging"):
            promotion.promote(conn, "late flights", 1, "production", at=4, actor="ada")
        assert promotion.promote(conn, "late flights", 3, "staging", at=5, actor="ada").move is not None
        moved = promotion.promote(conn, "late flights", 3, "production", at=6, actor="ada", reason="good").move
        assert moved is not None and (moved.alias, moved.to_version, moved.kind) == ("production", 3, "promote")
        assert moved.evidence["requirements"][0]["value"] == 0.8
        assert versions.get_version(conn, "late flights", "production").stage == "production"
        with pytest.raises(Conflict, match="already"):
            promotion.promote(conn, "late flights", 3, "production", at=7, actor="ada")


def test_a_stage_that_needs_approval_waits_for_somebody_else(late: Database) -> None:
    with late.write() as conn:
        stages.declare_stages(conn, [Stage(name="live", approval=True)], at=3, actor="ada")
        asked = promotion.promote(conn, "late flights", 2, "live", at=4, actor="ada", reason="please").request
        assert asked is not None and asked.state == "pending"
        again = promotion.promote(conn, "late flights", 2, "live", at=5, actor="ada").request
        assert again is not None and again.id == asked.id
        with pytest.raises(Denied, match="cannot approve"):
            promotion.approve(conn, asked.id, at=6, actor="ada")
        with pytest.raises(Refused, match="without approval"):
            promotion.transition(conn, "late flights", 2, "live", archive_others=False, at=6, actor="ada")
        assert "live" not in models.get_model(conn, "late flights").aliases
        moved = promotion.approve(conn, asked.id, at=7, actor="bob", comment="fine")
        assert moved is not None
        assert (moved.evidence["asked_by"], moved.evidence["approved_by"]) == ("ada", "bob")
        with pytest.raises(Conflict, match="approved by bob"):
            promotion.reject(conn, asked.id, at=8, actor="eve")
        turned = promotion.promote(conn, "late flights", 3, "live", at=9, actor="ada").request
        assert turned is not None
        assert promotion.reject(conn, turned.id, at=10, actor="bob").state == "rejected"
        assert models.get_model(conn, "late flights").aliases == {"live": 2}


def test_every_action_that_is_refused_says_why(late: Database) -> None:
    required = (Requirement(kind="at_least", name="roc_auc", bound=0.75), Requirement(kind="signed"))
    with late.write() as conn:
        stages.declare_stages(conn, [Stage(name="live", requires=required)], at=3, actor="ada")
        aliases.set_alias(conn, "late flights", "champion", 1, at=4, actor="ada")
        actions = {item.action: item for item in promotion.allowed_actions(conn, "late flights", 1, actor="ada")}
    assert set(actions) == {"promote to live", "roll champion back", "delete"}
    assert not any(item.allowed for item in actions.values())
    assert "it is 0.6" in actions["promote to live"].why and "without a signature" in actions["promote to live"].why
    assert actions["delete"].why == "champion stands on it"
    assert "nothing to go back to" in actions["roll champion back"].why


def test_several_versions_are_in_a_stage_and_the_alias_follows_the_newest_that_is_left(late: Database) -> None:
    with late.write() as conn:
        for version in (1, 2):
            promotion.transition(conn, "late flights", version, "production", archive_others=False, at=5, actor="ada")
        assert [item.stage for item in versions.list_versions(conn, "late flights")] == [
            "",
            "",
            "production",
            "production",
        ]
        promotion.transition(conn, "late flights", 2, "archived", archive_others=False, at=6, actor="ada")
        assert models.get_model(conn, "late flights").aliases == {"production": 1}
        promotion.transition(conn, "late flights", 3, "production", archive_others=True, at=7, actor="ada")
        newest = stages.latest_versions(conn, "late flights")
        assert [(item.version, item.stage) for item in newest] == [(4, ""), (3, "production"), (2, "archived")]
        promotion.transition(conn, "late flights", 3, "", archive_others=False, at=8, actor="ada")
        assert models.get_model(conn, "late flights").aliases == {}


def test_a_deleted_model_frees_its_name_and_the_new_one_inherits_nothing(late: Database) -> None:
    with late.write() as conn:
        aliases.set_alias(conn, "late flights", "champion", 2, at=4, actor="ada")
        models.delete_model(conn, "late flights", at=5, actor="ada")
        with pytest.raises(NotFound):
            models.get_model(conn, "late flights")
        models.create_model(conn, "late flights", at=6, actor="bob")
        assert aliases.history(conn, "late flights") == []
        assert versions.list_versions(conn, "late flights") == []
        assert register(conn).version == 1


def test_a_renamed_model_keeps_its_ledger(late: Database) -> None:
    with late.write() as conn:
        aliases.set_alias(conn, "late flights", "champion", 2, at=4, actor="ada")
        models.create_model(conn, "other", at=4, actor="ada")
        with pytest.raises(Conflict, match="already"):
            models.rename_model(conn, "late flights", "other", at=5, actor="ada")
        models.rename_model(conn, "late flights", "late-2", at=5, actor="ada")
        assert [move.model for move in aliases.history(conn, "late-2")] == ["late-2"]
        assert versions.get_version(conn, "late-2", "champion").ref == "late-2@2"


def test_a_deleted_version_is_gone_with_its_aliases_and_its_number_is_not_given_again(late: Database) -> None:
    with late.write() as conn:
        aliases.set_alias(conn, "late flights", "champion", 4, at=4, actor="ada")
        versions.delete_version(conn, "late flights", 4, at=5, actor="ada")
        assert models.get_model(conn, "late flights").aliases == {}
        assert aliases.history(conn, "late flights")[-1].kind == "remove"
        assert register(conn).version == 5
        with pytest.raises(NotFound, match="no version 4"):
            versions.get_version(conn, "late flights", 4)


def test_one_run_makes_one_version_for_the_loop_and_several_by_hand(late: Database) -> None:
    run = "a" * 32
    with late.write() as conn:
        first, second = register(conn, run=run), register(conn, run=run)
        assert second.version == first.version + 1
        same = versions.register_version(conn, model="late flights", run_id=run, package=PACKAGE, at=9, actor="loop")
        assert same.version in (first.version, second.version)


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "x" * 257, "a\nb", "a\x00b"])
def test_a_name_that_no_address_could_hold_is_refused(sqlite_database: Database, name: str) -> None:
    with sqlite_database.write() as conn, pytest.raises(Invalid, match="without '/'"):
        models.create_model(conn, name, at=1, actor="ada")
