"""A metric that is a function of the declared file: asked in a child, for user code never runs in the server."""

import os
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.loop.declaration import Declaration
from homeostat.monitoring.types import Accuracy
from homeostat.store.blobs import BlobStore

Floats = NDArray[np.float64]
Measured = tuple[float | None, str]

PATIENCE = 60.0
"""Seconds for all the windows of one question."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked; arrays are float64, little endian."""

    source: bytes
    file_name: str
    root: str
    function: str
    greater_is_better: bool
    parts: list[tuple[bytes, bytes]]
    """Labels and scores."""


class OwnMetric:
    """The metric, as accuracy by window works with it."""

    share = None
    bounds: tuple[float | None, float | None] = (None, None)

    def __init__(self, blobs: BlobStore, declaration: Declaration, rule: Accuracy) -> None:
        self._blobs = blobs
        self._declaration = declaration
        self.name = rule.metric
        self.greater_is_better = bool(rule.greater_is_better)

    def many(self, parts: Sequence[tuple[Floats, Floats]]) -> list[Measured]:
        """Value or reason for each (labels, scores): one child for all of them."""
        if not parts:
            return []
        declaration = self._declaration
        question = Question(
            source=self._blobs.get(declaration.file_digest),
            file_name=declaration.file_name,
            root=declaration.root,
            function=self.name,
            greater_is_better=self.greater_is_better,
            parts=[(_packed(y), _packed(score)) for y, score in parts],
        )
        try:
            done = subprocess.run(
                [sys.executable, "-m", "homeostat.loop.own_metrics_child"],
                input=msgspec.msgpack.encode(question),
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
                env={"OMP_NUM_THREADS": "1"} | os.environ,
            )
        except subprocess.TimeoutExpired:
            return [(None, f"{self.name} did not answer within {PATIENCE:.0f} s")] * len(parts)
        if done.returncode:
            return [(None, f"the process of {self.name} ended with exit code {done.returncode}")] * len(parts)
        return msgspec.json.decode(done.stdout, type=list[Measured])


def _packed(values: Floats) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()
