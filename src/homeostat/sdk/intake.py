"""The methods of models that are served elsewhere, the same on a home and over HTTP; each names its verb."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Plain = dict[str, Any]


class MonitorClient(Protocol):
    """`hs.connect(...).monitors`."""

    def watch(
        self,
        name: str,
        *,
        task: str,
        reference: str | Path | Sequence[Mapping[str, Any]] | None = None,
        version: str = "1",
        features: Sequence[Any] = (),
        keys: Sequence[Any] = (),
        classes: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        watch: Sequence[Mapping[str, Any]] | None = None,
        description: str = "",
        actor: str = "person",
    ) -> Plain:
        """Watch a model that is served elsewhere, or another `version` of one.

        `reference`: rows like those it was trained on, or a file of them (.parquet, .csv, .ndjson, .arrow), from which
        bins are fitted. `columns`: field (`time`, `score`, ..., `label` of the reference) to the name that rows have.
        """
        ...

    def tables(self, *, model: str | None = None) -> list[Plain]: ...

    def list(self) -> list[Plain]: ...

    def get(self, name: str) -> Plain:
        """One monitor with what its newest check said."""
        ...

    def remove(self, name: str) -> Plain:
        """Watch it no longer; what it answered stays."""
        ...

    def send(self, name: str, rows: str | Path | Sequence[Mapping[str, Any]], *, partial: bool = False) -> Plain:
        """Send what it answered: rows, or a file of them. All or nothing, unless `partial`."""
        ...

    def add_table(
        self,
        name: str,
        url: str,
        *,
        model: str,
        table: str = "",
        query: str = "",
        time_column: str = "time",
        cursor_column: str = "",
        every: str = "10min",
        overlap: str | int = "1h",
        time_unit: str = "us",
        columns: Mapping[str, str] | None = None,
        since: str | int | None = None,
    ) -> Plain:
        """Read what it answers from a table or from Parquet files, on a schedule."""
        ...

    def remove_table(self, name: str) -> Plain: ...

    def read_table(self, name: str) -> Plain:
        """Read what is new now, and say what came of it."""
        ...


def monitor_body(name: str, said: Mapping[str, Any]) -> Plain:
    """The body of `POST /api/monitors`, the reference apart."""
    left_out = (None, (), "")
    return {"name": name} | {key: _plain(value) for key, value in said.items() if value not in left_out}


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[Plain]:
    """Rows as JSON has them: datetimes as text, NumPy's scalars as Python's."""
    return [_plain(row) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
