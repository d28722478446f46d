"""A large model is replaced again and again while eight connections ask it: nobody is refused, nobody waits long."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import homeostat as hs
from benchmarks.lines import Line, below, own_line
from benchmarks.serving import questions
from benchmarks.serving.half_load import paced
from benchmarks.serving.load import SECONDS
from benchmarks.serving.models import FEATURES, asked_rows
from benchmarks.serving.ours import compile_version, route, settle
from benchmarks.serving.stage import Stage

NAME = "forest"
VERSIONS = 4
"""More than a worker keeps warm: each change of the routing has to load a package."""
RATE = 500.0
PAUSE = 0.5


def run(stage: Stage) -> Iterator[Line]:
    """The longest wait of any request while versions are loaded, and in as long a time without."""
    size = register_forest(stage.home)
    route(stage.home, NAME)
    question = questions.open_inference(NAME, 1)
    settle(stage.ours, stage.home)
    before = paced(stage.ours, question, rate=RATE, connections=8, seconds=2 * SECONDS)
    told: dict[str, Any] = {}
    asking = threading.Thread(
        target=lambda: told.update(paced(stage.ours, question, rate=RATE, connections=8, seconds=6 * SECONDS))
    )
    asking.start()
    loads = []
    while asking.is_alive() and len(loads) < 2 * VERSIONS:
        time.sleep(PAUSE)
        begun = time.perf_counter()
        route(stage.home, NAME, stable=1 + (len(loads) + 1) % VERSIONS)
        settle(stage.ours, stage.home)
        loads.append(round(time.perf_counter() - begun, 3))
    asking.join()
    failed = told["refused"] + before["refused"]
    line = own_line(
        f"reload of {size:.0f} MiB under 8 connections, longest wait", [told["max_ms"]], "ms", below(50, "ms")
    )
    line |= {"failed": failed, "met": line["met"] and not failed, "answers": told["answers"]}
    yield line | {
        "without_reload": round(before["max_ms"], 2),
        "p99_ms": round(told["p99_ms"], 2),
        "load_seconds": loads,
    }


def register_forest(home: Path) -> float:
    """Versions of one large forest, each compiled; MiB of a package."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(23)
    rows = rng.normal(size=(40_000, FEATURES))
    labels = rng.integers(0, 2, size=len(rows))  # nothing to learn, so the trees grow a leaf for nearly every row
    forest = RandomForestClassifier(n_estimators=36, max_features=1, random_state=0).fit(rows, labels)
    client = hs.connect(str(home))
    made: dict[str, Any] = {}
    for number in range(VERSIONS):
        made = client.registry.register(forest, NAME, example=asked_rows(8), tags={"copy": str(number)})
        compile_version(home, made["ref"])
    client.close()
    return sum(file["size"] for file in made["files"].values()) / 2**20
