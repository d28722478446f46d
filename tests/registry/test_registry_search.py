"""Search over the registry: filters, orders and pages on both databases."""

from collections.abc import Sequence

import pytest
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.registry import store
from homeostat.registry.aliases import set_alias
from homeostat.registry.models import create_model, delete_model, get_model, list_models
from homeostat.registry.search import search_models, search_versions
from homeostat.registry.stages import Stage, declare_stages, enter_stage, latest_of_models, latest_versions
from homeostat.registry.types import PackageFile, StoredPackage
from homeostat.registry.versions import delete_version, register_version, set_version_tags
from homeostat.store.database import Database

PACKAGE = StoredPackage("mlflow", {"MLmodel": PackageFile("a" * 64, 1)})
MANY = 1_200
"""More than the depth of an expression that SQLite takes (1000)."""


def register(conn: Connection, model: str, *, at: int = 1, run_id: str | None = None, source: str = "") -> None:
    register_version(conn, model=model, run_id=run_id, package=PACKAGE, source=source, again=True, at=at, actor="ada")


def fill(conn: Connection) -> None:
    """b@1, b@2, a@1 and the empty c, each changed later than the one before."""
    for name in ("b", "a", "c"):
        create_model(conn, name, tags={"team": name.upper()}, at=1, actor="ada")
    register(conn, "b", at=1_000_000, run_id="r1", source="runs:/r1/model")
    register(conn, "b", at=2_000_000, run_id="r2", source="runs:/r2/model")
    register(conn, "a", at=3_000_000, source="models:/m-1")
    set_version_tags(conn, "b", 1, {"note": "It's 100% fine"}, at=4_000_000, actor="ada", announce=False)


def versions(conn: Connection, text: str = "", order_by: Sequence[str] = ("name", "version_number")) -> list[str]:
    return [found.ref for found in search_versions(conn, text=text, order_by=order_by, now=10_000_000).versions]


def models(conn: Connection, text: str = "", order_by: Sequence[str] = ()) -> list[str]:
    return [found.name for found in search_models(conn, text=text, order_by=order_by, now=10_000_000).models]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["a@1", "b@1", "b@2"]),
        ("name = 'b'", ["b@1", "b@2"]),
        ("name != 'b'", ["a@1"]),
        ("name LIKE 'B'", []),
        ("name ILIKE 'B'", ["b@1", "b@2"]),
        ("name IN ('a', 'c')", ["a@1"]),
        ("name NOT IN ('a', 'c')", ["b@1", "b@2"]),
        ("run_id = 'r2'", ["b@2"]),
        ("run_id IN ('r1', 'r2') and version_number < 2", ["b@1"]),
        ("run_id != 'r1'", ["a@1", "b@2"]),
        ("source_path LIKE 'runs:/%'", ["b@1", "b@2"]),
        ("source_path ILIKE '%M-1'", ["a@1"]),
        ("version_number >= 2", ["b@2"]),
        ("version_number IN (1)", ["a@1", "b@1"]),
        ("attributes.version_number = '2'", ["b@2"]),
        ("creation_timestamp = 2000", ["b@2"]),
        ("creation_timestamp >= 2000 and last_updated_timestamp < 3000", ["b@2"]),
        ("creation_timestamp > now() - 7500ms", ["a@1"]),
        ("tags.note = 'It''s 100% fine'", ["b@1"]),
        ("tag.`note` LIKE '%100\\% fine'", []),
        ('tags."note" LIKE "%100% fine"', ["b@1"]),
        ("tags.note != 'x'", ["b@1"]),
        ("tags.note IS NULL", ["a@1", "b@2"]),
        ("tags.note IS NOT NULL", ["b@1"]),
        ("tags.note CONTAINS '100%'", ["b@1"]),
        ("tags.note =~ '^It.s'", ["b@1"]),
        ("(name = 'a' or version_number = 2) and not run_id = 'r2'", ["a@1"]),
        ("stage = ''", ["a@1", "b@1", "b@2"]),
        ("name = 'é' or name = '''; drop table registry_versions; --'", []),
        ("version_number = 99999999999999999", []),
    ],
)
def test_versions_are_filtered(database: Database, text: str, found: list[str]) -> None:
    with database.write() as conn:
        fill(conn)
        assert versions(conn, text) == found


def test_models_are_filtered_and_ordered(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
        assert models(conn) == ["a", "b", "c"]
        assert models(conn, order_by=["name DESC"]) == ["c", "b", "a"]
        assert models(conn, order_by=["last_updated_timestamp DESC"]) == ["a", "b", "c"]
        assert models(conn, "tags.team ILIKE 'B' or tags.team = 'C'") == ["b", "c"]
        delete_model(conn, "b", at=5, actor="ada")
        assert models(conn) == ["a", "c"] and versions(conn) == ["a@1"]


@pytest.mark.parametrize(
    "text",
    ["color = 'x'", "metrics.a > 1", "params.a = '1'", "name", "name = 5", "name >", "version_number = 'x'", "("],
)
def test_a_filter_that_makes_no_sense_is_refused(sqlite_database: Database, text: str) -> None:
    with sqlite_database.read() as conn, pytest.raises(Invalid) as refused:
        versions(conn, text)
    assert refused.value.field == "filter"


def test_the_newest_changed_comes_first_unless_ordered_otherwise(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
        assert versions(conn, order_by=()) == ["a@1", "b@2", "b@1"]
        assert versions(conn, order_by=["name DESC", "version_number DESC"]) == ["b@2", "b@1", "a@1"]
        for bad in (["color"], ["name", "name DESC"], ["name sideways"], ["tags.note"]):
            with pytest.raises(Invalid) as refused:
                versions(conn, order_by=bad)
            assert refused.value.field == "order_by"


def test_pages_of_more_models_than_an_expression_has_depth_hold_each_version_once(database: Database) -> None:
    with database.write() as conn:
        create_model(conn, "first", at=1, actor="ada")
        register(conn, "first")
        model = dict(conn.execute(store.models.select()).mappings().one())
        version = dict(conn.execute(store.versions.select()).mappings().one())
        names = [f"m{number:04}" for number in range(MANY)]
        conn.execute(store.models.insert(), [model | {"key": name, "name": name} for name in names])
        conn.execute(store.versions.insert(), [version | {"model": name} for name in names])
        assert versions(conn, "name LIKE 'm%'") == [f"{name}@1" for name in names[:100]]
        whole = search_versions(conn, text="name LIKE 'm%'", order_by=["name"], limit=5000, now=1)
        assert [found.model for found in whole.versions] == names and whole.next_token is None
        seen: list[str] = []
        token: str | None = None
        while len(seen) <= MANY:
            page = search_versions(conn, order_by=["creation_timestamp"], limit=500, page_token=token, now=1)
            seen += [found.ref for found in page.versions]
            token = page.next_token
            if token is None:
                break
        assert seen == ["first@1", *(f"{name}@1" for name in names)]
        assert [found.newest for found in list_models(conn)] == [1] * (MANY + 1)
        with pytest.raises(Invalid, match="another search"):
            search_versions(conn, page_token=page_token_of(conn), text="name = 'x'", now=1)


def page_token_of(conn: Connection) -> str | None:
    return search_versions(conn, limit=1, now=1).next_token


def test_each_stage_has_its_newest_version_for_one_model_and_for_many(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
        for _ in range(3):
            register(conn, "a")
        declare_stages(conn, [Stage(name="qa"), Stage(name="live")], model="a", at=2, actor="ada")
        for version, stage in ((1, "live"), (2, "qa"), (3, "qa")):
            enter_stage(conn, "a", version, stage, archive_others=False, at=3, actor="ada")
        delete_version(conn, "b", 2, at=4, actor="ada")
        declare_stages(conn, [Stage(name="live")], model="a", at=5, actor="ada")
        assert [found.version for found in latest_versions(conn, "a")] == [4, 1, 3]
        assert [found.version for found in latest_versions(conn, "a", ["live", "qa"])] == [1, 3]
        many = latest_of_models(conn, list_models(conn))
        assert {name: [found.version for found in many[name]] for name in many} == {"a": [4, 1, 3], "b": [1], "c": []}


def test_aliases_of_a_name_that_was_given_again_are_the_new_models(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
        set_alias(conn, "b", "champion", 2, at=5, actor="ada")
        assert get_model(conn, "b").aliases == {"champion": 2}
        delete_model(conn, "b", at=6, actor="ada")
        create_model(conn, "b", at=7, actor="ada")
        assert (get_model(conn, "b").aliases, get_model(conn, "b").newest) == ({}, None)
