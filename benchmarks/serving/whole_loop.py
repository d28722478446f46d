"""What the loop around a model costs its callers: log, canary and shadow on, beside the same worker without.

A shadow scores after the answer, in a thread of its own; on one core that takes from the throughput all the same. So it
is shown apart: beside the throughput stands the event loop's own time for an answer, which is what callers wait for.
"""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.lines import Goal, Line
from benchmarks.processes import Server
from benchmarks.serving import questions
from benchmarks.serving.beside import line_of
from benchmarks.serving.load import ROUNDS, press
from benchmarks.serving.models import NAMES, WORDS
from benchmarks.serving.ours import SHADOW, route, settle, start_worker
from benchmarks.serving.stage import Stage

COST = Goal(">= 90 % of the throughput without", lambda _, times: times >= 0.9)
FIRST, HALF = 500, 5_000
"""Of 10,000: the first step of the usual plan, and where the two arms' batches are smallest."""
UNLOGGED = "1e-9"
"""The share of predictions that is logged; there is no switch, for what is not logged is neither watched nor judged."""


def run(stage: Stage) -> Iterator[Line]:
    """Single rows over 32 connections. Metrics are counted on both sides: a worker has no switch for them either."""
    home = stage.place("whole-loop") / "home"
    shutil.copytree(stage.home, home)
    plain = stage.start(lambda: start_worker(stage.home, stage.place("plain"), log_share=UNLOGGED))
    whole = stage.start(lambda: start_worker(home, stage.place("whole")))
    for name in NAMES:
        what = f"{WORDS[name]}, 1 row, 32 connections"
        route(home, name, canary=FIRST)
        yield _beside(f"{what}, log and canary of 5 % beside neither", name, whole, plain, home, COST)
        route(home, name, canary=HALF)
        yield _beside(f"{what}, log and canary of 50 % beside neither", name, whole, plain, home)
        route(home, name, canary=FIRST, shadows=[SHADOW])
        yield _beside(f"{what}, log, canary of 5 % and shadow beside none", name, whole, plain, home)


def _beside(name: str, model: str, whole: Server, plain: Server, home: Path, *goals: Goal) -> Line:
    settle(whole, home)
    question = questions.open_inference(model, 1)
    press(whole, question, 32), press(plain, question, 32)
    windows = [(press(whole, question, 32), press(plain, question, 32)) for _ in range(ROUNDS)]
    line = line_of(name, windows, *goals)
    for who, column in zip(("our", "peer"), zip(*windows, strict=True), strict=True):
        line[f"{who}_loop_us"] = float(f"{statistics.median(one.loop_us for one in column):.4g}")
    line["without_other_threads"] = float(f"{line['peer_loop_us'] / line['our_loop_us']:.4g}")
    health = httpx.get(f"{whole.url}/v2/health/live", timeout=10).json()
    return line | {"shadow_rows_dropped": health["shadow_rows_dropped"]}
