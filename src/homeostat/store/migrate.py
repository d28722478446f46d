"""Bringing a catalogue to the newest schema: numbered Alembic revisions in one ordered folder."""

from pathlib import Path

import sqlalchemy as sa

from homeostat.ground.errors import Conflict
from homeostat.store.database import Database

_FOLDER = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """The highest numbered revision in the folder; files are named `0001_subject.py`."""
    return max(path.stem.split("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def current_revision(database: Database) -> str | None:
    """The revision a catalogue stands at; None for an empty one."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("select version_num from alembic_version")).scalar()


def upgrade(database: Database) -> None:
    """Bring the catalogue to the newest revision; one that stands there already costs a single query.

    Raises:
        Conflict: when a newer Homeostat has written the catalogue.
    """
    current, newest = current_revision(database), newest_revision()
    if current == newest:
        return
    if current is not None and current > newest:
        raise Conflict(
            f"the catalogue is at revision {current}, this Homeostat knows {newest}",
            next_step="upgrade homeostat",
        )
    _run_alembic(database)


def _run_alembic(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    with database.write() as connection:
        if connection.dialect.name == "postgresql":  # two processes that start at once must not both migrate
            connection.execute(sa.text("select pg_advisory_xact_lock(724001)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
