"""Runs, their series and their files, on both databases."""

import math
from pathlib import Path

import numpy as np
import pytest

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.events import list_events
from homeostat.tracking import artifacts, projects, runs, series


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def start(database: Database, *, project: str = "exp", at: int = 1, run_id: str | None = None) -> str:
    with database.write() as conn:
        return runs.start_run(conn, project=project, name="n", cause="person", at=at, actor="ada", run_id=run_id).id


def test_a_run_remembers_everything_that_was_logged(database: Database, blobs: BlobStore) -> None:
    run = start(database)
    with database.write() as conn:
        runs.log_params(conn, run, {"depth": 3, "grid": [1, 2], "name": "x"})
        series.log_metrics(conn, run, {"loss": 0.5, "auc": np.float32(0.75)}, at=2)
        series.log_metrics(conn, run, {"loss": 0.25}, at=3, step=1)
        runs.set_tags(conn, run, {"team": "a"})
        runs.set_tags(conn, run, {"team": "b"})
        artifacts.log_artifact(conn, blobs, run, "plots/roc.png", b"png")
        runs.add_input(conn, run, "d" * 64)
        runs.add_input(conn, run, "d" * 64)
        runs.end_run(conn, run, at=9)
    with database.read() as conn:
        detail = runs.get_run(conn, run)
        assert artifacts.read_artifact(conn, blobs, run, "plots/roc.png") == b"png"
        kinds = [event.kind for event in list_events(conn, subject=run)]
    assert detail.params == {"depth": "3", "grid": "[1,2]", "name": "x"}
    assert detail.metrics == {"auc": 0.75, "loss": 0.25}
    assert (detail.tags, detail.inputs) == ({"team": "b"}, ["d" * 64])
    assert [(item.path, item.size) for item in detail.artifacts] == [("plots/roc.png", 3)]
    assert (detail.run.status, detail.run.started, detail.run.ended) == ("finished", 1, 9)
    assert kinds == ["run.started", "run.ended"]


def test_starting_the_same_run_twice_is_one_run(database: Database) -> None:
    run = start(database, run_id="a" * 32)
    assert start(database, run_id="a" * 32, at=5) == run
    with database.read() as conn:
        assert [found.started for found in runs.list_runs(conn)] == [1]
        assert len(list_events(conn, subject=run)) == 1
    with pytest.raises(Conflict, match="belongs to project 'exp'"):
        start(database, project="other", run_id="a" * 32)


def test_a_parameter_cannot_change_but_may_be_repeated(database: Database) -> None:
    run = start(database)
    with database.write() as conn:
        runs.log_params(conn, run, {"depth": 3})
        runs.log_params(conn, run, {"depth": 3})
    with pytest.raises(Conflict, match=r"'depth'.*'3'.*'4'"), database.write() as conn:
        runs.log_params(conn, run, {"depth": 4, "other": 1})
    with database.read() as conn:
        assert runs.get_run(conn, run).params == {"depth": "3"}


def test_nan_and_infinities_are_kept_in_a_series(database: Database) -> None:
    run = start(database)
    values = [1.5, math.nan, math.inf, -math.inf, 1e308, 5e-324]
    with database.write() as conn:
        for step, value in enumerate(values):
            series.log_metrics(conn, run, {"loss": value}, at=step, step=step)
    with database.read() as conn:
        found = [point.value for point in series.metric_history(conn, run, "loss")]
    assert found == pytest.approx(values, nan_ok=True, rel=0)


def test_a_repeated_point_is_one_point_and_a_second_value_is_kept(database: Database) -> None:
    run = start(database)
    with database.write() as conn:
        for value in (1.0, 1.0, 2.0):
            series.log_metrics(conn, run, {"loss": value}, at=7, step=3)
    with database.read() as conn:
        assert [point.value for point in series.metric_history(conn, run, "loss")] == [1.0, 2.0]
        with pytest.raises(NotFound, match="it has: loss"):
            series.metric_history(conn, run, "los")


@pytest.mark.parametrize("value", ["0.3", None, [1.0], np.zeros(2), 10**400, 1j])
def test_a_metric_that_is_not_a_number_is_refused_by_name(sqlite_database: Database, value: object) -> None:
    run = start(sqlite_database)
    with pytest.raises(Invalid, match="'loss'"), sqlite_database.write() as conn:
        series.log_metrics(conn, run, {"loss": value}, at=1)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "", "a//b", "./a", "a\\b", "C:/x", "a\x00", "a/", "x" * 501]
)
def test_an_artifact_path_that_leads_outside_is_refused(sqlite_database: Database, blobs: BlobStore, path: str) -> None:
    run = start(sqlite_database)
    with pytest.raises(Invalid, match="artifact path"), sqlite_database.write() as conn:
        artifacts.log_artifact(conn, blobs, run, path, b"x")


def test_text_that_a_database_refuses_is_mended(database: Database) -> None:
    run = start(database)
    with database.write() as conn:
        runs.log_params(conn, run, {"a": "x\x00y"})
        runs.set_tags(conn, run, {"b": "\ud800"})
        runs.end_run(conn, run, status="failed", error="bad \x00 byte", at=3)
    with database.read() as conn:
        assert runs.get_run(conn, run).params == {"a": "x\ufffdy"}


def test_a_run_ends_once(database: Database) -> None:
    run = start(database)
    with database.write() as conn:
        runs.end_run(conn, run, status="failed", error="boom", at=3)
        runs.end_run(conn, run, status="failed", error="boom", at=4)
    with pytest.raises(Conflict, match="has ended already: failed"), database.write() as conn:
        runs.end_run(conn, run, status="finished", at=5)
    with database.read() as conn:
        assert runs.find_run(conn, run).ended == 3
        assert len(list_events(conn, kinds=("run.ended",))) == 1


def test_runs_are_listed_newest_first(database: Database) -> None:
    first, second = start(database, at=1), start(database, at=2)
    other = start(database, project="other", at=3)
    with database.read() as conn:
        assert [run.id for run in runs.list_runs(conn)] == [other, second, first]
        assert [run.id for run in runs.list_runs(conn, project="exp", limit=1)] == [second]
        assert [project.name for project in projects.list_projects(conn)] == ["Default", "exp", "other"]
        with pytest.raises(NotFound, match="no run"):
            runs.get_run(conn, "f" * 32)
