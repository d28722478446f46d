"""Frames as reports read them: pandas, Polars, Arrow, a mapping of columns, or a file; and what each column is.

Whatever comes in is held as Polars columns, without copying where memory can be shared. Nothing of the caller's is
changed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl

from homeostat.ground.errors import Invalid

T = TypeVar("T")

NUMBER, CATEGORY, TEXT, TIME = "num", "cat", "text", "datetime"
"""What a column can be."""
KINDS = (NUMBER, CATEGORY, TEXT, TIME)
FEW_VALUES = 10
"""A column of whole numbers with no more distinct values than this is a category."""
TEXT_SHARE = 0.5
"""A column of strings with more distinct values than this share of its rows is a text."""


class DataDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What the columns are, where it is not to be found out from their types and values."""

    numerical_columns: tuple[str, ...] | None = None
    categorical_columns: tuple[str, ...] | None = None
    text_columns: tuple[str, ...] | None = None
    datetime_columns: tuple[str, ...] | None = None
    id_column: str | None = None
    timestamp: str | None = None
    target: str | None = None
    prediction: str | None = None
    task: str | None = None
    """'regression' or 'classification', where the target's values do not show it."""
    embeddings: dict[str, tuple[str, ...]] | None = None
    """Names of embeddings, and the columns that each consists of."""

    def declared_kinds(self) -> dict[str, str]:
        """Kind by column, of those that were named."""
        lists = (
            (NUMBER, self.numerical_columns),
            (CATEGORY, self.categorical_columns),
            (TEXT, self.text_columns),
            (TIME, self.datetime_columns),
        )
        return {column: kind for kind, columns in lists for column in columns or ()}


class Frame:
    """One frame: its Polars columns, and what each of them is."""

    def __init__(self, frame: pl.DataFrame, definition: DataDefinition | None = None, *, name: str = "data") -> None:
        self.frame = frame
        self.definition = definition or DataDefinition()
        self.name = name

    def __len__(self) -> int:
        return self.frame.height

    @property
    def columns(self) -> list[str]:
        return self.frame.columns

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind by column, in the frame's order."""
        return {name: self.kind(name) for name in self.columns}

    def kind(self, name: str) -> str:
        """What a column is: as declared, else as its type and values have it."""
        return self.definition.declared_kinds().get(name) or infer_kind(self.column(name))

    def dtype(self, name: str) -> pl.DataType:
        """The type of a column that is there."""
        return self.frame.schema[name]

    def column(self, name: str) -> pl.Series:
        """One column.

        Raises:
            Invalid: when there is none of this name.
        """
        if name not in self.columns:
            some = ", ".join(self.columns[:20])
            raise Invalid(f"{self.name} has no column {name!r}", field=name, next_step=f"its columns are {some}")
        return self._read(name)

    def _read(self, name: str) -> pl.Series:
        return self.frame.get_column(name)


class StoredFrame(Frame):
    """A Parquet file of which a column is read when it is asked for, and not kept: a report may be larger than memory.

    Whoever asks for `frame` gets the whole of it.
    """

    def __init__(self, path: Path, definition: DataDefinition | None = None, *, name: str = "data") -> None:
        self._scan = pl.scan_parquet(path)
        self._schema = _readable(self._scan.collect_schema, path, name)
        self.definition = definition or DataDefinition()
        self.name = name

    def __len__(self) -> int:
        return self._rows

    @property
    def columns(self) -> list[str]:
        return self._schema.names()

    @cached_property
    def frame(self) -> pl.DataFrame:  # type: ignore[override]  # an attribute there, read late here
        """All columns."""
        return self._scan.collect()

    def kind(self, name: str) -> str:
        dtype = self._schema[name]
        if dtype.is_integer() or dtype == pl.String:
            return super().kind(name)
        return self.definition.declared_kinds().get(name) or infer_kind(pl.Series(name, [], dtype=dtype))

    def dtype(self, name: str) -> pl.DataType:
        return self._schema[name]

    @cached_property
    def _rows(self) -> int:
        return int(self._scan.select(pl.len()).collect().item())

    def _read(self, name: str) -> pl.Series:
        return self._scan.select(name).collect().to_series()


class Compared:
    """What a metric looks at: the current frame, the reference or None, and how it is to be judged."""

    def __init__(
        self, current: Frame, reference: Frame | None, *, mode: str = "calibrated", include_tests: bool = False
    ) -> None:
        self.current = current
        self.reference = reference
        self.mode = mode
        self.include_tests = include_tests
        self.definition = (reference or current).definition

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind by column: as the reference has it, which was there first, then columns that only the current has."""
        kinds = dict(self.reference.kinds) if self.reference is not None else {}
        return kinds | {column: self.current.kind(column) for column in self.current.columns if column not in kinds}

    def needs_reference(self, what: str) -> Frame:
        """The reference.

        Raises:
            Invalid: when the report was run without one.
        """
        if self.reference is None:
            raise Invalid(
                f"{what} compares with a reference, and there is none",
                field="reference_data",
                next_step="run(reference_data=..., current_data=...)",
            )
        return self.reference


def infer_kind(series: pl.Series) -> str:
    """What a column is, from its type and, for whole numbers and strings, from how many distinct values it has."""
    dtype = series.dtype
    if dtype.is_float() or dtype.is_decimal() or dtype == pl.Null:
        return NUMBER
    if dtype.is_integer():
        return CATEGORY if _has_at_most(series, FEW_VALUES) else NUMBER
    if dtype.is_temporal():
        return NUMBER if dtype == pl.Duration else TIME
    if dtype == pl.String:
        present = len(series) - series.null_count()
        return TEXT if present and series.drop_nulls().n_unique() > TEXT_SHARE * present else CATEGORY
    return CATEGORY


def _has_at_most(series: pl.Series, number: int) -> bool:
    """Whether there are no more distinct values than this; a short look at the head settles most columns."""
    head = series.head(1_000).drop_nulls()
    return head.n_unique() <= number and series.drop_nulls().n_unique() <= number


def as_frame(data: Any, *, name: str, definition: DataDefinition | None = None) -> Frame:
    """A frame of anything that is one; `name` is what errors call it, such as 'current_data'.

    Raises:
        Invalid: when it is no frame, or two columns have one name.
    """
    if isinstance(data, Frame):
        return data
    inner = getattr(data, "homeostat_frame", None)  # a `Dataset`
    if isinstance(inner, Frame):
        return inner
    if isinstance(data, (str, Path)) and Path(data).suffix.lower() == ".parquet":
        return StoredFrame(Path(data), definition, name=name)
    return Frame(read_frame(data, name=name), definition, name=name)


def read_frame(data: Any, *, name: str) -> pl.DataFrame:
    """The data as a Polars frame.

    Raises:
        Invalid: when it cannot be read as columns.
    """
    match data:
        case pl.DataFrame():
            return data
        case pl.LazyFrame():
            return data.collect()
        case str() | Path():
            return _from_file(Path(data), name)
        case Mapping():
            return pl.DataFrame([_series(str(key), values) for key, values in data.items()])
    if _is_pandas(data):
        return _from_pandas(data, name)
    if hasattr(data, "__arrow_c_stream__"):
        return _from_arrow(data, name)
    if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(str(key) for row in data for key in row))
        return pl.DataFrame([_series(key, [row.get(key) for row in data]) for key in names])
    raise Invalid(
        f"{name} is a {type(data).__name__}, which is no frame",
        field=name,
        next_step="give a pandas or Polars DataFrame, an Arrow table, a dict of columns, or a path of Parquet or CSV",
    )


def _from_file(path: Path, name: str) -> pl.DataFrame:
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".csv": pl.read_csv,
        ".ndjson": pl.read_ndjson,
        ".jsonl": pl.read_ndjson,
        ".arrow": pl.read_ipc,
        ".feather": pl.read_ipc,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Invalid(
            f"{path} is of no kind that can be read", field=name, next_step=f"give one of {', '.join(readers)}"
        )
    return _readable(lambda: reader(path), path, name)


def _readable(read: Callable[[], T], path: Path, name: str) -> T:
    try:
        return read()
    except FileNotFoundError as error:
        raise Invalid(f"there is no file {path}", field=name, next_step="check the path") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Invalid(f"{path} cannot be read: {error}"[:300], field=name, next_step="check the file") from error


def _is_pandas(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def _from_pandas(data: Any, name: str) -> pl.DataFrame:
    names = [str(column) for column in data.columns]
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise Invalid(f"{name} has two columns {twice[0]!r}", field=twice[0], next_step="give each a name of its own")
    return pl.DataFrame([_pandas_series(str(column), data[column]) for column in data.columns])


def _pandas_series(name: str, values: Any) -> pl.Series:
    dtype = values.dtype
    kind = getattr(dtype, "kind", "O")
    if hasattr(dtype, "categories"):
        labels = [str(label) for label in dtype.categories]
        codes = pl.Series(name, values.cat.codes.to_numpy().astype("int64"))
        texts = pl.Series(labels, dtype=pl.String)
        taken = texts.gather(codes.set(codes < 0, 0)) if labels else pl.Series([None] * len(codes), dtype=pl.String)
        return taken.to_frame("x").select(pl.when(codes >= 0).then(pl.col("x"))).to_series().alias(name)
    if kind == "M":
        at = values.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(dtype, "tz", None) is not None else values
        return pl.Series(name, at.to_numpy().astype("datetime64[us]"))
    if kind == "m":
        return pl.Series(name, values.to_numpy().astype("timedelta64[us]"))
    if kind in "iufb" and values.isna().any():
        return pl.Series(name, values.to_numpy(dtype="float64", na_value=float("nan")))
    if kind in "iub":
        return pl.Series(name, values.to_numpy(dtype=dtype.numpy_dtype if hasattr(dtype, "numpy_dtype") else dtype))
    if kind == "f":
        return pl.Series(name, values.to_numpy(dtype="float64" if hasattr(dtype, "numpy_dtype") else dtype))
    return _series(name, values.where(values.notna(), None).tolist())


def _from_arrow(data: Any, name: str) -> pl.DataFrame:
    try:
        return pl.DataFrame(data)
    except pl.exceptions.PolarsError as error:
        raise Invalid(f"{name} cannot be read: {error}"[:300], field=name, next_step="check the table") from error


def _series(name: str, values: Any) -> pl.Series:
    """A column of plain values; where their types are mixed they are read as the texts they print as."""
    try:
        return pl.Series(name, values)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        items = [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124  NaN
        return pl.Series(name, items, dtype=pl.String)
