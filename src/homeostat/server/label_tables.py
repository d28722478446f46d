"""A table of labels to lines of JSON, in a process of its own: `python -m homeostat.server.label_tables KIND FROM TO`.

What a crafted Parquet or Arrow file does to the library that reads it (an abort, gigabytes) happens here and not in the
server. A failure is told on standard output.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.server.label_bodies import LabelRow
from homeostat.server.label_files import ARROW_FILE, ARROW_STREAM, PARQUET, Failure, row_maker

if TYPE_CHECKING:
    import polars as pl

MAX_MEMORY = 4 << 30
"""Address space of the process."""
MAX_OUTPUT = 2 << 30
"""Bytes of lines; a small file can hold a billion equal rows."""
SLICE = 20_000
"""Rows that are turned into Python values at once."""
MAX_TEXT = 4_000
"""Bytes of a cell; no id, key or class is longer."""


def table_rows(path: Path, kind: str) -> Iterator[LabelRow]:
    """The rows of a table.

    Raises:
        Invalid: when it is no table of that kind, or its columns cannot be labels.
        TooLarge: when a cell is.
    """
    import polars as pl

    try:
        frame = _scan(path, kind)
        schema = frame.collect_schema()
        count = int(frame.select(pl.len()).collect().item())
        make = row_maker(schema.names())
        columns = [_plain_column(name, dtype) for name, dtype in schema.items()]
        for start in range(0, count, SLICE):
            part = frame.slice(start, SLICE).select(columns).collect()
            _check_texts(part)
            yield from map(make, part.iter_rows())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise Invalid(
            f"the body cannot be read as {kind}: {text:.200}",
            field="body",
            next_step="send the form that Content-Type names",
        ) from error


def _scan(path: Path, kind: str) -> "pl.LazyFrame":
    import polars as pl

    if kind == PARQUET:
        return pl.scan_parquet(path, glob=False)
    if kind == ARROW_FILE:
        return pl.scan_ipc(path)
    if kind == ARROW_STREAM:
        return pl.read_ipc_stream(path).lazy()
    raise Invalid(f"{kind!r} is no kind of table", field="kind", next_step="see label_files.KINDS")


def _plain_column(name: str, dtype: "pl.DataType") -> "pl.Expr":
    """A column as values that JSON has too: texts, numbers, true and false, times as microseconds."""
    import polars as pl

    column = pl.col(name)
    if dtype in (pl.String, pl.Boolean, pl.Null) or (dtype.is_numeric() and not dtype.is_decimal()):
        return column
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        return column.dt.epoch("us")
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.epoch("us")
    if dtype.is_decimal():
        return column.cast(pl.Float64)
    raise Invalid(
        f"column {name!r:.80} is of type {dtype}",
        field=name[:80],
        next_step="send texts, numbers, true and false, or times",
    )


def _check_texts(part: "pl.DataFrame") -> None:
    """Refuse huge cells before each becomes a Python text of its own."""
    import polars as pl

    for name, dtype in part.schema.items():
        longest = part[name].str.len_bytes().max() if dtype == pl.String else 0
        if isinstance(longest, int) and longest > MAX_TEXT:
            raise TooLarge(
                f"column {name!r:.80} has a text of {longest} bytes", field=name[:80], next_step="send ids, no contents"
            )


def main(arguments: Sequence[str]) -> int:
    """Read one table; returns the exit code."""
    kind, source, target = arguments
    _limit_memory()
    try:
        _write(table_rows(Path(source), kind), Path(target))
    except (Invalid, TooLarge) as error:
        told = Failure(error.code, error.message, error.field, error.next_step)
        sys.stdout.buffer.write(msgspec.json.encode(told))
        return 1
    return 0


def _write(rows: Iterator[LabelRow], target: Path) -> None:
    encode = msgspec.json.Encoder().encode
    with target.open("wb") as lines:
        for row in rows:
            lines.write(encode(row) + b"\n")
            if lines.tell() > MAX_OUTPUT:
                raise TooLarge("the table holds too much", field="body", next_step="send it in parts")


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
