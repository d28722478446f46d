"""The Ray Serve example, run for real: a cluster on this machine, a replica that answers with a registered model."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import homeostat as hs
from homeostat.serving.log import FOLDER, read_all, wal_files

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RAY = ROOT / ".venv" / "serving-clients"
SCRIPT = Path(__file__).with_name("ray_script.py")
ROWS = np.random.default_rng(6).normal(size=(80, 2))
QUESTION = {
    "path": "/v2/models/late/infer",
    "body": {"inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP64", "data": ROWS[:3].ravel().tolist()}]},
}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that has Ray and its libraries, and what it lacks of ours: nothing is installed or changed for it."""
    assert RAY.exists(), "Ray is in the environment of the foreign clients: make .venv/serving-clients/ready"
    folder = tmp_path / "env"
    venv.create(folder, symlinks=True)
    ours = Path(sysconfig.get_paths()["purelib"])
    packages = folder / ours.relative_to(Path(sys.prefix))
    theirs = RAY / ours.relative_to(Path(sys.prefix))
    (packages / "both.pth").write_text(f"{theirs}\n{ours}\n{ROOT / 'src'}\n")  # what both have, Ray finds as its own
    return folder / "bin" / "python"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two versions that say the opposite of each other; the first is champion."""
    from sklearn.linear_model import LogisticRegression

    client = hs.connect(str(tmp_path / "home"))
    labels = (ROWS[:, 0] > 0).astype(int)
    for truth in (labels, 1 - labels):
        client.registry.register(LogisticRegression().fit(ROWS, truth), "late")
    client.registry.set_alias("late", "champion", 1)
    client.close()
    return tmp_path / "home"


class Cluster:
    """The script, with Ray under it."""

    def __init__(self, python: Path, home: Path, temporary: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [str(python), str(SCRIPT), str(home), str(port), temporary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
        )
        assert self._hear() == {"ready": True}

    def ask(self) -> list[float]:
        """The probabilities for the three rows."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(QUESTION) + "\n")
        self._process.stdin.flush()
        answer = self._hear()
        assert answer["status"] == 200, answer
        return list(answer["body"]["outputs"][0]["data"])

    def end(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(timeout=60)
        self._process.stdout.close()
        return code

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):  # Ray's own words
            line = self._process.stdout.readline()
        assert line, f"the script ended with {self._process.wait(timeout=60)}"
        return json.loads(line)


@pytest.fixture
def cluster(python: Path, home: Path) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:  # short: it holds sockets
        started = Cluster(python, home, temporary)
        yield started
        assert started.end() == 0


def test_a_replica_answers_follows_the_alias_and_logs(cluster: Cluster, home: Path) -> None:
    first = cluster.ask()
    client = hs.connect(str(home))
    client.registry.set_alias("late", "champion", 2, reason="the other one")
    client.close()
    deadline = time.monotonic() + 30
    while (now := cluster.ask()) == first:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert now == pytest.approx([1 - score for score in first])
    logged = [batch.version for path in wal_files(home / FOLDER) for batch in read_all(path)]
    assert (logged[0], logged[-1]) == (1, 2)
