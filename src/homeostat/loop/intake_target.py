"""What rows are posted for: a model that is watched here and answers elsewhere, with the versions that rows name."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.records import ColumnBins, FeatureColumn, InputColumn
from homeostat.loop.declaration import get_declaration
from homeostat.loop.ingest import slow_limits
from homeostat.loop.labelling import labelled_model
from homeostat.loop.monitors import Monitor, find_monitor
from homeostat.monitoring.truth import Truth
from homeostat.monitoring.types import Latency
from homeostat.registry.lookup import aliases_of, model_key, newest_number
from homeostat.registry.versions import get_version
from homeostat.store.database import Database

FIELDS = (
    "request_id",
    "time",
    "version",
    "arm",
    "score",
    "prediction",
    "latency_ms",
    "latency_us",
    "status",
    "error",
)
"""What a row says beside its features."""


class TargetVersion(msgspec.Struct, frozen=True):
    """What is needed of a version to take its rows in."""

    number: int
    columns: tuple[FeatureColumn, ...]
    times: frozenset[str]
    """Those of the columns that are times."""
    bins: tuple[ColumnBins, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


class Target:
    """A model that predictions may be posted for."""

    def __init__(self, database: Database, model: str) -> None:
        self.model = model
        self.mapping: dict[str, str] = {}
        """Field to the name that a row has for it, where that is another."""
        self._database = database
        self._versions: dict[int, TargetVersion] = {}
        self._numbers: dict[Any, int] = {}
        with database.read() as conn:
            self.monitor: Monitor | None = find_monitor(conn, model)
            self.rename(self.monitor.columns if self.monitor is not None else {})
            labelled = labelled_model(conn, model)
            self.truth: Truth = labelled.truth
            self.current = self._current(conn)
            self.slow_us = self._slow(conn)
            self._load(conn, self.current)
        self.keys: tuple[InputColumn, ...] = tuple(
            column for name, column in labelled.columns.items() if name not in self._versions[self.current].names
        )

    def rename(self, columns: dict[str, str]) -> None:
        """Let rows have other names for these fields."""
        self.mapping = self.mapping | columns

    def version(self, said: Any) -> TargetVersion:
        """The version that a row names: by its number here, or by the name it was registered under; None: the newest.

        Raises:
            Invalid: when there is none.
        """
        if said is None:
            return self._versions[self.current]
        key = str(said)
        if key not in self._numbers:
            self._numbers[key] = self._number(key)
        return self._versions[self._numbers[key]]

    def loaded(self) -> list[TargetVersion]:
        """The versions that rows have named."""
        return list(self._versions.values())

    def _number(self, said: str) -> int:
        known = self.monitor.versions if self.monitor is not None else {}
        number = known.get(said)
        if number is None and said.isdecimal() and len(said) < 10:
            number = int(said)
        with self._database.read() as conn:
            try:
                self._load(conn, -1 if number is None else number)
            except NotFound as error:
                names = ", ".join(known) or str(self.current)
                raise Invalid(
                    f"{self.model!r} has no version {said!r:.60}",
                    field="version",
                    next_step=f"name one of {names}, or make it known: homeostat model watch {self.model} --version V",
                ) from error
        assert number is not None  # there is no version -1
        return number

    def _load(self, conn: Connection, number: int) -> None:
        if number in self._versions:
            return
        found = get_version(conn, self.model, number)
        dtypes = {column.name: column.dtype for column in found.signature.inputs}
        times = frozenset(one.name for one in found.signature.columns if dtypes.get(one.name) == "time")
        self._versions[number] = TargetVersion(number, found.signature.columns, times, found.bins)

    def _current(self, conn: Connection) -> int:
        if self.monitor is not None:
            return self.monitor.version
        number = aliases_of(conn, self.model).get("champion") or newest_number(conn, model_key(conn, self.model))
        if number is None:
            raise NotFound(
                f"{self.model!r} has no version that could have answered",
                field="model",
                next_step=f"say what it takes: homeostat model watch {self.model} --help",
            )
        return number

    def _slow(self, conn: Connection) -> int | None:
        """Over how many microseconds a request of it counts as slow."""
        if self.monitor is None:
            try:
                get_declaration(conn, self.model)
            except NotFound:
                return None
            return slow_limits(conn).get(self.model)
        return next((rule.p99 for rule in self.monitor.watch if isinstance(rule, Latency)), None)
