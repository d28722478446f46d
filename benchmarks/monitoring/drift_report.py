"""A drift report of 20 mixed columns, beside both APIs of Evidently; and the page."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.environment import ROOT, peer_python
from benchmarks.lines import Line, Pair, below, cost_line, own_line, times_better

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SCRIPT = Path(__file__).with_name("drift_once.py")
GOALS = {"evidently": 30.0, "evidently-legacy": 15.0}


def hundred_thousand() -> Iterator[Line]:
    """100,000 rows on each side."""
    yield from _compared(100_000, "100k x 20", rounds=ROUNDS)


def million() -> Iterator[Line]:
    """1,000,000 rows on each side."""
    yield from _compared(1_000_000, "1M x 20", rounds=1)


def page() -> Iterator[Line]:
    """Writing the page of 100,000 rows x 20 columns."""
    from homeostat import DataDriftPreset, Report

    snapshot = Report([DataDriftPreset()]).run(make(100_000, seed=2, shift=0.3), make(100_000, seed=1))
    seconds, sizes = [], []
    for _ in range(5):
        began = time.perf_counter()
        text = snapshot.html()
        seconds.append(time.perf_counter() - began)
        sizes.append(len(text.encode()) / 1000)
    yield own_line("drift report, 20 columns: the page", seconds, "s", below(0.5, "s"))
    yield own_line("drift report, 20 columns: size of the page", sizes, "kB", below(300, "kB"))


def make(rows: int, *, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """15 numbers (one shifted) and 5 categories of 2 to 1,000 values."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"normal_{i}": rng.normal(size=rows) for i in range(6)}
    columns["normal_0"] = columns["normal_0"] + shift
    columns |= {f"lognormal_{i}": rng.lognormal(size=rows) for i in range(3)}
    columns |= {f"uniform_{i}": rng.uniform(size=rows) for i in range(3)}
    columns |= {f"gamma_{i}": np.round(rng.gamma(2, size=rows), 1) for i in range(2)}
    columns["holes"] = np.where(rng.uniform(size=rows) < 0.05, np.nan, rng.normal(size=rows))
    for values in (2, 5, 20, 100, 1000):
        shares = 1 / np.arange(1, values + 1) ** 0.8
        names = np.array([f"value {number}" for number in range(values)])
        columns[f"category_{values}"] = names[rng.choice(values, size=rows, p=shares / shares.sum())]
    return pl.DataFrame(columns)


def _compared(rows: int, name: str, *, rounds: int) -> Iterator[Line]:
    python = peer_python("evidently")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "reference.parquet", Path(folder) / "current.parquet"]
        make(rows, seed=1).write_parquet(files[0])
        make(rows, seed=2, shift=0.3).write_parquet(files[1])
        for peer, goal in GOALS.items():
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(once(Path(sys.executable), "ours", files))
                theirs.append(once(python, peer, files))
            cpu = [Pair(mine["cpu"], other["cpu"]) for mine, other in zip(ours, theirs, strict=True)]
            memory = [Pair(mine["peak"], other["peak"]) for mine, other in zip(ours, theirs, strict=True)]
            wall = statistics.median(one["wall"] for one in ours), statistics.median(one["wall"] for one in theirs)
            more = {"our_wall": round(wall[0], 3), "peer_wall": round(wall[1], 3)}
            more |= {"our_drifted": ours[0]["drifted"], "peer_drifted": theirs[0]["drifted"]}
            yield cost_line(f"drift report {name}, CPU, beside {peer}", cpu, "s", times_better(goal)) | more
            yield cost_line(f"drift report {name}, peak memory, beside {peer}", memory, "MiB", times_better(3))
        for other in ("ours-pandas", "ours-calibrated"):
            found = [once(Path(sys.executable), other, files) for _ in range(rounds)]
            yield own_line(f"drift report {name}, CPU, {other}", [one["cpu"] for one in found], "s")


def once(python: Path, tool: str, files: list[Path]) -> dict[str, Any]:
    """One report in a process of its own: what `drift_once.py` prints."""
    command = [str(python), str(SCRIPT), tool, *map(str, files)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, timeout=900)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
