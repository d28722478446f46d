"""Ours beside BentoML, MLServer and MLflow: the same model, the same rows, as many requests as each can answer."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.lines import Goal, Line, Pair, rate_line, times_better
from benchmarks.processes import Server
from benchmarks.serving import questions
from benchmarks.serving.load import ROUNDS, Window, press
from benchmarks.serving.models import NAMES, WORDS, counted
from benchmarks.serving.questions import Question, must_agree
from benchmarks.serving.stage import Stage

ROWS = (1, 64)
CONNECTIONS = (1, 8, 32)
GOALS = {"BentoML": 20.0, "MLServer": 10.0}
"""Times as many requests a second, at 32 connections."""


class Asked(NamedTuple):
    """A server and what it is asked."""

    server: Server
    question: Question

    def window(self, connections: int) -> Window:
        return press(self.server, self.question, connections)


def run(stage: Stage) -> Iterator[Line]:
    """One and 64 rows over 1, 8 and 32 connections, in turns; a line for each peer."""
    for name in NAMES:
        for rows in ROWS:
            contest = _contest(stage, name, rows)
            for asked in contest.values():
                must_agree(asked.server.url, asked.question, name, rows)
            for connections in CONNECTIONS:
                yield from _lines(f"{WORDS[name]}, {counted(rows)}, {connections} connections", contest, connections)


def run_mlflow(stage: Stage) -> Iterator[Line]:
    """`mlflow models serve`, which serves one model: single rows over 1 and 32 connections."""
    for name in NAMES:
        ours = Asked(stage.ours, questions.open_inference(name, 1))
        contest = {"ours": ours, "MLflow": Asked(stage.mlflow(name), questions.mlflow(name, 1))}
        for asked in contest.values():
            must_agree(asked.server.url, asked.question, name, 1)
        for connections in (1, 32):
            yield from _lines(f"{WORDS[name]}, 1 row, {connections} connections", contest, connections)


def run_batching(stage: Stage) -> Iterator[Line]:
    """BentoML told to gather requests into batches, where that helps it most: single rows over 32 connections."""
    for name in NAMES:
        peer = Asked(stage.bentoml, questions.bentoml(f"{name}_batching", 1))
        must_agree(peer.server.url, peer.question, name, 1)
        contest = {"ours": Asked(stage.ours, questions.open_inference(name, 1)), "BentoML in batches": peer}
        yield from _lines(f"{WORDS[name]}, 1 row, 32 connections", contest, 32)


def compared(
    name: str, ours: Callable[[], Window], peer: Callable[[], Window], *goals: Goal, rounds: int = ROUNDS
) -> Line:
    """A line of two that take turns; a round before does not count."""
    ours(), peer()
    return line_of(name, [(ours(), peer()) for _ in range(rounds)], *goals)


def line_of(name: str, windows: Sequence[tuple[Window, Window]], *goals: Goal) -> Line:
    """Requests a second, and beside them the medians of all else that the windows have shown."""
    line = rate_line(name, [Pair(mine.rate, other.rate) for mine, other in windows], "requests/s", *goals)
    for who, column in zip(("our", "peer"), zip(*windows, strict=True), strict=True):
        for field in ("p50_ms", "p99_ms", "cpu_us", "busy"):
            line[f"{who}_{field}"] = float(f"{statistics.median(getattr(one, field) for one in column):.4g}")
    return line | {"cpu_ratio": float(f"{line['peer_cpu_us'] / line['our_cpu_us']:.4g}")}


def _contest(stage: Stage, name: str, rows: int) -> dict[str, Asked]:
    same = questions.open_inference(name, rows)
    return {
        "ours": Asked(stage.ours, same),
        "BentoML": Asked(stage.bentoml, questions.bentoml(name, rows)),
        "MLServer": Asked(stage.mlserver, same),
    }


def _lines(name: str, contest: dict[str, Asked], connections: int) -> Iterator[Line]:
    for asked in contest.values():
        asked.window(connections)  # does not count
    rounds = [{who: asked.window(connections) for who, asked in contest.items()} for _ in range(ROUNDS)]
    for peer in contest:
        if peer != "ours":
            goals = [times_better(GOALS[peer])] if connections == 32 and peer in GOALS else []
            yield line_of(f"{name}, beside {peer}", [(one["ours"], one[peer]) for one in rounds], *goals)
