"""Where the time goes: a sampling profiler looks at the worker while it is pressed. Runs when it is named."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.environment import ROOT
from benchmarks.lines import Line
from benchmarks.processes import Server
from benchmarks.serving import questions
from benchmarks.serving.load import press
from benchmarks.serving.models import NAMES, WORDS, counted
from benchmarks.serving.questions import Question
from benchmarks.serving.stage import Stage

PY_SPY = ROOT / ".venv" / "serving-clients" / "bin" / "py-spy"
SECONDS = int(os.environ.get("BENCH_SECONDS", "6"))
TOP = 25
IDLE = ("Condition.wait", "_worker", "select", "wait")
"""Where threads stand that have nothing to do; the profiler cannot tell that from Python at work."""


def run(stage: Stage) -> Iterator[Line]:
    """Shares of the samples over 32 connections: first whole functions with all they call, then functions alone."""
    if not PY_SPY.exists():
        raise SystemExit(
            "the profile is py-spy's, which Ray brings; make its environment: make .venv/serving-clients/ready"
        )
    for name in NAMES:
        for rows in (1, 64):
            stacks = sampled(
                stage.ours, questions.open_inference(name, rows), stage.place("profile") / f"{name}-{rows}"
            )
            what = f"{WORDS[name]}, {counted(rows)}, 32 connections"
            yield from _shares(f"{what}: with what it calls", stacks, _whole)
            yield from _shares(f"{what}: alone", stacks, lambda stack: [stack[-1]])


def sampled(server: Server, question: Question, told: Path) -> Counter[tuple[str, ...]]:
    """Call stacks of all threads that were at work, with how often they were seen.

    Raises:
        RuntimeError: when the profiler could not look.
    """
    pressing = threading.Thread(target=press, args=(server, question, 32), kwargs={"seconds": SECONDS + 2})
    pressing.start()
    command = [str(PY_SPY), "record", "--pid", str(server.pid), "--duration", str(SECONDS), "--rate", "400"]
    done = subprocess.run(
        [*command, "--format", "raw", "--output", str(told)], capture_output=True, text=True, check=False
    )
    pressing.join()
    if done.returncode != 0:
        raise RuntimeError(
            f"py-spy could not look (it needs to be root, or to be allowed to trace): {done.stderr[-500:]}"
        )
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in told.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = tuple(_short(frame) for frame in stack.split(";"))
        if frames[-1].partition(" ")[0] not in IDLE:
            stacks[frames] += int(count)
    return stacks


def _shares(
    name: str, stacks: Counter[tuple[str, ...]], pick: Callable[[tuple[str, ...]], Iterable[str]]
) -> Iterator[Line]:
    total = stacks.total()
    seen: Counter[str] = Counter()
    for stack, count in stacks.items():
        for frame in set(pick(stack)):
            seen[frame] += count
    told = [(frame, count) for frame, count in seen.most_common() if count < 0.95 * total]  # else it is the way there
    for frame, count in told[:TOP]:
        share = round(100 * count / total, 1)
        yield {"name": name, "where": frame, "ours": share, "peer": None, "unit": "% of samples", "ratio": None}


def _whole(stack: tuple[str, ...]) -> Iterable[str]:
    return stack


def _short(frame: str) -> str:
    """`function (folder/file.py)`, without the line: a function is what one can mend."""
    function, _, place = frame.partition(" (")
    return f"{function} ({place.partition(':')[0].removesuffix(')')})"
