"""A run as a script writes it: what is logged arrives, once, and the run ends the way the script did."""

import math
import os
import pickle
import threading
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from homeostat.ground.clock import DrivenClock
from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.database import Database
from homeostat.tracking import runs, series
from homeostat.tracking.client import NOTE, X_AXIS, ActiveRun, current_run, log
from homeostat.tracking.points import Points
from homeostat.tracking.spool.folder import list_spools
from homeostat.tracking.types import RunDetail

if TYPE_CHECKING:
    from conftest import Places


def detail_of(database: Database, run_id: str) -> RunDetail:
    with database.read() as conn:
        return runs.get_run(conn, run_id)


def points_of(database: Database, run_id: str, key: str) -> Points:
    with database.read() as conn:
        return series.read_series(conn, run_id, key)


def test_a_block_logs_and_ends_its_run(database: Database, places: "Places", tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    clock = DrivenClock(10)
    with ActiveRun(places.at(clock), "exp", name="first") as run:
        for loss in (0.5, 0.3):
            run.log(loss=loss)
        run.params({"depth": 3})
        run.artifact("note.txt", tmp_path / "note.txt")
        run.artifact("raw.bin", b"\x00")
        clock.advance_to(20)
    detail, points = detail_of(database, run.id), points_of(database, run.id, "loss")
    assert points.steps.tolist() == [0, 1] and points.values.tolist() == [0.5, 0.3] and points.at.tolist() == [10, 10]
    assert (detail.run.status, detail.run.ended, len(detail.artifacts)) == ("finished", 20, 2)
    assert (detail.run.name, detail.params) == ("first", {"depth": "3"})
    assert list_spools(places.home) == []


def test_an_exception_ends_the_run_as_failed_with_its_traceback(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    with pytest.raises(ZeroDivisionError), ActiveRun(sqlite_places.at(), "exp") as run:  # noqa: PT012  the block is the run
        run.log(loss=1.0)
        _ = 1 / 0
    detail = detail_of(sqlite_database, run.id)
    assert detail.run.status == "failed"
    assert "ZeroDivisionError" in detail.run.error and "_ = 1 / 0" in detail.run.error
    assert detail.metrics == {"loss": 1.0}


def test_an_interrupt_ends_the_run_as_killed(sqlite_database: Database, sqlite_places: "Places") -> None:
    with pytest.raises(KeyboardInterrupt), ActiveRun(sqlite_places.at(), "exp") as run:
        raise KeyboardInterrupt
    assert detail_of(sqlite_database, run.id).run.status == "killed"


@pytest.mark.parametrize("value", ["0.3", None, [1.0], np.zeros(2), 10**400, 1j])
def test_what_is_not_a_number_is_refused_by_name_and_logging_goes_on(
    sqlite_database: Database, sqlite_places: "Places", value: object
) -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.log(loss=1.0, rate=np.float32(0.5))
        with pytest.raises(Invalid, match="'loss'"):
            run.log(loss=value, rate=0.1)
        with pytest.raises(Invalid, match="step"):
            run.log(loss=1.0, step=2**63)
        run.log(loss=2, rate=np.array(0.25))
    assert points_of(sqlite_database, run.id, "loss").values.tolist() == [1.0, 2.0]
    assert points_of(sqlite_database, run.id, "rate").values.tolist() == [0.5, 0.25]


def test_each_series_counts_its_own_steps(sqlite_database: Database, sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.log(loss=1)
        run.log(loss=2)
        run.log(loss=3, accuracy=0.1)
        run.log(accuracy=0.2)
        run.log(10, loss=4)
        run.log(loss=5, accuracy=0.3)
        run.log(loss=6, accuracy=0.4)
    assert points_of(sqlite_database, run.id, "loss").steps.tolist() == [0, 1, 2, 10, 11, 12]
    assert points_of(sqlite_database, run.id, "accuracy").steps.tolist() == [0, 1, 2, 3]


def test_nan_infinities_unicode_keys_long_params_and_a_clock_going_back_are_kept(
    database: Database, places: "Places"
) -> None:
    class Backwards:
        def __init__(self) -> None:
            self.time = 1_000

        def now(self) -> int:
            self.time -= 1
            return self.time

    with ActiveRun(places.at(Backwards()), "exp") as run:
        for value in (1.5, math.nan, math.inf, -math.inf):
            run.log_metrics({"vérité/損失": value})
        run.log(3, again=1.0)
        run.log(3, again=1.0)
        run.params({"long": "x" * 6000, "größe": 1})
    points = points_of(database, run.id, "vérité/損失")
    assert points.values.tolist() == pytest.approx([1.5, math.nan, math.inf, -math.inf], nan_ok=True)
    assert np.all(np.diff(points.at) < 0)
    assert len(points_of(database, run.id, "again")) == 2  # same step and value, another time: logged twice, kept twice
    assert detail_of(database, run.id).params == {"long": "x" * 6000, "größe": "1"}


def test_a_parameter_cannot_change(sqlite_database: Database, sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp", params={"depth": 3}) as run:
        run.params(depth=3)
        with pytest.raises(Conflict, match="'depth'"):
            run.params({"depth": 4, "other": 1})
    assert detail_of(sqlite_database, run.id).params == {"depth": "3"}


def test_tags_notes_axes_and_inputs_arrive(sqlite_database: Database, sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp", tags={"team": "a"}, note="why") as run:
        run.tags(team="b")
        run.define_metric("loss", x="epoch")
        run.input("d" * 64)
        run.input({"x": [1, 2], "y": ["a", "b"]}, name="train")
    detail = detail_of(sqlite_database, run.id)
    assert detail.tags == {"team": "b", NOTE: "why", f"{X_AXIS}loss": "epoch"}
    assert detail.inputs == ["d" * 64]
    assert [(item.name, item.profile) for item in detail.datasets] == [("train", '{"num_rows":2,"num_columns":2}')]


def test_a_run_within_a_run_is_its_child_and_the_innermost_is_current(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    place = sqlite_places.at()
    log(loss=1)  # no run: nothing to log to, and no error
    with ActiveRun(place, "exp") as outer:
        with ActiveRun(place) as inner:
            assert current_run() is inner
            log(loss=2)
            heard: list[ActiveRun | None] = []
            thread = threading.Thread(target=lambda: heard.append(current_run()))
            thread.start()
            thread.join()
            assert heard == [inner]
        assert current_run() is outer
    assert current_run() is None
    found = detail_of(sqlite_database, inner.id)
    assert (found.run.parent, found.run.project, found.metrics) == (outer.id, "exp", {"loss": 2.0})


def test_as_a_decorator_every_call_is_a_run(sqlite_database: Database, sqlite_places: "Places") -> None:
    @ActiveRun(sqlite_places.at(), "exp", params={"a": 1})
    def train(loss: float) -> str:
        log(loss=loss)
        run = current_run()
        assert run is not None
        return run.id

    ids = [train(0.5), train(0.25)]
    details = [detail_of(sqlite_database, run) for run in ids]
    assert [found.metrics["loss"] for found in details] == [0.5, 0.25]
    assert {found.run.name for found in details} == {"train"} and details[0].params == {"a": "1"}


def test_threads_share_a_run_and_nothing_is_lost(sqlite_database: Database, sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:

        def work(number: int) -> None:
            for step in range(500):
                run.log_metrics({f"t{number}": float(step), "all": float(number)})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(8):
        assert points_of(sqlite_database, run.id, f"t{number}").values.tolist() == [float(step) for step in range(500)]
    assert points_of(sqlite_database, run.id, "all").steps.tolist() == list(range(4000))


def test_a_finished_run_can_be_resumed_and_its_steps_go_on(database: Database, places: "Places") -> None:
    with ActiveRun(places.at(), "exp") as run:
        run.log(loss=1)
        run.params(depth=3)
    with ActiveRun(places.at(), resume=run.id) as again:
        again.log(loss=2)
        with pytest.raises(Conflict):
            again.params(depth=4)
        again.flush()
        assert detail_of(database, run.id).run.status == "running"
    assert (again.id, again.project) == (run.id, "exp")
    assert points_of(database, run.id, "loss").steps.tolist() == [0, 1]
    assert detail_of(database, run.id).run.status == "finished"
    with pytest.raises(NotFound, match="no run"):
        ActiveRun(places.at(), resume="f" * 32).begin()


def test_auto_resumes_the_last_run_that_did_not_finish(sqlite_places: "Places") -> None:
    place = sqlite_places.at()
    with pytest.raises(RuntimeError), ActiveRun(place, "exp", name="big") as failed:
        raise RuntimeError
    with ActiveRun(place, "other"):
        pass
    with ActiveRun(place, "exp", name="big", resume="auto") as again:
        assert again.id == failed.id
    with ActiveRun(place, "exp", name="big", resume="auto") as fresh:
        assert fresh.id != failed.id


def test_a_forked_child_joins_with_a_spool_of_its_own_and_does_not_end_the_run(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.log(loss=0.0)
        child = os.fork()
        if child == 0:
            run.log(loss=1.0)
            run.log_metrics({"child": 5.0})
            is_there = run.flush(10)
            os._exit(0 if is_there else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        run.log(loss=2.0)
    detail = detail_of(sqlite_database, run.id)
    assert detail.run.status == "finished" and detail.metrics["child"] == 5.0
    assert sorted(points_of(sqlite_database, run.id, "loss").values.tolist()) == [0.0, 1.0, 2.0]


def test_what_a_forked_child_could_not_send_is_shipped_by_its_parent(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.log(loss=0.0)
        child = os.fork()
        if child == 0:
            run.log_metrics({"child": 5.0})
            os._exit(0)  # at once: its sender has had no time
        os.waitpid(child, 0)
    assert detail_of(sqlite_database, run.id).metrics == {"loss": 0.0, "child": 5.0}
    assert list_spools(sqlite_places.home) == []


def test_a_child_of_multiprocessing_ends_its_part_by_itself(sqlite_database: Database, sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        children = [get_context("fork").Process(target=lambda n=n: run.log_metrics({f"p{n}": n})) for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert len(list_spools(sqlite_places.home)) == 1  # theirs are shipped and gone
    detail = detail_of(sqlite_database, run.id)
    assert detail.metrics == {"p0": 0, "p1": 1, "p2": 2} and detail.run.status == "finished"


def test_a_run_cannot_be_pickled_and_says_what_to_do(sqlite_places: "Places") -> None:
    run = ActiveRun(sqlite_places.at(), "exp")
    with pytest.raises(Invalid, match="resume="):
        pickle.dumps(run)


def test_arrays_are_logged_whole(database: Database, places: "Places") -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    with ActiveRun(places.at(), "exp") as run:
        run.log(loss=0.5)
        run.log_series("loss", values)
        run.log(loss=0.25)
        run.log_batch({"a": [1, 2], "b": [3.0, math.nan]}, steps=[5, 9], at=[1, 2])
        with pytest.raises(Invalid, match="3 values, 2 steps"):
            run.log_series("c", [1, 2, 3], steps=[1, 2])
        with pytest.raises(Invalid, match="'d'"):
            run.log_series("d", ["x"])
    points = points_of(database, run.id, "loss")
    assert points.steps.tolist() == list(range(200_002))
    assert np.array_equal(points.values[1:-1], values)
    assert points_of(database, run.id, "a").at.tolist() == [1, 2]
