"""Rows that somebody else's model answered, chunk by chunk and never whole in memory, from whatever form they come in.

NDJSON and CSV are read here. Parquet and Arrow go through a child process (`intake_child`), for the libraries that read
tables abort on some that were made to.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from homeostat.ground.errors import Invalid, TooLarge
from homeostat.loop.table_child import CSV, NDJSON, unpack

CHUNK = 5_000
"""Rows that are read, checked and kept together."""
MAX_LINE = 1 << 20
"""Bytes of a line of text: a row has hundreds of features at most."""
MAX_COLUMNS = 10_000
CHUNK_CELLS = 2_000_000
CHUNK_BYTES = 16 << 20
"""What a chunk holds at most, of wide rows and of long ones; so is what they take in memory bounded."""
TABLE_SECONDS = 900.0
"""How long a table may take to be read."""
FEATURES = "features"
"""A row may keep its features apart under this name, or beside the rest."""


class RowError(msgspec.Struct, frozen=True):
    """A row that cannot be kept: where it stands, what is wrong with it."""

    row: str
    field: str
    error: str


class Chunk(NamedTuple):
    """Some rows as columns. Missing values are None; times in tables are microseconds."""

    columns: dict[str, list[Any]]
    places: Sequence[int]
    """Where each row stands: its number, from 1, or its line."""
    called: str = "row"
    is_text: bool = False
    """Every value is text, as CSV has it."""
    bad: tuple[RowError, ...] = ()
    """Rows that are no rows."""
    times: frozenset[str] = frozenset()
    """Columns whose type says that they are times."""
    skipped: tuple[str, ...] = ()
    """Columns of types that no feature has."""


Chunks = Callable[[], Iterator[Chunk]]
"""The rows, from the beginning each time."""


def chunks_of_rows(rows: Iterable[Any], *, called: str = "rows") -> Iterator[Chunk]:
    """Rows that came as JSON objects: each one's place is its number, from 0, as JSON counts."""
    yield from _chunks(((place, row, 0) for place, row in enumerate(rows)), called)


def chunks_of_columns(columns: dict[str, list[Any]]) -> Iterator[Chunk]:
    """Columns that came as JSON lists.

    Raises:
        Invalid: when they are not of one length.
    """
    check_width(len(columns))
    count = len(next(iter(columns.values()), []))
    uneven = next((name for name, values in columns.items() if len(values) != count), None)
    if uneven is not None:
        raise Invalid(
            f"column {uneven!r:.80} has {len(columns[uneven])} values, the first has {count}",
            field=uneven[:80],
            next_step="send columns of one length",
        )
    step = rows_of_width(len(columns))
    for start in range(0, count, step):
        part = {name: values[start : start + step] for name, values in columns.items()}
        yield Chunk(part, range(start, min(start + step, count)), "rows")


@contextmanager
def open_chunks(path: Path, kind: str) -> Iterator[Chunks]:
    """The rows of a file, to be read as often as needed while the block lasts.

    Raises:
        Invalid: when it is no file of that kind.
        TooLarge: when it holds more than can be read.
    """
    if kind == NDJSON:
        yield lambda: _ndjson(path)
    elif kind == CSV:
        yield lambda: _csv(path)
    else:
        with tempfile.NamedTemporaryFile(prefix="homeostat-rows-") as unpacked:
            unpack("homeostat.loop.intake_child", path, kind, Path(unpacked.name), seconds=TABLE_SECONDS)
            yield lambda: _packed(Path(unpacked.name))


# Text ----------------------------------------------------------------------------------------------------------------

_decode_row = msgspec.json.Decoder(dict[str, Any]).decode


def _ndjson(path: Path) -> Iterator[Chunk]:
    yield from _chunks(_lines(path), "line")


def _lines(path: Path) -> Iterator[tuple[int, Any, int]]:
    """Number, row and size of each line."""
    with path.open("rb") as source:
        number = 0
        while line := source.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise TooLarge(
                    f"line {number} is longer than {MAX_LINE} bytes", field="body", next_step="send one row a line"
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield number, _json_row(line), len(line)


def _json_row(line: bytes) -> dict[str, Any] | Invalid:
    try:
        return _decode_row(line)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Invalid(f"it is no JSON object ({error})", field="body", next_step="send one JSON object a line")


def _csv(path: Path) -> Iterator[Chunk]:
    with path.open("r", encoding="utf-8-sig", newline="") as source:
        reader = csv.reader(_bounded(source), strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            check_width(len(names))
            _check_names(names)
            yield from _csv_chunks(reader, names)
        except (csv.Error, UnicodeDecodeError) as error:
            raise Invalid(
                f"line {reader.line_num + 1} is no CSV: {error}", field="body", next_step="send UTF-8 with commas"
            ) from error


def _csv_chunks(reader: Any, names: list[str]) -> Iterator[Chunk]:  # csv has no name for its readers
    cells = ((reader.line_num, line) for line in reader if line)
    # A row's cells are a line's letters, so what bounds lines bounds these.
    step = min(rows_of_width(len(names)), CHUNK)
    while some := _within(cells, step):
        good = [(number, line) for number, line in some if len(line) == len(names)]
        bad = tuple(
            RowError(f"line {number}", "body", f"it has {len(line)} cells, the header has {len(names)}")
            for number, line in some
            if len(line) != len(names)
        )
        columns = zip(*(line for _number, line in good), strict=True) if good else [()] * len(names)
        values = [[cell if cell != "" else None for cell in column] for column in columns]
        yield Chunk(
            dict(zip(names, values, strict=True)), [number for number, _line in good], "line", is_text=True, bad=bad
        )


def _check_names(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "" in names or not names:
        raise Invalid(
            f"column {twice!r:.80} comes twice" if twice else "a column has no name",
            field="body",
            next_step="name each column once, in the first line",
        )


def _bounded(source: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := source.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TooLarge(
                f"line {number} is longer than {MAX_LINE} characters", field="body", next_step="send one row a line"
            )
        yield line


def _chunks(rows: Iterator[tuple[int, Any, int]], called: str) -> Iterator[Chunk]:
    """Rows gathered until they are many, wide or long."""
    held: list[tuple[int, dict[str, Any]]] = []
    bad: list[RowError] = []
    names: dict[str, None] = {}
    size = 0
    for number, row, length in rows:
        if isinstance(row, dict):
            flat = _flat(row)
            held.append((number, flat))
            names |= dict.fromkeys(flat)
            check_width(len(names))
        else:
            bad.append(_bad_row(number, row, called))
        size += length
        if len(held) + len(bad) >= CHUNK or len(held) * len(names) >= CHUNK_CELLS or size >= CHUNK_BYTES:
            yield _gathered(held, bad, names, called)
            held, bad, names, size = [], [], {}, 0
    if held or bad:
        yield _gathered(held, bad, names, called)


def _gathered(
    held: Sequence[tuple[int, dict[str, Any]]], bad: Iterable[RowError], names: Iterable[str], called: str
) -> Chunk:
    columns = {name: [row.get(name) for _number, row in held] for name in names}
    return Chunk(columns, [number for number, _row in held], called, bad=tuple(bad))


def _within(cells: Iterator[tuple[int, list[str]]], most: int) -> list[tuple[int, list[str]]]:
    """The next lines of CSV, until they are many or long."""
    found: list[tuple[int, list[str]]] = []
    size = 0
    for number, line in cells:
        found.append((number, line))
        size += sum(map(len, line))
        if len(found) >= most or size >= CHUNK_BYTES:
            break
    return found


def rows_of_width(columns: int) -> int:
    """How many rows of so many columns a chunk has.

    >>> rows_of_width(20), rows_of_width(10_000)
    (5000, 200)
    """
    return max(1, min(CHUNK, CHUNK_CELLS // max(columns, 1)))


def check_width(columns: int) -> None:
    """See that rows are not wider than any model's.

    Raises:
        TooLarge: when they are.
    """
    if columns > MAX_COLUMNS:
        raise TooLarge(
            f"the rows have more than {MAX_COLUMNS} columns", field="body", next_step="send features, keys and answers"
        )


def _bad_row(number: int, row: Any, called: str) -> RowError:
    if isinstance(row, Invalid):
        return RowError(place_of(called, number), row.field, row.message)
    return RowError(place_of(called, number), "body", f"it is {type(row).__name__}, not an object")


def place_of(called: str, number: int) -> str:
    """How a row is named.

    >>> place_of("line", 7), place_of("rows", 0)
    ('line 7', 'rows[0]')
    """
    return f"rows[{number}]" if called == "rows" else f"{called} {number}"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    features = row.get(FEATURES)
    if not isinstance(features, dict):
        return row
    return {name: value for name, value in row.items() if name != FEATURES} | features


# Tables --------------------------------------------------------------------------------------------------------------


class Head(msgspec.Struct, frozen=True):
    """What the child says of a table before its rows."""

    times: tuple[str, ...]
    skipped: tuple[str, ...]


def _packed(path: Path) -> Iterator[Chunk]:
    """What the child wrote: a head, then chunks, each behind its length."""
    with path.open("rb") as source:
        head = msgspec.msgpack.decode(_piece(source), type=Head)
        first = 1
        while piece := _piece(source):
            columns = msgspec.msgpack.decode(piece, type=dict[str, list[Any]])
            count = len(next(iter(columns.values()), []))
            yield Chunk(columns, range(first, first + count), times=frozenset(head.times), skipped=head.skipped)
            first += count


def _piece(source: io.BufferedReader) -> bytes:
    size = source.read(4)
    return source.read(int.from_bytes(size, "little")) if size else b""
