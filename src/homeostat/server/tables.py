"""The verbs of tables that are read on a schedule, over a home; adding and removing them is an admin's."""

from typing import Any

import msgspec

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock
from homeostat.ground.settings import Settings
from homeostat.loop.table_source import (
    TableReader,
    add_table,
    get_table,
    list_tables,
    read_spec,
    remove_table,
    table_view,
)
from homeostat.server.intake_bodies import TableBody
from homeostat.store.database import Database

Plain = dict[str, Any]


class Tables:
    """Every method is one verb and returns plain data, in which no password is."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    def add(self, model: str, body: TableBody, *, actor: str) -> Plain:
        """Read a table from now on."""
        spec = read_spec(
            table=body.table,
            query=body.query,
            time_column=body.time_column,
            cursor_column=body.cursor_column,
            every=body.every,
            overlap=body.overlap,
            time_unit=body.time_unit,
            columns=body.columns,
        )
        with self._database.write() as conn:
            made = add_table(
                conn,
                model,
                body.name,
                body.url,
                spec,
                settings=self._settings,
                since=body.since,
                at=self._clock.now(),
                actor=actor,
            )
        return table_view(made)

    def list(self, model: str | None = None, who: Identity = LOCAL) -> list[Plain]:
        with self._database.read() as conn:
            return [table_view(one) for one in list_tables(conn, model) if who.may_touch(one.model)]

    def remove(self, name: str, *, actor: str) -> Plain:
        with self._database.write() as conn:
            return table_view(remove_table(conn, name, at=self._clock.now(), actor=actor))

    def read(self, name: str) -> Plain:
        """Read what is new now, and say what came of it."""
        with self._database.read() as conn:
            get_table(conn, name)
        look: Plain = msgspec.to_builtins(TableReader(self._database, self._settings, self._clock).read(name))
        return {"accepted": 0, "duplicates": 0, "refused": 0} | look
