"""A serving worker with linear models made up on the spot, for tests: `python serving_linear.py --home ... --port 0`.

Version v answers v + distance / 1,000,000, so an answer tells its version. Some versions misbehave.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from homeostat.ground.ports import Served
from homeostat.ground.records import FeatureColumn, InputColumn, PredictionBatch, Signature
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

RAISES, NOT_FINITE, TOO_SHORT, UNLOADABLE, SLOW_TO_LOAD, SLOW_TO_SCORE, BAD_FEATURES, OTHER_FEATURES = (
    91,
    92,
    93,
    94,
    95,
    96,
    97,
    98,
)

SIGNATURE = Signature(
    task="regression",
    inputs=(
        InputColumn(name="distance", dtype="number"),
        InputColumn(name="carrier", dtype="string", nullable=False),
        InputColumn(name="dep", dtype="time"),
        InputColumn(name="paid", dtype="boolean"),
    ),
    columns=(
        FeatureColumn(name="distance", kind="number"),
        FeatureColumn(name="carrier", kind="category", categories=("AA", "UA")),
        FeatureColumn(name="age", kind="number"),
    ),
    feature_hash="f" * 64,
)


class ColumnReader:
    """Vectors straight from the request: distance, carrier's code, microseconds from `dep` to the request's time."""

    def __init__(self, version: int) -> None:
        self._version = version

    def vectors(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> Any:
        if self._version == BAD_FEATURES:
            raise LookupError("no such view")
        codes = {"AA": 0.0, "UA": 1.0}
        rows = zip(inputs["distance"], inputs["carrier"], inputs["dep"], times, strict=True)
        nan = float("nan")
        return np.array(
            [
                [nan if far is None else far, codes.get(name, nan), nan if dep is None else at - dep]
                for far, name, dep, at in rows
            ],
            dtype=np.float64,
        )


class LinearScorer:
    """version + distance / 1,000,000; a missing distance counts as 0."""

    def __init__(self, version: int) -> None:
        self._version = version

    def score(self, matrix: Any) -> Any:
        if self._version == RAISES:
            raise ZeroDivisionError("broken weights")
        if self._version == SLOW_TO_SCORE:
            time.sleep(0.3)
        scores = self._version + np.nan_to_num(matrix[:, 0]) / 1e6
        if self._version == NOT_FINITE:
            return scores * np.nan
        return scores[:-1] if self._version == TOO_SHORT else scores


def load(model: str, version: int) -> Served:
    """Any model, any version."""
    if version == UNLOADABLE:
        raise ImportError("libforest is not installed")
    if version == SLOW_TO_LOAD:
        time.sleep(0.5)
    other = msgspec.structs.replace(SIGNATURE, feature_hash="e" * 64)
    return Served(
        model=model,
        version=version,
        signature=other if version in {OTHER_FEATURES, BAD_FEATURES} else SIGNATURE,
        scorer=LinearScorer(version),
        features=ColumnReader(version),
    )


def load_served(_database: Database, _blobs: BlobStore, model: str, version: int) -> Served:
    """`load` in the worker's form."""
    return load(model, version)


def batch(number: int, *, note: str = "") -> PredictionBatch:
    """A logged request of one row."""
    return PredictionBatch(
        endpoint="late",
        model="late",
        version=1,
        arm="stable",
        status="ok",
        request_ids=[f"r{number}"],
        times=[number],
        received=number,
        latency_us=5,
        inputs={"carrier": [note or "AA"], "distance": [1.5]},
        vectors=b"\0" * 16,
        scores=[0.5],
    )


if __name__ == "__main__":
    from homeostat.server.worker import read_options, run_worker

    run_worker(read_options(), load_served)
