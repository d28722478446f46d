"""How long a user waits before anything happens: the import, `--version`, a server that answers.

The peer of the import is Python itself: medians of paired runs, each pair one after the other.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAIRS = 15


def run() -> Iterator[dict[str, Any]]:
    """Milliseconds; `ratio` is ours over the peer's."""
    bare = [sys.executable, "-c", "pass"]
    yield _paired("import homeostat", [sys.executable, "-c", "import homeostat"], bare)
    script = Path(sys.executable).with_name("homeostat")
    yield _paired("homeostat --version", [str(script), "--version"], bare)
    times = [_server_ready() for _ in range(5)]
    yield {
        "name": "server ready, empty home",
        "ours": round(statistics.median(times)),
        "peer": None,
        "unit": "ms",
        "ratio": None,
    }


def _paired(name: str, ours: list[str], peer: list[str]) -> dict[str, Any]:
    pairs = [(_milliseconds(ours), _milliseconds(peer)) for _ in range(PAIRS)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    difference = statistics.median(a - b for a, b in pairs)
    return {
        "name": name,
        "ours": round(mine, 1),
        "peer": round(other, 1),
        "unit": "ms",
        "ratio": round(mine / other, 2),
        "over_bare_python": round(difference, 1),
    }


def _milliseconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - started) * 1000


def _server_ready() -> float:
    with tempfile.TemporaryDirectory() as home:
        command = [
            sys.executable,
            "-m",
            "homeostat.cli.entry",
            "up",
            "--json",
            "--home",
            home,
            "--port",
            "0",
            "--serving-port",
            "0",
        ]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - started
        process.terminate()
        process.wait()
        return seconds * 1000
