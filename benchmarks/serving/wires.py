"""The other wires: binary tensors beside JSON, and gRPC beside MLServer's."""

import json
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np

from benchmarks.environment import ROOT
from benchmarks.lines import Line
from benchmarks.processes import Server
from benchmarks.serving import questions
from benchmarks.serving.beside import compared
from benchmarks.serving.load import SECONDS, Window, pinned_to_client, press
from benchmarks.serving.models import NAMES, WORDS, counted, expected
from benchmarks.serving.peers import grpc_port
from benchmarks.serving.questions import CLOSE, must_agree
from benchmarks.serving.stage import Stage

CLIENT = ROOT / ".venv" / "serving-clients" / "bin" / "python"


def run(stage: Stage) -> Iterator[Line]:
    """Over 32 connections; gRPC over 8, which is all that its Python client can use."""
    for name in NAMES:
        for rows in (1, 64):
            binary, plain = questions.binary_tensor(name, rows), questions.open_inference(name, rows)
            must_agree(stage.ours.url, binary, name, rows)
            yield compared(
                f"{WORDS[name]}, {counted(rows)}, 32 connections, binary tensors beside our JSON",
                lambda binary=binary: press(stage.ours, binary, 32),
                lambda plain=plain: press(stage.ours, plain, 32),
            )
            yield compared(
                f"{WORDS[name]}, {counted(rows)}, 8 connections, gRPC beside MLServer",
                lambda name=name, rows=rows: by_grpc(stage.ours, urlsplit(stage.ours.url).port, name, rows),
                lambda name=name, rows=rows: by_grpc(stage.mlserver, grpc_port(stage.mlserver), name, rows),
            ) | {"limited_by": "the client; compare cpu_us"}


def by_grpc(server: Server, port: int | None, name: str, rows: int) -> Window:
    """One window of gRPC.

    Raises:
        SystemExit: when the environment of the foreign clients is not there.
        RuntimeError: when the answer is not what the model says.
    """
    if not CLIENT.exists():
        raise SystemExit("gRPC load comes from Triton's client; make its environment: make .venv/serving-clients/ready")
    script = str(ROOT / "benchmarks" / "serving" / "grpc_client.py")
    before = server.cpu_seconds()
    done = subprocess.run(
        [*pinned_to_client(), str(CLIENT), script, f"127.0.0.1:{port}", name, str(rows), "8", str(SECONDS)],
        stdout=subprocess.PIPE,
        check=True,
    )
    used = server.cpu_seconds() - before
    told = json.loads(done.stdout)
    if not np.allclose(told["said"], expected(name, rows), rtol=0, atol=CLOSE):
        raise RuntimeError(f"port {port} said {told['said'][:3]} ... of {name} over gRPC")
    return Window(
        rate=told["answers"] / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us=used / told["answers"] * 1e6,
        busy=used / told["seconds"],
    )
