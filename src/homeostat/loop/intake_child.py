"""A table to chunks of plain columns: `python -m homeostat.loop.intake_child KIND FROM TO` (see `table_child`)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from homeostat.ground.errors import TooLarge
from homeostat.loop.intake_files import FEATURES, Head, check_width, rows_of_width
from homeostat.loop.table_child import check_texts, plain_column, scan, serve

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
    with scan(path, kind) as table:
        frame = table
        if isinstance(frame.collect_schema().get(FEATURES), pl.Struct):
            frame = frame.unnest(FEATURES)
        schema = frame.collect_schema()
        check_width(len(schema))
        plain = {name: column for name, dtype in schema.items() if (column := plain_column(name, dtype)) is not None}
        times = tuple(name for name, dtype in schema.items() if dtype.is_temporal() and name in plain)
        yield Head(times, tuple(name for name in schema if name not in plain))
        count = int(frame.select(pl.len()).collect().item())
        step = rows_of_width(len(plain))
        for start in range(0, count, 4 * step):
            part = frame.slice(start, 4 * step).select(list(plain.values())).collect()
            check_texts(part, most=MAX_TEXT, next_step="leave it out")
            for at in range(0, part.height, step):
                yield part.slice(at, step).to_dict(as_series=False)


def write(source: Path, kind: str, target: Path) -> None:
    """Each piece behind its length."""
    encode = msgspec.msgpack.Encoder().encode
    with target.open("wb") as out:
        for piece in table_pieces(source, kind):
            data = encode(piece)
            out.write(len(data).to_bytes(4, "little") + data)
            if out.tell() > MAX_OUTPUT:
                raise TooLarge("the table holds too much", field="body", next_step="send it in parts")


if __name__ == "__main__":
    sys.exit(serve(write, sys.argv[1:]))
