"""What comes with predictions of models that are served elsewhere: rows, monitors, tables."""

from collections.abc import Iterator
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.loop.intake_files import Chunk, chunks_of_columns, chunks_of_rows


class RowsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /predictions`: rows as objects, or as columns."""

    model: str
    rows: list[Any] | msgspec.UnsetType = msgspec.UNSET
    columns: dict[str, list[Any]] | msgspec.UnsetType = msgspec.UNSET

    def chunks(self) -> Iterator[Chunk]:
        """The rows.

        Raises:
            Invalid: when there are both, or neither.
        """
        if isinstance(self.rows, list) == isinstance(self.columns, dict):
            raise Invalid(
                "give rows, or columns", field="rows", next_step='{"model": ..., "rows": [{"request_id": ..., ...}]}'
            )
        if isinstance(self.columns, dict):
            return chunks_of_columns(self.columns)
        assert isinstance(self.rows, list)  # that is why
        return chunks_of_rows(self.rows)


class ColumnBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column by name; without a dtype it is found out from the reference, or a number."""

    name: str
    dtype: str = ""
    """'number', 'string', 'boolean' or 'time'."""


class MonitorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/monitors`: a model that is served elsewhere, or another version of one."""

    name: str
    task: str
    version: str = "1"
    """What this version is called where it is served."""
    classes: tuple[str, ...] = ()
    features: tuple[str | ColumnBody, ...] = ()
    """Which columns are watched; all of the reference, when none are named."""
    keys: tuple[str | ColumnBody, ...] = ()
    """Columns that say which entity a row is about, so that labels find it."""
    columns: dict[str, str] = {}
    """Field (`time`, `score`, ...; `label` in the reference) to the name that rows have for it."""
    reference: list[dict[str, Any]] = []
    """Rows that the model was trained or tried on."""
    metrics: dict[str, float] = {}
    """What it scored when it was judged; what accuracy is compared with."""
    watch: list[dict[str, Any]] | None = None
    """Rules; data drift and errors when nothing is said."""
    description: str = ""
    actor: str = "person"


class TableBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/monitors/{name}/tables`: a table that is read on a schedule."""

    name: str
    url: str
    """SQLAlchemy's, or of Parquet files: s3://bucket/day=*/*.parquet."""
    table: str = ""
    query: str = ""
    time_column: str = "time"
    cursor_column: str = ""
    """What grows as rows come in; the time when nothing is said."""
    every: str | int = "10min"
    overlap: str | int = "1h"
    """How far back each look reads again: a duration, or for a cursor of numbers how many."""
    time_unit: str = "us"
    columns: dict[str, str] = {}
    since: str | int | None = None


_rows = msgspec.json.Decoder(RowsBody)


def read_rows_body(body: bytes) -> RowsBody:
    """The JSON body of `POST /predictions`.

    Raises:
        Invalid: naming the field.
    """
    try:
        return _rows.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Invalid(text, field=path.rstrip("`"), next_step="see docs/monitor-anything.md") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            f"the body is no JSON: {error}",
            field="body",
            next_step="send JSON, or name the form of a file in Content-Type",
        ) from error
