"""Many finished runs, the same in both servers: 10 params and 20 metrics each, to search in.

Ten thousand of them take MLflow's REST API half an hour, so the peer gets its rows as its own store would have written
them, straight into its database; what is measured is reading. Ours come in as they do from a client.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.tracking.ingesting import ingest
from benchmarks.tracking.wire import MLFLOW, Wire
from homeostat.ground.ids import new_id
from homeostat.tracking.ops import EndRun, Op, Params, Series, StartRun

PARAMS, METRICS = 10, 20
LETTERS = "abcdefghij"
_FIRST = 1_700_000_000_000
"""Milliseconds; runs start a second apart from here."""
_RUNS_A_STRETCH = 500


class Population(NamedTuple):
    """Runs by number: ids, the param `x` (a letter), and the metrics `m0` ... as rows."""

    ids: list[str]
    letters: list[str]
    metrics: NDArray[np.float64]

    def first(self, runs: int) -> "Population":
        """The first so many of them."""
        return Population(self.ids[:runs], self.letters[:runs], self.metrics[:runs])

    def found(self) -> list[str]:
        """The ids of the runs with x = 'a' and m0 > 0.5, the greatest m1 first: what a search has to find."""
        runs = [run for run, letter in enumerate(self.letters) if letter == "a" and self.metrics[run, 0] > 0.5]
        return [self.ids[run] for run in sorted(runs, key=lambda run: self.metrics[run, 1], reverse=True)]

    def params(self, run: int) -> dict[str, str]:
        """`x`, and nine more that tell runs apart."""
        return {"x": self.letters[run]} | {f"p{number}": str((run * number) % 97) for number in range(1, PARAMS)}


def make_population(runs: int) -> Population:
    """The same values each time; ids are new."""
    random = np.random.default_rng(runs)
    letters = [LETTERS[number] for number in random.integers(0, len(LETTERS), runs)]
    return Population([new_id() for _ in range(runs)], letters, random.random((runs, METRICS)))


def load_ours(wire: Wire, people: Population, project: str) -> str:
    """Send the runs as a client's spool would; returns the project's id."""
    starts = range(0, len(people.ids), _RUNS_A_STRETCH)
    ingest(wire.url, (_operations(people, start, project) for start in starts))
    return str(wire.get(f"{MLFLOW}/experiments/get-by-name?experiment_name={project}")["experiment"]["experiment_id"])


def load_peer(wire: Wire, database: Path, people: Population, experiment: str) -> str:
    """Write the rows that MLflow's store keeps of such runs; returns the experiment's id."""
    made = str(wire.post(f"{MLFLOW}/experiments/create", {"name": experiment})["experiment_id"])
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        insert = connection.executemany
        insert(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " end_time, deleted_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'FINISHED', ?, ?, NULL, '', 'active', ?, ?)",
            (
                (run_id, f"run-{run}", started(run), started(run) + 500, _artifacts(made, run_id), made)
                for run, run_id in enumerate(people.ids)
            ),
        )
        insert(
            "INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', ?, ?)",
            ((f"run-{run}", run_id) for run, run_id in enumerate(people.ids)),
        )
        insert(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            (
                (key, value, run_id)
                for run, run_id in enumerate(people.ids)
                for key, value in people.params(run).items()
            ),
        )
        for table in ("metrics", "latest_metrics"):
            insert(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, 0, 0, ?)",  # noqa: S608  one of two
                _metric_rows(people),
            )
    return made


def _operations(people: Population, start: int, project: str) -> list[Op]:
    runs = range(start, min(start + _RUNS_A_STRETCH, len(people.ids)))
    return [op for run in runs for op in _operations_of(people, run, project)]


def _operations_of(people: Population, run: int, project: str) -> Iterator[Op]:
    run_id, at = people.ids[run], started(run) * 1000
    yield StartRun(run_id, project, f"run-{run}", at)
    yield Params(run_id, people.params(run))
    step, when = np.int64(0).tobytes(), np.int64(at).tobytes()
    for number, value in enumerate(people.metrics[run]):
        yield Series(run_id, f"m{number}", step, when, value.tobytes())
    yield EndRun(run_id, "finished", at + 500_000)


def _metric_rows(people: Population) -> Iterator[tuple[str, float, int, str]]:
    for run, run_id in enumerate(people.ids):
        for number, value in enumerate(people.metrics[run].tolist()):
            yield f"m{number}", value, started(run), run_id


def started(run: int) -> int:
    """Milliseconds UTC at which a run began."""
    return _FIRST + 1000 * run


def _artifacts(experiment: str, run_id: str) -> str:
    return f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
