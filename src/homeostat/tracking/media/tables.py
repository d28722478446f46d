"""Tables as Parquet, however they come; and what is said of a table that a run reads."""

import io
import math
from typing import Any

import msgspec
from blake3 import blake3

from homeostat.ground.errors import Invalid
from homeostat.tracking.types import DatasetInput

PREVIEW_ROWS = 100
_HASHED_ROWS = 1 << 18
_CONTEXT = "mlflow.data.context"


def frame_of(rows: Any, *, what: str) -> Any:
    """A Polars frame of a list of dicts, a dict of columns, or a frame of Polars, pandas or Arrow.

    Raises:
        Invalid: when it is none of these.
    """
    import polars as pl

    try:
        if isinstance(rows, pl.DataFrame):
            return rows
        if isinstance(rows, pl.LazyFrame):
            return rows.collect()
        if isinstance(rows, dict | list | tuple):
            return pl.DataFrame(rows, infer_schema_length=None, strict=False)
        kind = type(rows).__module__.partition(".")[0]
        if kind == "pandas":
            return _of_pandas(rows)
        if hasattr(rows, "__arrow_c_stream__"):
            return pl.DataFrame(rows)
        if hasattr(rows, "__array__"):
            return pl.DataFrame(rows.__array__())
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise Invalid(
            f"{what} cannot be read: {error!s:.200}", field="table", next_step="give rows of one kind"
        ) from error
    raise Invalid(
        f"{what} is a {type(rows).__name__}",
        field="table",
        next_step="give a list of dicts, a dict of columns, or a frame of pandas, Polars or Arrow",
    )


def table_bytes(frame: Any) -> bytes:
    """A frame as Parquet."""
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


def preview_of(frame: Any) -> dict[str, Any]:
    """The first rows, as JSON can say them."""
    head = frame.head(PREVIEW_ROWS)
    columns = [{"name": name, "type": str(kind)} for name, kind in head.schema.items()]
    rows = [[_plain(cell) for cell in row] for row in head.rows()]
    return {"columns": columns, "rows": rows, "total": frame.height}


def describe(frame: Any, *, name: str, context: str) -> DatasetInput:
    """What is kept of a table that a run reads: its columns, its size and the digest of its content."""
    columns = [{"name": column, "type": str(kind)} for column, kind in frame.schema.items()]
    return DatasetInput(
        name=name,
        digest=_digest(frame),
        source_type="frame",
        schema=msgspec.json.encode({"columns": columns}).decode(),
        profile=msgspec.json.encode({"num_rows": frame.height, "num_columns": frame.width}).decode(),
        tags={_CONTEXT: context},
    )


def _digest(frame: Any) -> str:
    hasher = blake3(repr(frame.schema).encode())
    for part in frame.iter_slices(_HASHED_ROWS):  # in parts, for the bytes of all of it may not fit beside it
        sink = io.BytesIO()
        part.write_ipc(sink)
        hasher.update(sink.getvalue())
    return hasher.hexdigest()


def _of_pandas(frame: Any) -> Any:
    import polars as pl

    if frame.__class__.__name__ == "Series":
        frame = frame.to_frame()
    # Column by column: Polars' own conversion wants Arrow for text, which not everybody has.
    return pl.DataFrame({str(name): _column(frame[name]) for name in frame.columns}, strict=False)


def _column(series: Any) -> Any:
    if series.dtype.kind in "biufM" and not series.hasnans and hasattr(series.dtype, "itemsize"):
        return series.to_numpy()
    if series.dtype.kind == "f":
        return series.to_numpy()
    return [None if _is_missing(value) else value for value in series.tolist()]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NaTType", "NAType")


def _plain(cell: Any) -> Any:
    if cell is None or isinstance(cell, bool | int | str):
        return cell
    if isinstance(cell, float):
        return cell if cell - cell == 0 else str(cell)
    return str(cell)
