"""Reading source files: every timestamp becomes microseconds UTC, every NaN becomes missing."""

import glob
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from homeostat.features.types import Source
from homeostat.ground.errors import Invalid
from homeostat.ground.records import InputColumn

TIME = pl.Datetime("us", "UTC")

_READERS = {
    ".parquet": pl.scan_parquet,
    ".pq": pl.scan_parquet,
    ".csv": lambda path: pl.scan_csv(path, try_parse_dates=True, infer_schema_length=10_000),
    ".arrow": pl.scan_ipc,
    ".ipc": pl.scan_ipc,
    ".feather": pl.scan_ipc,
}


def find_files(source: Source, root: Path) -> list[Path]:
    """The files of a source, sorted by path: that is their order in time.

    Raises:
        Invalid: when the path matches none, or a file of a kind we do not read.
    """
    names = glob.glob(str(root / source.path), recursive=True)  # noqa: PTH207  Path.glob takes no absolute pattern
    found = [Path(name) for name in sorted(names) if Path(name).is_file()]
    if not found:
        raise Invalid(
            f"source {source.name}: no file matches {source.path!r} in {root}",
            field="path",
            next_step="mend the path, or start the command in the folder that holds the data",
        )
    for path in found:
        if path.suffix.lower() not in _READERS:
            raise Invalid(
                f"source {source.name}: {path.name} is not a kind of file that can be read",
                field="path",
                next_step=f"use {', '.join(_READERS)}",
            )
    return found


def scan(source: Source, root: Path, *, times: Iterable[str] = ()) -> pl.LazyFrame:
    """All columns of a source in file order, lazily, with timestamps and missing values made uniform.

    Texts and integers (microseconds) are read as times in the columns that the source, or `times`, says are times.

    Raises:
        Invalid: when files are missing, unreadable, or disagree about a column.
    """
    files = find_files(source, root)
    scans = [_READERS[path.suffix.lower()](path) for path in files]
    frame = scans[0] if len(scans) == 1 else pl.concat(scans, how="diagonal_relaxed")
    try:
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(source, error) from error
    declared = {*times, *(time for time in (source.time, source.event_time, *source.late_columns) if time)}
    return frame.with_columns(
        *(_uniform(name, dtype, is_time=name in declared) for name, dtype in schema.items() if not dtype.is_nested())
    )


def _unreadable(source: Source, error: Exception) -> Invalid:
    return Invalid(
        f"source {source.name}: {source.path} cannot be read: {str(error).splitlines()[0]}",
        field="path",
        next_step="write the files again, all with the same columns",
    )


def _uniform(name: str, dtype: pl.DataType, *, is_time: bool) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        in_zone = column.dt.convert_time_zone("UTC") if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return in_zone.dt.cast_time_unit("us")
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if is_time and dtype == pl.String:
        return column.str.to_datetime(time_unit="us", time_zone="UTC")
    if is_time and dtype.is_integer():
        return column.cast(pl.Int64).cast(TIME)
    if dtype.is_float():
        return column.fill_nan(None)
    if dtype.is_decimal():
        return column.cast(pl.Float64)
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return column.cast(pl.String)
    return column


def dtype_word(dtype: pl.DataType) -> str | None:
    """'number', 'string', 'time' or 'boolean'; None for what features cannot use (lists, bytes, ...)."""
    if dtype.is_numeric() or dtype == pl.Null:
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    return "time" if dtype in (pl.Datetime, pl.Date) else None


def read_schema(source: Source, root: Path) -> tuple[InputColumn, ...]:
    """The usable columns of a source and what they hold."""
    words = {name: dtype_word(dtype) for name, dtype in scan(source, root).collect_schema().items()}
    return tuple(InputColumn(name=name, dtype=word) for name, word in words.items() if word is not None)


def check_times(source: Source, root: Path, column: str) -> None:
    """Try the first rows of a column that is declared to hold times.

    Raises:
        Invalid: when they are not times.
    """
    try:
        scan(source, root, times=[column]).select(column).head(100).collect()
    except pl.exceptions.PolarsError as error:
        raise Invalid(
            f"source {source.name}: {column} does not hold times: {str(error).splitlines()[0]}",
            field=column,
            next_step="name a column of timestamps, ISO texts or whole microseconds",
        ) from error


def load_source(
    source: Source,
    root: Path,
    until: int | None,
    *,
    since: int | None = None,
    columns: Iterable[str] | None = None,
) -> pl.DataFrame:
    """The rows of a source that were known at `until` (all when None), in file order.

    A row that comes again, by key and the source's own time, is a correction: the last one holds, and filters and
    times are those of the last one. Rows whose time is missing never count. `since` leaves out rows known at or
    before it.

    Raises:
        Invalid: when files are missing or unreadable.
    """
    frame = last_of_each(scan(source, root), source)
    for column, wanted in source.filters:
        frame = frame.filter(pl.col(column).is_in(list(wanted)) if len(wanted) > 1 else pl.col(column) == wanted[0])
    if source.time is not None:
        frame = frame.filter(pl.col(source.time).is_not_null())
        if until is not None:
            frame = frame.filter(pl.col(source.time) <= pl.lit(until).cast(TIME))
        if since is not None:
            frame = frame.filter(pl.col(source.time) > pl.lit(since).cast(TIME))
    if columns is not None:
        frame = frame.select(*columns)
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(source, error) from error


def last_of_each(frame: pl.LazyFrame, source: Source) -> pl.LazyFrame:
    """`frame` without rows that a later one of the same key and own time corrects; a row without a key stays."""
    identity = [*source.keys, *([source.event_time] if source.event_time else [])]
    nameless = pl.any_horizontal(pl.col(name).is_null() for name in source.keys)
    return frame.filter(nameless | pl.struct(identity).is_last_distinct())


def request_frame(inputs: Iterable[InputColumn], given: pl.DataFrame) -> pl.DataFrame:
    """The request columns of `given` in the types that training and serving share; times may be microseconds.

    Raises:
        Invalid: naming a column that is absent or of another type.
    """
    return pl.DataFrame([_request_column(column, given) for column in inputs])


def _request_column(column: InputColumn, given: pl.DataFrame) -> pl.Series:
    if column.name not in given.columns:
        raise Invalid(f"column {column.name} is missing", field=column.name, next_step="add it to the rows")
    values = given[column.name]
    dtype = values.dtype
    if column.dtype == "time" and (dtype.is_integer() or dtype == pl.Null):
        return values.cast(pl.Int64).cast(TIME)
    frame = values.to_frame().select(_uniform(column.name, dtype, is_time=column.dtype == "time"))
    values = frame.to_series()
    if dtype == pl.Null:
        empty = {"string": pl.String(), "boolean": pl.Boolean()}.get(column.dtype, pl.Float64())
        return values.cast(empty)
    word = dtype_word(values.dtype)
    if word != column.dtype:
        raise Invalid(
            f"column {column.name} holds {word or dtype}, wanted {column.dtype}",
            field=column.name,
            next_step="give it in the type of the training data",
        )
    return values
