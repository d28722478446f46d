"""The numbered revisions and the tables that rooms declare say the same, on both databases."""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import homeostat
from homeostat.ground.errors import Conflict
from homeostat.store.database import Database, metadata, open_database
from homeostat.store.migrate import current_revision, newest_revision, upgrade

STORE_TABLES = {"events", "outbox"}


def rooms_with_tables() -> dict[str, set[str]]:
    """The tables each room's `store` module declares."""
    import homeostat.store.events
    import homeostat.store.outbox

    declared: dict[str, set[str]] = {}
    for package in pkgutil.iter_modules(homeostat.__path__):
        if not package.ispkg or importlib.util.find_spec(f"homeostat.{package.name}.store") is None:
            continue
        module = importlib.import_module(f"homeostat.{package.name}.store")
        tables = {value.name for value in vars(module).values() if isinstance(value, sa.Table)}
        declared[package.name] = tables - STORE_TABLES
    return declared


def differences(database: Database) -> list[object]:
    with database.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "target_metadata": metadata})
        return list(compare_metadata(context, metadata))


def test_the_revisions_make_exactly_the_declared_tables(database: Database) -> None:
    rooms_with_tables()
    assert differences(database) == []


def test_every_declared_table_bears_the_name_of_its_room() -> None:
    rooms = rooms_with_tables()
    strangers = {table for room, tables in rooms.items() for table in tables if not table.startswith(f"{room}_")}
    assert strangers == set()
    assert set(metadata.tables) == STORE_TABLES.union(*rooms.values())


def test_an_empty_catalogue_has_no_revision_and_a_new_one_the_newest(database_url: str) -> None:
    database = open_database(database_url)
    assert current_revision(database) is None
    upgrade(database)
    assert current_revision(database) == newest_revision()
    database.close()


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.write() as conn:
        conn.execute(sa.text("insert into outbox values ('a', 'topic', '{}', 0, 0, 'waiting', '')"))
    upgrade(database)
    with database.read() as conn:
        assert conn.execute(sa.text("select count(*) from outbox")).scalar_one() == 1


def test_a_catalogue_written_by_a_newer_homeostat_is_refused(database: Database) -> None:
    with database.write() as conn:
        conn.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(Conflict, match=r"9999.*upgrade homeostat"):
        upgrade(database)


def test_revisions_are_numbered_without_a_gap() -> None:
    folder = Path(homeostat.__path__[0]) / "store" / "migrations" / "versions"
    numbers = sorted(int(path.stem.split("_")[0]) for path in folder.glob("[0-9]*.py"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.slow
def test_two_processes_that_start_at_once_both_find_the_newest_schema(database_url: str) -> None:
    program = (
        "import sys; from homeostat.store.database import open_database; from homeostat.store.migrate import upgrade; "
        "upgrade(open_database(sys.argv[1]))"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, database_url]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    database = open_database(database_url)
    assert current_revision(database) == newest_revision()
    database.close()
