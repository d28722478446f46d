"""A data plane in process, and a real worker in a process of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serving_linear
from serving_helpers import Worker, endpoint

from homeostat.ground.clock import DrivenClock, SystemClock
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.log import PredictionLog
from homeostat.serving.types import Endpoint


@pytest.fixture
def make_plane(tmp_path: Path) -> Iterator[Callable[..., DataPlane]]:
    """Makes a data plane that serves the given endpoints; its log is in tmp_path."""
    made: list[DataPlane] = []

    def make(*endpoints: Endpoint, clock: SystemClock | DrivenClock | None = None, **options: Any) -> DataPlane:
        plane = DataPlane(PredictionLog(tmp_path), clock or SystemClock(), serving_linear.load, **options)
        made.append(plane)
        plane.swap(endpoints or (endpoint(),), 1)
        return plane

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers on the catalogue that `sqlite_database` opened in tmp_path; ends them after the test."""
    started: list[Worker] = []

    def start(*options: str) -> Worker:
        started.append(Worker(tmp_path, *options))
        return started[-1]

    yield start
    for worker in started:
        worker.end()
