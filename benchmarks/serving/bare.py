"""Ours beside the bare echo on the same HTTP stack: what model, log, metrics and routing cost together."""

from collections.abc import Iterator

from benchmarks.lines import Goal, Line
from benchmarks.serving import questions
from benchmarks.serving.beside import compared
from benchmarks.serving.load import press
from benchmarks.serving.models import NAMES, WORDS, counted
from benchmarks.serving.questions import must_agree
from benchmarks.serving.stage import Stage

SHARE = Goal(">= 70 % of the bare echo", lambda _, times: times >= 0.7)


def run(stage: Stage) -> Iterator[Line]:
    """Single rows, for which the goal is held, and 64."""
    for name in NAMES:
        for rows in (1, 64):
            question = questions.open_inference(name, rows)
            must_agree(stage.ours.url, question, name, rows)
            for connections in (1, 8, 32):
                yield compared(
                    f"{WORDS[name]}, {counted(rows)}, {connections} connections, beside the bare echo",
                    lambda question=question, connections=connections: press(stage.ours, question, connections),
                    lambda question=question, connections=connections: press(stage.echo, question, connections),
                    *([SHARE] if (rows, connections) == (1, 32) else []),
                )
