"""Parquet on /invocations: every way in which it is usually written, and files that mean harm."""

import datetime as dt
import io
import random
from typing import Any

import polars as pl
import pytest

from homeostat.compat.mlflow_scoring import MlflowScoring
from homeostat.compat.parquet_rows import rows_of_parquet
from homeostat.ground.errors import HomeostatError, Invalid, TooLarge

START = dt.datetime(2026, 3, 1)
ROWS = 500


def frame() -> pl.DataFrame:
    chance = random.Random(1)
    numbers = [chance.choice((1.5, None, 2.25, float(row))) for row in range(ROWS)]
    hours = [START + dt.timedelta(hours=row) for row in range(ROWS)]
    return pl.DataFrame(
        {
            "number": numbers,
            "text": [chance.choice(("x", None, "ü", f"t{row}")) for row in range(ROWS)],
            "same": ["AA"] * ROWS,
            "flag": [chance.choice((True, False, None)) for _ in range(ROWS)],
            "whole": [chance.choice((None, row * 10**14, -row)) for row in range(ROWS)],
            "small": pl.Series([row % 256 for row in range(ROWS)], dtype=pl.UInt8),
            "large": pl.Series([2**63 + row for row in range(ROWS)], dtype=pl.UInt64),
            "single": pl.Series([row / 4 for row in range(ROWS)], dtype=pl.Float32),
            "none": pl.Series([None] * ROWS, dtype=pl.Float64),
            "day": [hour.date() for hour in hours],
            "micros": hours,
            "nanos": pl.Series(hours, dtype=pl.Datetime("ns")),
            "millis": pl.Series(hours, dtype=pl.Datetime("ms")),
        }
    )


def columns(given: pl.DataFrame) -> dict[str, list[Any]]:
    times = (pl.Date, pl.Datetime)
    return {
        column.name: (
            column.cast(pl.Datetime("us")).to_physical() if isinstance(column.dtype, times) else column
        ).to_list()
        for column in given.get_columns()
    }


def written(given: pl.DataFrame, **options: Any) -> bytes:
    out = io.BytesIO()
    given.write_parquet(out, **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "uncompressed"])
@pytest.mark.parametrize("sizes", [{}, {"row_group_size": 77}, {"data_page_size": 300}])
def test_a_table_is_read_as_it_was_written(compression: str, sizes: dict[str, int]) -> None:
    given = frame()
    assert rows_of_parquet(written(given, compression=compression, **sizes)).inputs == columns(given)


def test_it_comes_under_its_content_type() -> None:
    body = written(pl.DataFrame({"distance": [1.5, float("nan")], "carrier": ["AA", None]}))
    decoded = MlflowScoring().decode(body, {"content-type": "application/vnd.apache.parquet"}.get)
    assert decoded.inputs == {"distance": [1.5, None], "carrier": ["AA", None]}


def test_what_pandas_calls_an_index_is_no_column() -> None:
    body = written(pl.DataFrame({"a": [1], "__index_level_0__": [7]}))
    assert rows_of_parquet(body).inputs == {"a": [1]}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "no Parquet"),
        (b"PAR1" + b"\0" * 20 + b"PAR1", "damaged"),
        (b"PAR1" + b"\xff" * 20 + b"PAR1", "no Parquet"),
        (written(pl.DataFrame({"a": [[1, 2]]})), "nested"),
        (written(pl.DataFrame({"a": [b"\xff"]})), "UTF-8"),
        (written(pl.DataFrame({"a": [1]}), compression="lz4"), "LZ4"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, what: str) -> None:
    with pytest.raises(Invalid, match=what):
        rows_of_parquet(body)


def test_a_small_file_that_would_grow_large_is_refused_before_it_does() -> None:
    rows = written(pl.DataFrame({"a": [0.0] * 2_000_000}))
    texts = written(pl.DataFrame({"a": ["x" * 4_000_000] * 40}))
    wide = written(pl.DataFrame({f"column {place}": [0] for place in range(2_000)}))
    assert max(len(rows), len(texts)) < 20_000
    for body, what in ((rows, "2000000 rows"), (texts, "unpacks to"), (wide, "footer")):
        with pytest.raises(TooLarge, match=what):
            rows_of_parquet(body)


def test_damage_anywhere_costs_an_error_and_nothing_else() -> None:
    chance = random.Random(7)
    files = [written(frame(), compression=kind) for kind in ("zstd", "snappy", "gzip", "uncompressed")]
    for _ in range(1_500):
        body = bytearray(chance.choice(files))
        for _ in range(chance.choice((1, 2, 5))):
            body[chance.randrange(4, len(body))] = chance.choice((0, 127, 128, 255, chance.randrange(256)))
        try:
            rows_of_parquet(bytes(body))
        except HomeostatError as error:
            assert isinstance(error, Invalid | TooLarge)  # noqa: PT017  undamaged values are as good an outcome
