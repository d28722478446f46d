"""Micro-batches on a real event loop: what waits is scored together, replies are never mixed, too much is refused."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_helpers import endpoint, logged

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import HomeostatError, Invalid, TimedOut, UserCodeFailed
from homeostat.ground.ports import Served
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.lanes import Overloaded
from homeostat.serving.log import PredictionLog
from homeostat.serving.metrics import STATUSES
from homeostat.serving.types import PredictReply, PredictRequest

SIGNATURE = Signature(
    task="regression",
    inputs=(InputColumn(name="a", dtype="number"), InputColumn(name="b", dtype="number", nullable=False)),
    columns=(FeatureColumn(name="a", kind="number"), FeatureColumn(name="b", kind="number")),
    feature_hash="f" * 64,
)
Given = PredictReply | HomeostatError


class Adding:
    """a + b; a NaN counts as 0. Remembers how many rows each call had, and waits when told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def score(self, matrix: Any) -> Any:
        if not np.any(matrix):
            return np.zeros(len(matrix))  # the warm-up
        if (matrix == 666).any():
            raise ArithmeticError("unlucky row")
        self.calls.append(len(matrix))
        time.sleep(self.seconds)
        assert self.gate.wait(10)
        return np.nan_to_num(matrix).sum(axis=1)


@pytest.fixture
def make_plane(tmp_path: Path) -> Iterator[Callable[..., tuple[DataPlane, Adding]]]:
    made: list[DataPlane] = []

    def make(seconds: float = 0.0, *, slow: bool = False, **options: Any) -> tuple[DataPlane, Adding]:
        scorer = Adding(seconds)

        def load(model: str, version: int) -> Served:
            return Served(
                model=model, version=version, signature=SIGNATURE, scorer=scorer, features=None, direct=(0, 1)
            )

        plane = DataPlane(PredictionLog(tmp_path), SystemClock(), load, **options)
        plane.swap([endpoint()], 1)
        if slow:  # as it would be once it was measured
            plane._builder.cost(("late", 1)).per_call = seconds * 1e9
        made.append(plane)
        return plane, scorer

    yield make
    for plane in made:
        plane.close()


def matrix(*rows: tuple[float, float]) -> PredictRequest:
    return PredictRequest(endpoint="late", inputs={}, matrix=np.array(rows, dtype=np.float64))


def ask(plane: DataPlane, requests: list[PredictRequest], *, turns: bool = False) -> list[Given]:
    """Submit all in one turn of the loop (or one a turn) and wait for all answers."""

    async def run() -> list[Given]:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in requests]
        for request, future in zip(requests, futures, strict=True):
            plane.submit(request, future.set_result)
            if turns:
                await asyncio.sleep(0.01)
        return list(await asyncio.gather(*futures))

    return asyncio.run(run())


def scores(answers: list[Given]) -> list[Any]:
    return [given.scores if isinstance(given, PredictReply) else type(given) for given in answers]


Make = Callable[..., tuple[DataPlane, Adding]]


def test_what_comes_in_one_turn_is_scored_in_one_call_and_each_gets_its_own_rows(
    make_plane: Make, tmp_path: Path
) -> None:
    plane, scorer = make_plane()
    requests = [matrix(*[(number, row) for row in range(1 + number % 3)]) for number in range(1, 50)]
    answers = ask(plane, requests)
    assert scores(answers) == [[number + row for row in range(1 + number % 3)] for number in range(1, 50)]
    assert scorer.calls == [sum(len(request.matrix) for request in requests)]
    ids = [request_id for given in answers if isinstance(given, PredictReply) for request_id in given.request_ids]
    assert [one for batch in logged(tmp_path) for one in batch.request_ids] == ids
    assert len(logged(tmp_path)) == 49


def test_a_request_alone_waits_for_nobody(make_plane: Make) -> None:
    plane, scorer = make_plane()
    assert scores(ask(plane, [matrix((1, 2)), matrix((3, 4))], turns=True)) == [[3], [7]]
    assert scorer.calls == [1, 1]


def test_columns_and_matrices_are_scored_together(make_plane: Make) -> None:
    plane, scorer = make_plane()
    by_name = PredictRequest(endpoint="late", inputs={"b": [2, 3], "a": [None, 1.5]})
    assert scores(ask(plane, [by_name, matrix((5, 6))])) == [[2, 4.5], [11]]
    assert scorer.calls == [3]


def test_a_row_that_breaks_the_model_fails_its_own_request_only(make_plane: Make, tmp_path: Path) -> None:
    plane, _ = make_plane()
    answers = ask(plane, [matrix((1, 2)), matrix((666, 1)), matrix((3, 4))])
    assert scores(answers) == [[3], UserCodeFailed, [7]]
    assert sorted(batch.status for batch in logged(tmp_path)) == ["error", "ok", "ok"]


def test_a_matrix_may_miss_what_may_be_missing_and_nothing_else(make_plane: Make) -> None:
    plane, _ = make_plane()
    nan, inf = float("nan"), float("inf")
    answers = ask(plane, [matrix((nan, 2)), matrix((1, nan)), matrix((inf, 1)), matrix((1, 1))])
    assert scores(answers) == [[2], Invalid, Invalid, [2]]
    assert [given.field for given in answers if isinstance(given, Invalid)] == ["b", "a"]


@pytest.mark.parametrize("shape", [(0, 2), (1, 3), (1, 1), (2,), (1, 2, 1)])
def test_a_matrix_of_another_shape_is_refused(make_plane: Make, shape: tuple[int, ...]) -> None:
    plane, _ = make_plane()
    [given] = ask(plane, [PredictRequest(endpoint="late", inputs={}, matrix=np.zeros(shape))])
    assert isinstance(given, Invalid)
    assert given.field == "inputs"


def test_a_slow_version_is_scored_beside_the_loop_and_what_gathers_meanwhile_is_the_next_batch(
    make_plane: Make,
) -> None:
    plane, scorer = make_plane(0.05, slow=True)
    begun = time.perf_counter()
    answers = ask(plane, [matrix((number, 1)) for number in range(1, 21)])
    assert scores(answers) == [[number + 1] for number in range(1, 21)]
    assert scorer.calls == [1, 19]
    assert time.perf_counter() - begun < 20 * 0.05


def test_the_loop_goes_on_while_a_slow_version_scores(make_plane: Make) -> None:
    plane, scorer = make_plane(0.05, slow=True)
    scorer.gate.clear()

    async def run() -> float:
        future = asyncio.get_running_loop().create_future()
        plane.submit(matrix((1, 1)), future.set_result)
        begun = time.perf_counter()
        for _ in range(10):
            await asyncio.sleep(0.001)
        took = time.perf_counter() - begun
        scorer.gate.set()
        await future
        return took

    assert asyncio.run(run()) < 2


def test_more_than_can_be_answered_in_time_is_refused_at_once_with_when_to_come_back(
    make_plane: Make, tmp_path: Path
) -> None:
    plane, _ = make_plane(0.4, slow=True, request_seconds=0.5)
    many = [(1.0, 1.0)] * 4096
    plane._builder.cost(("late", 1)).per_row = 1e6
    answers = ask(plane, [matrix((1, 1)), matrix(*many), matrix((2, 2))])
    assert scores(answers)[0] == [2]
    assert isinstance(answers[2], Overloaded)
    assert answers[2].retry_after >= 4
    assert "error" in {batch.status for batch in logged(tmp_path)}


def test_a_version_that_hangs_is_told_of_as_timed_out_and_logged_once(make_plane: Make, tmp_path: Path) -> None:
    plane, scorer = make_plane(0.03, slow=True, request_seconds=0.3)
    scorer.gate.clear()

    async def run() -> Given:
        future: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        plane.submit(matrix((1, 1)), future.set_result)
        given = await future
        scorer.gate.set()
        await asyncio.sleep(0.3)
        return given

    assert isinstance(asyncio.run(run()), TimedOut)
    assert [batch.status for batch in logged(tmp_path)] == ["error"]


def test_a_share_of_the_log_keeps_whole_requests_and_counts_the_rest(make_plane: Make, tmp_path: Path) -> None:
    plane, _ = make_plane(log_share=0.25)
    answers = ask(plane, [matrix((1, 1), (2, 2)) for _ in range(400)])
    assert all(isinstance(given, PredictReply) for given in answers)
    kept = sum(len(batch.request_ids) for batch in logged(tmp_path))
    assert kept + plane.dropped == 800
    assert 100 < kept < 300
    assert {len(batch.request_ids) for batch in logged(tmp_path)} == {2}


def test_what_is_counted_is_what_happened(make_plane: Make) -> None:
    plane, _ = make_plane()
    ask(plane, [matrix((1, 2)), matrix((666, 1)), matrix((1, float("nan"))), matrix((3, 4), (5, 6))])
    [meter] = plane.meters.snapshot().arms
    assert dict(zip(STATUSES, meter.requests, strict=True)) == {"ok": 2, "rejected": 1, "error": 1, "invalid": 0}
    assert meter.rows == 5
    assert sum(meter.latency) == 2
