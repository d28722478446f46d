"""The main job: a year of flights through the whole loop, its time, its memory, and what the loop is worth."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def run() -> Iterator[dict[str, Any]]:
    """The quarter, then the year; memory is that of the largest process."""
    for name, options in (("demo --fast", ["--fast"]), ("demo", [])):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.json"
            command = [sys.executable, "-m", "homeostat.cli.entry", "demo", *options, "--json", str(out)]
            started = time.perf_counter()
            subprocess.run([*command, "--home", str(Path(folder) / "home")], check=True, capture_output=True)
            seconds = time.perf_counter() - started
            result = json.loads(out.read_text())
        yield {"name": f"{name}, seconds", "ours": round(seconds, 1), "peer": None, "unit": "s", "ratio": None}
        loop, static = result["loop"]["log_loss"], result["static"]["log_loss"]
        yield {
            "name": f"{name}, log loss (peer: never retrained)",
            "ours": round(loop, 5),
            "peer": round(static, 5),
            "unit": "nats",
            "ratio": round(loop / static, 4),
        }
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield {"name": "demo, largest process", "ours": round(peak), "peer": None, "unit": "MB", "ratio": None}
