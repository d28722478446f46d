"""Files of labels, row by row and never whole in memory: NDJSON and CSV here, tables by way of a child process.

In tables and CSV the columns `request_id`, `value`, `at` and `time` are what they say; every other column is a key.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.loop.table_child import ARROW_FILE, ARROW_STREAM, CSV, NDJSON, PARQUET, unpack
from homeostat.server.label_bodies import LabelRow

MAX_LINE = 64 << 10
TABLE_SECONDS = 600.0
"""How long a table may take to be read."""

KINDS = {
    "application/x-ndjson": NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/x-jsonlines": NDJSON,
    "application/json-lines": NDJSON,
    "text/csv": CSV,
    "application/csv": CSV,
    "application/vnd.apache.parquet": PARQUET,
    "application/x-parquet": PARQUET,
    "application/parquet": PARQUET,
    "application/vnd.apache.arrow.stream": ARROW_STREAM,
    "application/vnd.apache.arrow.file": ARROW_FILE,
}
"""Content types of files."""
_PLAIN = ("request_id", "value", "at", "time")


class FileRow(NamedTuple):
    """A row, or why it cannot be read, and where in the file it stands."""

    place: str
    row: LabelRow | Invalid


Rows = Callable[[], Iterator[FileRow]]
"""The rows of a file, from the beginning each time."""


@contextmanager
def open_rows(path: Path, kind: str) -> Iterator[Rows]:
    """The rows of a file, to be read as often as needed while the block lasts.

    Raises:
        Invalid: when it is no file of that kind, or its columns cannot be labels.
        TooLarge: when it holds more than can be read.
    """
    if kind == NDJSON:
        yield lambda: _ndjson(path, "line")
    elif kind == CSV:
        yield lambda: _csv(path)
    else:
        with tempfile.NamedTemporaryFile(prefix="homeostat-labels-", suffix=".ndjson") as lines:
            unpack("homeostat.server.label_tables", path, kind, Path(lines.name), seconds=TABLE_SECONDS)
            yield lambda: _ndjson(Path(lines.name), "row")


# Text ----------------------------------------------------------------------------------------------------------------

_decode_row = msgspec.json.Decoder(LabelRow).decode


def _ndjson(path: Path, called: str) -> Iterator[FileRow]:
    with path.open("rb") as source:
        number = 0
        while line := source.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise TooLarge(
                    f"line {number} is longer than {MAX_LINE} bytes", field="body", next_step="send one label a line"
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield FileRow(f"{called} {number}", _json_row(line))


def _json_row(line: bytes) -> LabelRow | Invalid:
    try:
        return _decode_row(line)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        return Invalid(text, field=path.rstrip("`"), next_step='a line is like {"request_id": ..., "value": ...}')
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Invalid(f"it is no JSON ({error})", field="body", next_step="send one JSON object a line")


def _csv(path: Path) -> Iterator[FileRow]:
    with path.open("r", encoding="utf-8-sig", newline="") as source:
        reader = csv.reader(_bounded(source), strict=True)
        try:
            header = next(reader, None)
            make = row_maker([name.strip() for name in header or ()])
            width = len(header or ())
            for cells in reader:
                if cells:
                    yield FileRow(f"line {reader.line_num}", _csv_row(cells, width, make))
        except (csv.Error, UnicodeDecodeError) as error:
            raise Invalid(
                f"line {reader.line_num + 1} is no CSV: {error}", field="body", next_step="send UTF-8 with commas"
            ) from error


def _bounded(source: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := source.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TooLarge(
                f"line {number} is longer than {MAX_LINE} characters", field="body", next_step="send one label a line"
            )
        yield line


def _csv_row(cells: Sequence[str], width: int, make: "MakeRow") -> LabelRow | Invalid:
    if len(cells) != width:
        return Invalid(
            f"it has {len(cells)} cells, the header has {width}", field="body", next_step="give every row each column"
        )
    return make([cell if cell != "" else None for cell in cells])


MakeRow = Callable[[Sequence[Any]], LabelRow]


def row_maker(names: Sequence[str]) -> MakeRow:
    """From the cells of a row to the row; the columns are checked once.

    Raises:
        Invalid: when a column is missing or comes twice.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "" in names:
        raise Invalid(
            f"column {twice!r:.80} comes twice" if twice else "a column has no name",
            field="body",
            next_step="name each column once, in the first line",
        )
    keys = [place for place, name in enumerate(names) if name not in _PLAIN]
    if "value" not in names or not (keys or "request_id" in names):
        raise Invalid(
            f"the columns are {', '.join(names)[:200] or 'none'}",
            field="value" if "value" not in names else "request_id",
            next_step="a file of labels has the columns value, and request_id or those of an entity key (with time)",
        )
    plain = [(name, names.index(name)) for name in _PLAIN if name in names]

    def make(cells: Sequence[Any]) -> LabelRow:
        row = LabelRow(**{name: cells[place] for name, place in plain})
        # In a file that has both columns, a row is by the id when it has one.
        if keys and row.request_id is None:
            row.keys = {names[place]: cells[place] for place in keys}
        return row

    return make
