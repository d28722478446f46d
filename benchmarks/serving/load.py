"""The load: `wrk` on a core of its own presses a server that has the other one."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.processes import Server
from benchmarks.serving.questions import Question

SCRIPT = Path(__file__).with_name("wrk.lua")
SERVER_CORE, CLIENT_CORE = 0, 1
SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
"""Length of one window."""
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
"""Windows of each server and case, of which the median counts."""


class Window(NamedTuple):
    """What one window of load has shown."""

    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the whole process tree for one answer."""
    busy: float
    """Share of its core that the server used."""
    loop_us: float = 0.0
    """Processor time of the main thread alone for one answer: without what other threads do afterwards."""


def press(server: Server, question: Question, connections: int, *, seconds: int = SECONDS) -> Window:
    """Ask over so many connections as fast as it answers.

    Raises:
        RuntimeError: when an answer was missing or not 2xx.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(question.body)
        body.flush()
        headers = "".join(f"{name}: {value}\n" for name, value in question.headers.items())
        before, loop_before = server.cpu_seconds(), server.main_thread_seconds()
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), "--timeout=30s"]
        done = subprocess.run(
            [*pinned_to_client(), *wrk, server.url + question.path],
            env=os.environ | {"BENCH_BODY": body.name, "BENCH_HEADERS": headers},
            capture_output=True,
            text=True,
            check=True,
        )
        used, in_loop = server.cpu_seconds() - before, server.main_thread_seconds() - loop_before
    told = json.loads(done.stdout.splitlines()[-1])
    if told["refused"] or told["broken"] or not told["answers"]:
        raise RuntimeError(f"{server.url}{question.path} under {connections} connections: {told}")
    return Window(
        rate=told["answers"] / told["seconds"],
        p50_ms=told["p50"] / 1000,
        p99_ms=told["p99"] / 1000,
        cpu_us=used / told["answers"] * 1e6,
        busy=used / told["seconds"],
        loop_us=in_loop / told["answers"] * 1e6,
    )


def pinned_to_client() -> list[str]:
    """What a command begins with to run beside the server, not on its core."""
    return ["taskset", "--cpu-list", str(CLIENT_CORE)]


def check_machine() -> None:
    """See that there is a load generator, and a core for it.

    Raises:
        SystemExit: saying what to install.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("the serving suite needs wrk to make load: apt-get install wrk (Debian), brew install wrk")
    if shutil.which("taskset") is None:
        raise SystemExit("the serving suite needs taskset to pin servers to a core: apt-get install util-linux")
    if (psutil.cpu_count() or 1) < 2:
        raise SystemExit("the serving suite needs two cores: one for the server, one for the load")
