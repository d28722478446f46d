"""A table to chunks of plain columns, in a process of its own: `python -m homeostat.loop.intake_child KIND FROM TO`.

What a crafted Parquet or Arrow file does to the library that reads it (an abort, gigabytes) happens here and not in the
server. A failure is told on standard output.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.loop.intake_files import (
    ARROW_FILE,
    ARROW_STREAM,
    FEATURES,
    PARQUET,
    Failure,
    Head,
    check_width,
    rows_of_width,
)

if TYPE_CHECKING:
    import polars as pl

MAX_MEMORY = 4 << 30
"""Address space of the process."""
MAX_OUTPUT = 8 << 30
"""Bytes that are written; a small file can hold a billion equal rows."""
MAX_TEXT = 10_000
"""Bytes of a cell."""


def table_pieces(path: Path, kind: str) -> Iterator[Any]:
    """The head of a table, then its rows as columns.

    Raises:
        Invalid: when it is no table of that kind.
        TooLarge: when a cell is, or there are too many columns.
    """
    import polars as pl

    try:
        frame = _scan(path, kind)
        if isinstance(frame.collect_schema().get(FEATURES), pl.Struct):
            frame = frame.unnest(FEATURES)
        schema = frame.collect_schema()
        check_width(len(schema))
        plain = {name: expression for name, dtype in schema.items() if (expression := _plain(name, dtype)) is not None}
        times = tuple(name for name, dtype in schema.items() if dtype.is_temporal() and name in plain)
        yield Head(times, tuple(name for name in schema if name not in plain))
        count = int(frame.select(pl.len()).collect().item())
        step = rows_of_width(len(plain))
        for start in range(0, count, 4 * step):
            part = frame.slice(start, 4 * step).select(list(plain.values())).collect()
            _check_texts(part)
            for at in range(0, part.height, step):
                yield part.slice(at, step).to_dict(as_series=False)
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
    raise Invalid(f"{kind!r} is no kind of table", field="kind", next_step="see intake_files")


def _plain(name: str, dtype: "pl.DataType") -> "pl.Expr | None":
    """A column as values that JSON has too, times as microseconds; None for what no feature is."""
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
    return column.cast(pl.Float64) if dtype.is_decimal() else None


def _check_texts(part: "pl.DataFrame") -> None:
    """Refuse huge cells before each becomes a Python text of its own."""
    import polars as pl

    for name, dtype in part.schema.items():
        longest = part[name].str.len_bytes().max() if dtype == pl.String else 0
        if isinstance(longest, int) and longest > MAX_TEXT:
            raise TooLarge(
                f"column {name!r:.80} has a text of {longest} bytes", field=name[:80], next_step="leave it out"
            )


def main(arguments: Sequence[str]) -> int:
    """Read one table; returns the exit code."""
    kind, source, target = arguments
    _limit_memory()
    try:
        _write(table_pieces(Path(source), kind), Path(target))
    except (Invalid, TooLarge) as error:
        told = Failure(error.code, error.message, error.field, error.next_step)
        sys.stdout.buffer.write(msgspec.json.encode(told))
        return 1
    return 0


def _write(pieces: Iterator[Any], target: Path) -> None:
    encode = msgspec.msgpack.Encoder().encode
    with target.open("wb") as out:
        for piece in pieces:
            data = encode(piece)
            out.write(len(data).to_bytes(4, "little") + data)
            if out.tell() > MAX_OUTPUT:
                raise TooLarge("the table holds too much", field="body", next_step="send it in parts")


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
