"""Models that are served elsewhere, watched by a home that is opened in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from homeostat.ground.access import LOCAL
from homeostat.ground.errors import Invalid
from homeostat.sdk.intake import Plain, monitor_body, plain_rows
from homeostat.sdk.label_rows import content_type
from homeostat.server.intake import Intake
from homeostat.server.intake_bodies import MonitorBody, RowsBody, TableBody
from homeostat.server.label_files import KINDS
from homeostat.server.tables import Tables

Body = TypeVar("Body", bound=msgspec.Struct)
Rows = str | Path | Sequence[Mapping[str, Any]]


class EmbeddedMonitors:
    """The methods on a home that is opened in this process; rules are checked while a server of this home runs."""

    def __init__(self, intake: Intake, tables: Tables) -> None:
        self._intake = intake
        self._tables = tables

    def watch(self, name: str, *, reference: Rows | None = None, **said: Any) -> Plain:
        body = monitor_body(name, said)
        if isinstance(reference, str | Path):
            path = Path(reference)
            return self._intake.watch_with_file(_checked(MonitorBody, body), path, KINDS[content_type(path)])
        rows = {"reference": plain_rows(reference)} if reference is not None else {}
        return self._intake.watch(_checked(MonitorBody, body | rows))

    def tables(self, *, model: str | None = None) -> list[Plain]:
        return self._tables.list(model)

    def list(self) -> list[Plain]:
        return self._intake.monitors()

    def get(self, name: str) -> Plain:
        return self._intake.monitor(name)

    def remove(self, name: str) -> Plain:
        return self._intake.remove(name)

    def send(self, name: str, rows: Rows, *, partial: bool = False) -> Plain:
        if isinstance(rows, str | Path):
            path = Path(rows)
            return self._intake.take_file(name, path, KINDS[content_type(path)], partial=partial)
        body = _checked(RowsBody, {"model": name, "rows": plain_rows(rows)})
        return self._intake.take(body, partial=partial)

    def add_table(self, name: str, url: str, *, model: str, **said: Any) -> Plain:
        given = {key: value for key, value in said.items() if value is not None}
        body = _checked(TableBody, {"name": name, "url": url} | given)
        return self._tables.add(model, body, actor=LOCAL.name)

    def remove_table(self, name: str) -> Plain:
        return self._tables.remove(name, actor=LOCAL.name)

    def read_table(self, name: str) -> Plain:
        return self._tables.read(name)


def _checked(kind: type[Body], given: Mapping[str, Any]) -> Body:
    """A body made in this process, checked as if it had come over HTTP.

    Raises:
        Invalid: naming what is of another type.
    """
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field=str(error).rpartition("`$.")[2].partition("`")[0]) from error
