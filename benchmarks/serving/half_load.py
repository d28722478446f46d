"""How long answers take at half of the load that a server can bear."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lines import Line, below, own_line
from benchmarks.processes import Server
from benchmarks.serving import questions
from benchmarks.serving.load import ROUNDS, SECONDS, pinned_to_client, press
from benchmarks.serving.models import NAMES, WORDS
from benchmarks.serving.questions import Question, must_agree
from benchmarks.serving.stage import Stage

SCRIPT = Path(__file__).with_name("paced.py")


def run(stage: Stage) -> Iterator[Line]:
    """p99 over 32 connections, requests falling due at random at half the rate that wrk has just reached."""
    for name in NAMES:
        question = questions.open_inference(name, 1)
        must_agree(stage.ours.url, question, name, 1)
        most = press(stage.ours, question, 32).rate
        told = [paced(stage.ours, question, rate=most / 2) for _ in range(ROUNDS)]
        if refused := sum(one["refused"] for one in told):
            raise RuntimeError(f"{stage.ours.url}{question.path} refused {refused} requests at half load")
        line = own_line(
            f"{WORDS[name]}, 1 row, p99 at half load", [one["p99_ms"] for one in told], "ms", below(5, "ms")
        )
        yield line | {key: [float(f"{one[key]:.4g}") for one in told] for key in ("asked", "rate", "p50_ms", "max_ms")}


def paced(
    server: Server, question: Question, *, rate: float, connections: int = 32, seconds: int = SECONDS
) -> dict[str, Any]:
    """What `paced.py` measures of one window."""
    headers = "".join(f"{name}: {value}\n" for name, value in question.headers.items())
    pace = [str(rate), str(seconds), str(connections)]
    done = subprocess.run(
        [*pinned_to_client(), sys.executable, str(SCRIPT), server.url + question.path, *pace],
        input=question.body,
        env=os.environ | {"BENCH_HEADERS": headers},
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told
