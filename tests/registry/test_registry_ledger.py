"""Versions, aliases and the ledger that only grows."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.ground.records import ColumnBins, FeatureColumn, InputColumn, Signature
from homeostat.registry import aliases, lookup, models, versions
from homeostat.registry.types import AliasMove, ModelVersion, PackageFile, StoredPackage
from homeostat.store.database import Database
from homeostat.store.events import list_events

SIGNATURE = Signature(
    task="binary",
    inputs=(InputColumn(name="origin", dtype="string"),),
    columns=(FeatureColumn(name="origin", kind="category", categories=("EWR", "JFK")),),
    feature_hash="f" * 16,
)
PACKAGE = StoredPackage("sklearn-skops", {"model.skops": PackageFile("d" * 64, 10)})
BINS = (ColumnBins(name="origin", kind="category", categories=("EWR", "JFK"), counts=(3, 4, 0, 1)),)


def register(database: Database, *, run_id: str | None = None, model: str = "late") -> ModelVersion:
    with database.write() as conn:
        return versions.register_version(
            conn,
            model=model,
            run_id=run_id or new_id(),
            package=PACKAGE,
            signature=SIGNATURE,
            bins=BINS,
            evaluation={"challenger": {"roc_auc": 0.7}},
            dataset="e" * 64,
            lineage={"commit": "abc"},
            at=5,
            actor="loop",
        )


@pytest.fixture
def filled(database: Database) -> Database:
    """The model `late` with versions 1 to 4."""
    with database.write() as conn:
        models.create_model(conn, "late", description="flights", at=1, actor="ada")
    for _ in range(4):
        register(database)
    return database


def promote(database: Database, version: int, *, at: int = 10, key: str | None = None) -> AliasMove:
    with database.write() as conn:
        return aliases.set_alias(
            conn, "late", "champion", version, at=at, actor="loop", reason="gates passed", kind="promote", key=key
        )


def back(database: Database, *, at: int = 20, to: int | None = None, key: str | None = None) -> int | None:
    with database.write() as conn:
        return aliases.rollback(conn, "late", at=at, actor="ada", reason="bad", to=to, key=key).to_version


def test_a_version_comes_back_whole_and_one_run_is_one_version(filled: Database) -> None:
    first = register(filled, run_id="a" * 32)
    assert register(filled, run_id="a" * 32) == first
    assert (first.version, first.ref, first.package, first.signature, first.bins) == (
        5,
        "late@5",
        PACKAGE,
        SIGNATURE,
        BINS,
    )
    assert first.package_digest == PACKAGE.digest
    with filled.read() as conn:
        assert versions.get_version(conn, "late", 5) == versions.get_version(conn, "late", "5") == first
        assert [version.version for version in versions.list_versions(conn, "late")] == [5, 4, 3, 2, 1]
        events = list_events(conn, subject="late")
    assert [event.kind for event in events] == ["model.created"] + ["version.registered"] * 5


def test_creating_a_model_again_leaves_it_as_it_is(filled: Database) -> None:
    with filled.write() as conn:
        assert models.create_model(conn, "late", description="other", at=9, actor="bob").description == "flights"
        assert [(model.name, model.newest) for model in models.list_models(conn)] == [("late", 4)]


def test_two_writers_at_once_number_without_gap_or_clash(filled: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [future.result().version for future in [pool.submit(register, filled) for _ in range(24)]]
    assert sorted(made) == list(range(5, 29))


def test_the_same_run_registered_at_once_by_many_is_one_version(filled: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(register, filled, run_id="b" * 32) for _ in range(8)]
    assert {future.result().version for future in made} == {5}


def test_what_is_not_there_is_named_with_what_is(filled: Database) -> None:
    promote(filled, 2)
    with filled.write() as conn:
        with pytest.raises(NotFound, match="no model 'lat'; known models: late"):
            models.get_model(conn, "lat")
        with pytest.raises(
            NotFound, match="model 'late' has no version 9; versions run from 1 to 4, aliases: champion -> 2"
        ):
            versions.get_version(conn, "late", 9)
        with pytest.raises(NotFound, match="model 'late' has no alias 'staging'"):
            versions.get_version(conn, "late", "staging")
        with pytest.raises(NotFound, match="no model 'x'"):
            aliases.history(conn, "x")
        models.create_model(conn, "empty", at=1, actor="ada")
        with pytest.raises(NotFound, match="train one with: homeostat train empty"):
            versions.get_version(conn, "empty", "champion")
    with pytest.raises(NotFound, match="no model 'nope'"):
        register(filled, model="nope")


def test_every_move_is_a_row_with_who_when_why(filled: Database) -> None:
    promote(filled, 1, at=10)
    promote(filled, 2, at=20)
    assert back(filled, at=30) == 1
    with filled.write() as conn:
        aliases.remove_alias(conn, "late", "champion", at=40, actor="ada", evidence={"ticket": 7})
    with filled.read() as conn:
        rows = aliases.history(conn, "late")
        moved = [event.data for event in list_events(conn, kinds=("alias.moved",))]
        times = [aliases.version_at(conn, "late", "champion", time) for time in (9, 10, 25, 30, 39, 40, 99)]
        with pytest.raises(NotFound):
            versions.get_version(conn, "late", "champion")
    assert [(row.kind, row.from_version, row.to_version) for row in rows] == [
        ("promote", None, 1),
        ("promote", 1, 2),
        ("rollback", 2, 1),
        ("remove", 1, None),
    ]
    assert (rows[2].actor, rows[2].reason, rows[3].evidence) == ("ada", "bad", {"ticket": 7})
    assert [data["to"] for data in moved] == [1, 2, 1, None]
    assert times == [None, 1, 2, 1, 1, None, None]


def test_two_rollbacks_go_further_back(filled: Database) -> None:
    for version in (1, 2, 3):
        promote(filled, version)
    assert [back(filled), back(filled)] == [2, 1]
    with pytest.raises(Conflict, match="nothing to go back to: it is at version 1"):
        back(filled)
    promote(filled, 4)
    assert back(filled) == 1


def test_a_rollback_can_name_an_earlier_holder(filled: Database) -> None:
    for version in (1, 2, 3):
        promote(filled, version)
    assert back(filled, to=1) == 1
    with pytest.raises(Conflict, match="nothing to go back to"):
        back(filled)
    assert back(filled, to=3) == 3
    assert back(filled) == 1
    with pytest.raises(Conflict, match="version 4: it never held the alias; versions that held it: 1, 2, 3"):
        back(filled, to=4)
    with pytest.raises(Conflict, match="stands there already"):
        back(filled, to=1)


def test_a_rollback_brings_a_removed_alias_back(filled: Database) -> None:
    promote(filled, 1)
    promote(filled, 2)
    with filled.write() as conn:
        aliases.remove_alias(conn, "late", "champion", at=15, actor="ada")
    assert back(filled) == 2
    assert back(filled) == 1


def test_a_rollback_before_any_promotion_says_so(filled: Database) -> None:
    with pytest.raises(Conflict, match="nothing to go back to: it is at no version"):
        back(filled)


def test_the_same_key_twice_is_one_move(filled: Database) -> None:
    first = promote(filled, 1, key="cycle-1")
    promote(filled, 2, key="cycle-2")
    assert promote(filled, 1, key="cycle-1") == first
    assert [back(filled, key="undo"), back(filled, key="undo")] == [1, 1]
    with filled.read() as conn:
        assert len(aliases.history(conn, "late")) == 3
        assert lookup.alias_at(conn, "late", "champion") == 1
    with pytest.raises(Conflict, match="key 'cycle-1'"):
        promote(filled, 3, key="cycle-1")


def test_setting_an_alias_where_it_stands_writes_nothing(filled: Database) -> None:
    assert promote(filled, 1) == promote(filled, 1, at=11)


def test_an_alias_moves_only_from_where_it_was_expected(filled: Database) -> None:
    with filled.write() as conn:
        aliases.set_alias(conn, "late", "champion", 1, at=1, actor="a", expected=None)
    with (
        pytest.raises(Conflict, match="champion of 'late' is at version 1, expected version 3"),
        filled.write() as conn,
    ):
        aliases.set_alias(conn, "late", "champion", 2, at=2, actor="a", expected=3)
    with filled.write() as conn:
        assert aliases.set_alias(conn, "late", "champion", 2, at=2, actor="a", expected=1).from_version == 1


@pytest.mark.parametrize("alias", ["4", "v12", "latest", "a/b", ""])
def test_an_alias_that_reads_like_a_version_is_refused(filled: Database, alias: str) -> None:
    with pytest.raises(Invalid), filled.write() as conn:
        aliases.set_alias(conn, "late", alias, 1, at=1, actor="a")


def test_an_alias_cannot_stand_on_a_version_that_is_not_there(filled: Database) -> None:
    with pytest.raises(NotFound, match="no version 9"):
        promote(filled, 9)


REWRITES = {
    "sqlite": ["insert or replace into registry_ledger select * from registry_ledger"],
    "postgresql": ["truncate registry_ledger"],
}


def test_the_database_itself_refuses_to_rewrite_the_ledger(filled: Database) -> None:
    promote(filled, 1)
    promote(filled, 2, key="k")
    for statement in (
        "update registry_ledger set to_version = 3",
        "delete from registry_ledger",
        *REWRITES[filled.dialect],
    ):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), filled.write() as conn:
            conn.execute(sa.text(statement))
    with filled.read() as conn:
        assert [row.to_version for row in aliases.history(conn, "late")] == [1, 2]


def test_the_tables_are_what_the_migrations_make(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    import homeostat.datasets.store
    import homeostat.evaluation.store
    import homeostat.tracking.store
    from homeostat.store.database import metadata

    rooms = ("tracking_", "datasets_", "evaluation_", "registry_")
    with database.read() as conn:
        context = MigrationContext.configure(
            conn,
            opts={
                "compare_type": True,
                "target_metadata": metadata,
                "include_name": lambda name, kind, _: kind != "table" or str(name).startswith(rooms),
                "include_object": lambda _item, name, kind, *_: kind != "table" or str(name).startswith(rooms),
            },
        )
        assert compare_metadata(context, metadata) == []
    assert Path(homeostat.datasets.store.__file__).exists()
