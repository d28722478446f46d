"""A drift report of 50 columns and 10 million rows on each side, read from Parquet column by column."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.lines import Line, below, own_line
from benchmarks.monitoring.drift_report import make, once

ROWS = int(os.environ.get("BENCH_STORED_ROWS", "10000000"))
BLOCK = 500_000
COLUMNS = 50
LIMIT = 2_048
"""MiB that the process may hold at its peak; both frames are 7 GiB."""


def run() -> Iterator[Line]:
    """CPU seconds, reading included, and peak memory of a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-drift-stored-"))
    try:
        files = [folder / "reference.parquet", folder / "current.parquet"]
        for place, file in enumerate(files):
            _write(file, seed=1_000 * (1 + place), shift=0.3 * place)
        found = once(Path(sys.executable), "ours-stored", files)
        size = sum(file.stat().st_size for file in files) / 2**20
        more = {"files_mib": round(size), "wall": round(found["wall"], 1), "drifted": found["drifted"]}
        name = f"drift report {ROWS / 1e6:g}M x {COLUMNS} from Parquet"
        yield own_line(f"{name}, CPU with reading", [found["cpu"]], "s") | more
        yield own_line(f"{name}, peak memory", [found["peak"]], "MiB", below(LIMIT, "MiB"))
    finally:
        shutil.rmtree(folder)


def _write(file: Path, *, seed: int, shift: float) -> None:
    """The 20 columns of the smaller benchmark, two and a half times, block by block."""
    import pyarrow.parquet as pq

    writer: Any = None
    for start in range(0, ROWS, BLOCK):
        parts = [
            make(min(BLOCK, ROWS - start), seed=seed + start // BLOCK * 3 + part, shift=shift).rename(
                lambda name, part=part: f"{name}_{part}"  # type: ignore[misc]
            )
            for part in range(3)
        ]
        table = pl.concat(parts, how="horizontal").select(pl.nth(range(COLUMNS))).to_arrow()
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
