"""A table of labels to lines of JSON: `python -m homeostat.server.label_tables KIND FROM TO` (see `table_child`)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.loop.table_child import check_texts, plain_column, scan, serve
from homeostat.server.label_bodies import LabelRow
from homeostat.server.label_files import row_maker

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
    with scan(path, kind) as frame:
        schema = frame.collect_schema()
        count = int(frame.select(pl.len()).collect().item())
        make = row_maker(schema.names())
        columns = [_column(name, dtype) for name, dtype in schema.items()]
        for start in range(0, count, SLICE):
            part = frame.slice(start, SLICE).select(columns).collect()
            check_texts(part, most=MAX_TEXT, next_step="send ids, no contents")
            yield from map(make, part.iter_rows())


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    column = plain_column(name, dtype)
    if column is None:
        raise Invalid(
            f"column {name!r:.80} is of type {dtype}",
            field=name[:80],
            next_step="send texts, numbers, true and false, or times",
        )
    return column


def write(source: Path, kind: str, target: Path) -> None:
    """One row a line."""
    encode = msgspec.json.Encoder().encode
    with target.open("wb") as lines:
        for row in table_rows(source, kind):
            lines.write(encode(row) + b"\n")
            if lines.tell() > MAX_OUTPUT:
                raise TooLarge("the table holds too much", field="body", next_step="send it in parts")


if __name__ == "__main__":
    sys.exit(serve(write, sys.argv[1:]))
