"""Tables that strangers send, read in a process of its own.

What a crafted Parquet or Arrow file does to the library that reads it (an abort, gigabytes) happens in a child and not
in the server. `unpack` starts one and waits; a module that is such a child reads with `scan` and ends with `serve`. A
failure is told on the child's standard output.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.ground.errors import Invalid, TooLarge

if TYPE_CHECKING:
    import polars as pl

NDJSON, CSV, PARQUET, ARROW_STREAM, ARROW_FILE = "ndjson", "csv", "parquet", "arrow stream", "arrow file"
"""Kinds of files that rows come in; the last three are tables."""
MAX_MEMORY = 4 << 30
"""Address space of the child."""


class _Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    field: str
    next_step: str


# The server's side ---------------------------------------------------------------------------------------------------


def unpack(module: str, path: Path, kind: str, target: Path, *, seconds: float) -> None:
    """Have `python -m MODULE KIND PATH TARGET` write what a table holds.

    Raises:
        Invalid: when it is no table of that kind, or the child refuses what it holds.
        TooLarge: when it holds too much, or takes longer than `seconds`.
    """
    command = [sys.executable, "-m", module, kind, str(path), str(target)]
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise TooLarge(
            f"the table could not be read in {seconds:.0f} s", field="body", next_step="send it in parts"
        ) from error
    if done.returncode == 0:
        return
    try:
        told = msgspec.json.decode(done.stdout, type=_Failure)
    except msgspec.DecodeError as error:  # it was killed, or ended itself
        raise _unreadable(kind) from error
    raise (TooLarge if told.code == TooLarge.code else Invalid)(
        told.message, field=told.field, next_step=told.next_step
    )


# The child's side ----------------------------------------------------------------------------------------------------


def serve(write: Callable[[Path, str, Path], None], arguments: Sequence[str]) -> int:
    """Within bounded memory, write what the table (path, kind) holds to the target; returns the exit code."""
    kind, source, target = arguments
    _limit_memory()
    try:
        write(Path(source), kind, Path(target))
    except (Invalid, TooLarge) as error:
        told = _Failure(error.code, error.message, error.field, error.next_step)
        sys.stdout.buffer.write(msgspec.json.encode(told))
        return 1
    return 0


@contextmanager
def scan(path: Path, kind: str) -> "Iterator[pl.LazyFrame]":
    """The table, not yet read; what goes wrong while the block lasts is the body's fault.

    Raises:
        Invalid: when it is no table of that kind.
    """
    import polars as pl

    try:
        yield _scan(path, kind)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise _unreadable(kind, f": {text:.200}") from error


def plain_column(name: str, dtype: "pl.DataType") -> "pl.Expr | None":
    """A column as values that JSON has too, times as microseconds; None when its type has no such form."""
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


def check_texts(part: "pl.DataFrame", *, most: int, next_step: str) -> None:
    """Refuse cells of more than `most` bytes before each becomes a Python text of its own.

    Raises:
        TooLarge: naming the column.
    """
    import polars as pl

    for name, dtype in part.schema.items():
        longest = part[name].str.len_bytes().max() if dtype == pl.String else 0
        if isinstance(longest, int) and longest > most:
            raise TooLarge(f"column {name!r:.80} has a text of {longest} bytes", field=name[:80], next_step=next_step)


def _scan(path: Path, kind: str) -> "pl.LazyFrame":
    import polars as pl

    if kind == PARQUET:
        return pl.scan_parquet(path, glob=False)
    if kind == ARROW_FILE:
        return pl.scan_ipc(path)
    if kind == ARROW_STREAM:
        return pl.read_ipc_stream(path).lazy()
    raise Invalid(f"{kind!r} is no kind of table", field="kind", next_step="see the kinds in table_child.py")


def _unreadable(kind: str, why: str = "") -> Invalid:
    return Invalid(
        f"the body cannot be read as {kind}{why}", field="body", next_step="send the form that Content-Type names"
    )


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
