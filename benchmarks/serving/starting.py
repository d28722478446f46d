"""From nothing to the first answer, and what a server with one model weighs."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lines import Line, Pair, below, cost_line, own_line
from benchmarks.processes import running
from benchmarks.serving import questions
from benchmarks.serving.load import press
from benchmarks.serving.models import NAMES, WORDS
from benchmarks.serving.ours import start_serve
from benchmarks.serving.questions import Question, ask
from benchmarks.serving.stage import Stage

RESTARTS = 3


def run(stage: Stage) -> Iterator[Line]:
    """`homeostat serve` of one model, until it has answered a request; then its weight after some load.

    MLServer beside it, on the same core, with both models.
    """
    for name in NAMES:
        question = questions.open_inference(name, 1)
        place = stage.place(f"serve-{name}")
        seconds = [_first_answer(stage, name, question, place) for _ in range(RESTARTS)]
        yield own_line(f"{WORDS[name]}, start to first answer", seconds, "s", below(2, "s"))
        yield _weight(stage, name, question, place)


def _first_answer(stage: Stage, name: str, question: Question, place: Path) -> float:
    """Seconds from the start of the process to a prediction."""
    begun = time.perf_counter()
    with running(start_serve(stage.home, place, f"models:/{name}@champion")) as server:
        status, body = ask(server.url, question)
        if status != 200:
            raise RuntimeError(f"the first answer was {status}: {body[:500]!r}")
        return time.perf_counter() - begun


def _weight(stage: Stage, name: str, question: Question, place: Path) -> Line:
    with running(start_serve(stage.home, place, f"models:/{name}@champion")) as server:
        press(server, question, 32, seconds=1)
        sizes = {one.pid: one.memory_full_info() for one in server.tree()}
        worker = max(sizes.values(), key=lambda size: size.pss)
        pair = Pair(worker.pss / 2**20, stage.mlserver.memory()[0])
        line = cost_line(f"{WORDS[name]}, memory of the worker (PSS)", [pair], "MiB", below(150, "MiB"))
        whole = sum(size.pss for size in sizes.values()) / 2**20
        return line | {"our_rss": round(worker.rss / 2**20, 1), "our_tree": round(whole, 1), "processes": len(sizes)}
