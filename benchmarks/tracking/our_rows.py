"""Runs written into our own catalogue as the rows that taking them in would have left: for a hundred thousand of them.

The peer's runs are loaded in the same way (`population.py`), and for the same reason.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tracking.population import Population, started
from homeostat.tracking.points import pack, points_of

_RUN = (
    "INSERT INTO tracking_runs (no, id, project, name, status, cause, actor, started, ended, error, inputs, code,"
    " environment) VALUES (?, ?, ?, ?, 'finished', 'person', '', ?, ?, '', '[]', '{}', '{}')"
)
_PARAM = "INSERT INTO tracking_params (run, key, project, head, value) VALUES (?, ?, ?, ?, ?)"
_SERIES = (
    "INSERT INTO tracking_series (run, key, project, points, tail, last, last_step, last_at, min, max)"
    " VALUES (?, ?, ?, 1, 1, ?, 0, ?, ?, ?)"
)
_POINTS = "INSERT INTO tracking_points (run, key, sealed, first_step, last_step, data) VALUES (?, ?, FALSE, 0, 0, ?)"


def write_rows(catalogue: Path, people: Population, *, first: int, project: int) -> None:
    """The runs from number `first` on."""
    runs = range(first, len(people.ids))
    with closing(sqlite3.connect(catalogue, timeout=60)) as connection:
        with connection:
            (above,) = connection.execute("SELECT coalesce(max(no), 0) + 1 FROM tracking_runs").fetchone()
            numbers = {run: above + place for place, run in enumerate(runs)}
            connection.executemany(_RUN, (_run(people, run, numbers[run], project) for run in runs))
            connection.executemany(_PARAM, _params(people, numbers, project))
            connection.executemany(_SERIES, _series(people, numbers, project))
            connection.executemany(_POINTS, _points(people, numbers))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _run(people: Population, run: int, number: int, project: int) -> tuple[Any, ...]:
    at = started(run) * 1000
    return number, people.ids[run], project, f"run-{run}", at, at + 500_000


def _params(people: Population, numbers: dict[int, int], project: int) -> Iterator[tuple[Any, ...]]:
    for run, number in numbers.items():
        for key, value in people.params(run).items():
            yield number, key, project, value, value


def _series(people: Population, numbers: dict[int, int], project: int) -> Iterator[tuple[Any, ...]]:
    for run, number in numbers.items():
        at = started(run) * 1000
        for metric, value in enumerate(people.metrics[run].tolist()):
            yield number, f"m{metric}", project, value, at, value, value


def _points(people: Population, numbers: dict[int, int]) -> Iterator[tuple[Any, ...]]:
    step = np.zeros(1, np.int64)
    for run, number in numbers.items():
        at = np.full(1, started(run) * 1000, np.int64)
        for metric, value in enumerate(people.metrics[run]):
            yield number, f"m{metric}", pack(points_of(step, at, np.array([value])))
