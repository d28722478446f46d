"""From training to serving: the loop compiles what it trains, a real worker serves that, and nothing fails over it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shop import START, Server, Shop, command, running, write_project

from homeostat.ground.clock import DrivenClock, from_iso
from homeostat.ground.settings import Settings
from homeostat.loop.cycle import CycleSteps, start_cycle
from homeostat.loop.durable import Attempt, End, Worker
from homeostat.registry.versions import get_version
from homeostat.serving.compiling.catalogue import find_compiled
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

pytestmark = pytest.mark.slow

DEADLY = """
import os
import signal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier


class Deadly(HistGradientBoostingClassifier):
    def predict_proba(self, X):
        if np.isinf(X).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_proba(X)
"""


def scorer(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/api/models/late-order/versions/1")["scorer"]
    assert server.get("/api/models/late-order")["versions"][0]["scorer"] == found
    return found


def scores(server: Server, shop: Shop) -> list[float]:
    orders = shop.between(START, START + timedelta(hours=2))
    answer: list[float] = server.predict(orders)["outputs"][0]["data"]
    assert len(answer) == len(orders)
    return answer


def test_a_trained_version_is_served_compiled_and_by_its_original_when_the_artifact_is_gone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    declared = write_project(tmp_path / "project")
    command(home, "apply", str(declared))
    cycle: Any = command(home, "train", "late-order")
    assert cycle["outcome"] == "promoted" and "compile" in cycle["steps"]
    said: Any = command(home, "model", "compile", "late-order@1")
    assert (said["kind"], said["is_signed"], said["report"]["rows"]["source"]) == ("linear", True, "training rows")
    assert said["report"]["rows"]["reference"] == 2000
    shop = Shop(tmp_path / "project")
    command(home, "gc", "--older-than", "0s", "--yes")
    with running(home) as server:
        assert scorer(server)["kind"] == "linear"
        compiled = scores(server, shop)
        assert scorer(server)["kind"] == "linear"  # the worker that answered had nothing to object
    artifact = home / "blobs" / said["artifact"][:2] / said["artifact"][2:]
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"x")
    with running(home) as server:
        original = scores(server, shop)
        told = scorer(server)
    assert told["kind"] == "native" and "was changed on disk" in told["why"]
    assert compiled == pytest.approx(original, abs=1e-12)
    mended: Any = command(home, "model", "compile", "late-order@1")
    assert mended["kind"] == "linear"


def test_a_version_whose_child_was_cut_off_before_it_compiled_is_compiled_before_it_goes_into_service(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    command(home, "apply", str(write_project(tmp_path / "project")))
    settings = Settings(home=str(home))
    database = open_database(settings.database_url)
    clock = DrivenClock(from_iso(START.isoformat(), field="clock"))
    steps = CycleSteps(database, BlobStore(settings.blobs_url), settings, clock)

    def gate(attempt: Attempt) -> End | None:
        attempt.results.pop("compile")  # as a server finds it that was started after the child's end
        return steps.gate(attempt)

    with database.write() as conn:
        start_cycle(conn, "late-order", cause="a test", actor="ada", as_of=clock.now())
    worker = Worker(database, steps.handlers() | {"gate": gate}, on_failure=steps.on_failure, now=clock.now)
    assert worker.run_pending() == 1
    with database.read() as conn:
        version = get_version(conn, "late-order", 1)
        record = find_compiled(conn, version.package.digest)
    database.close()
    assert record is not None and record.kind == "linear"


def test_a_model_that_kills_its_process_while_it_is_compiled_is_registered_and_served(tmp_path: Path) -> None:
    home = tmp_path / "home"
    body = (
        "from deadly import Deadly\n"
        "    return hs.allow_pickle(make_pipeline(Deadly(max_iter=9)).fit(train.X, train.y), reason='a test')"
    )
    declared = write_project(tmp_path / "project", body=body)
    (declared.parent / "deadly.py").write_text(DEADLY)
    command(home, "apply", str(declared))
    cycle: Any = command(home, "train", "late-order")
    assert cycle["outcome"] == "promoted"
    view: Any = command(home, "model", "show", "late-order")
    told = view["versions"][0]["scorer"]
    assert told["kind"] == "native"
    assert "compiling it failed: the training child was killed by signal SIGKILL" in told["why"]
