"""Replicas share nothing but the catalogue and the blobs: all answer, all are counted, routing reaches all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from shop import START, Shop, command, running, write_project

pytestmark = pytest.mark.slow


@contextmanager
def replica(home: Path, main: Path) -> Iterator[str]:
    """`homeostat serve` with a home of its own, on the other's catalogue and blobs; its address."""
    environment = os.environ | {
        "HOMEOSTAT_DATABASE": f"sqlite:///{main / 'catalogue.db'}",
        "HOMEOSTAT_BLOBS": str(main / "blobs"),
        "HOMEOSTAT_TRUSTED_KEYS": str(main / "keys" / "trusted"),
        "HOMEOSTAT_CLOCK": START.isoformat(),
    }
    arguments = ["serve", "--json", "--home", str(home), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "homeostat.cli.entry", *arguments], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    text = b""
    for line in process.stdout:
        text += line
        if line.startswith(b"}"):
            break
    try:
        yield msgspec.json.decode(text)["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        process.stdout.close()


def test_a_replica_answers_is_counted_and_follows_within_a_second(tmp_path: Path) -> None:
    main, other = tmp_path / "main", tmp_path / "other"
    command(main, "apply", str(write_project(tmp_path / "project")))
    orders = Shop(tmp_path / "project").between(START, START + timedelta(hours=1))
    with running(main) as server:
        server.post("/api/models/late-order/cycles", {"reason": "first"})
        server.move_clock(START)
        with replica(other, main) as url:
            here = server.serving
            server.predict(orders, prefix="here")
            server.serving = url
            answer = server.predict(orders, prefix="there")
            assert answer["model_name"] == "late-order"
            before = httpx.get(f"{url}/v2/health/live").json()["generation"]
            server.post("/api/models/late-order/cycles", {"reason": "second"})
            server.move_clock(START)
            wanted = httpx.get(f"{here}/v2/health/live").json()["generation"]
            deadline = time.monotonic() + 1.0
            while httpx.get(f"{url}/v2/health/live").json()["generation"] < wanted and time.monotonic() < deadline:
                time.sleep(0.02)
            assert httpx.get(f"{url}/v2/health/live").json()["generation"] == wanted
            assert wanted >= before
            counted = 0
            deadline = time.monotonic() + 20
            while counted < 2 * len(orders) and time.monotonic() < deadline:
                time.sleep(0.5)
                server.move_clock(START)
                counted = server.get("/api/models/late-order/counts")["predictions"]
        assert counted == 2 * len(orders)
