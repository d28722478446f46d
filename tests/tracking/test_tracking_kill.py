"""SIGKILL of trainers and servers in the middle of logging: what `log` returned from is there afterwards, once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tracking_server import Server

from homeostat.ground.settings import load_settings
from homeostat.store.database import open_database
from homeostat.tracking import runs, series

pytestmark = pytest.mark.slow
TRAINER = Path(__file__).parent / "trainer.py"


class Trainer:
    """`trainer.py` in a process of its own; its output says what was acknowledged to it."""

    def __init__(self, home: Path, *, url: str = "-", steps: int = 100_000, pause: float = 0.0, **environ: str) -> None:
        self.output = home.parent / "trainer.out"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(TRAINER), str(home), url, str(steps), str(pause)],
                stdout=out,
                env=os.environ | environ,
            )

    def wait_for(self, steps: int) -> None:
        until = time.monotonic() + 60
        while len(self.output.read_bytes().split(b"\n")) < steps + 2:
            assert time.monotonic() < until and self.process.poll() is None
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def run(self) -> str:
        return self.output.read_text().split()[1]

    @property
    def acknowledged(self) -> int:
        return len([line for line in self.output.read_bytes().split(b"\n")[1:-1] if line.isdigit()])


def sync(home: Path, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "homeostat.cli.entry", "sync", "--home", str(home), "--json", *options]
    found: list[dict[str, Any]] = msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def check_series(home: Path, run: str, *, at_least: int) -> str:
    """All three series are there without gap or repeat, up to what was acknowledged; gives the run's status."""
    database = open_database(load_settings({}, home=str(home)).database_url)
    with database.read() as conn:
        loss, accuracy, rare = (series.read_series(conn, run, key) for key in ("loss", "accuracy", "rare"))
        detail = runs.get_run(conn, run)
    database.close()
    count = len(loss)
    assert count in (at_least, at_least + 1)  # the last one may have been written and not yet been told
    assert loss.steps.tolist() == accuracy.steps.tolist() == list(range(count))
    assert np.array_equal(loss.values, np.arange(count) / 7)
    assert np.array_equal(accuracy.values, -np.arange(count, dtype=float))
    assert (
        np.array_equal(rare.values, np.arange(0, 3 * len(rare), 3, dtype=float)) and 0 <= count - 3 * len(rare) + 2 < 4
    )
    assert [item.path for item in detail.artifacts if item.path == "model.bin"] == ["model.bin"]
    return detail.run.status


def test_a_trainer_is_killed_and_every_point_it_was_told_of_is_there_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    trainer = Trainer(home)
    trainer.wait_for(20_000)
    assert [item["state"] for item in sync(home)] == ["alive"]
    trainer.kill()
    (shipped,) = sync(home)
    assert (shipped["state"], shipped["was_killed"], shipped["damaged"]) == ("shipped", True, 0)
    assert sync(home) == []
    assert check_series(home, trainer.run, at_least=trainer.acknowledged) == "killed"


def test_a_trainer_without_a_server_is_killed_and_its_run_appears_on_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    trainer = Trainer(tmp_path / "home", url=server.url)
    trainer.wait_for(5_000)
    trainer.kill()
    server.start()
    try:
        (shipped,) = sync(tmp_path / "home")
        assert (shipped["state"], shipped["target"]) == ("shipped", server.url)
    finally:
        server.stop()
    assert check_series(tmp_path / "server", trainer.run, at_least=trainer.acknowledged) == "killed"


def test_a_server_is_killed_again_and_again_and_the_run_arrives_whole_and_once(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.start()
    trainer = Trainer(tmp_path / "home", url=server.url, steps=8_000, pause=0.001)
    try:
        for _ in range(3):
            time.sleep(1.5)
            server.kill()
            time.sleep(0.3)
            server.start()
        trainer.process.wait(timeout=120)
    finally:
        server.stop()
    assert trainer.process.returncode == 0 and trainer.output.read_bytes().endswith(b"done\n")
    assert sync(tmp_path / "home") == []
    assert check_series(tmp_path / "server", trainer.run, at_least=8_000) == "finished"


def test_a_server_takes_in_what_killed_trainers_left_in_its_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    trainer = Trainer(home, HOMEOSTAT_OFFLINE="1")
    trainer.wait_for(3_000)
    server = Server(home)
    server.start()
    try:
        trainer.kill()
        until = time.monotonic() + 30
        while list((home / "spool").glob("?" * 32)) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        server.stop()
    assert check_series(home, trainer.run, at_least=trainer.acknowledged) == "killed"


def test_on_a_tiny_disk_training_goes_on_and_what_fits_is_kept(tmp_path: Path) -> None:
    program = (
        "import resource, sys, homeostat as hs\n"
        f"run = hs.run('exp', home={str(tmp_path / 'home')!r}, offline=True, capture_output=False).begin()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "for step in range(500_000): run.log(loss=step)\n"
        "run.end()\n"
        "print(run.id, run._begun().writer.lost)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    run, lost = done.stdout.split()
    assert int(lost) > 0 and done.stderr.count("cannot be written") == 1 and "records were lost" in done.stderr
    (shipped,) = sync(tmp_path / "home")
    assert (shipped["state"], shipped["damaged"]) == ("shipped", 0)
    database = open_database(load_settings({}, home=str(tmp_path / "home")).database_url)
    with database.read() as conn:
        points = series.read_series(conn, run, "loss")
    database.close()
    assert len(points) > 1000 and points.steps.tolist() == list(range(len(points)))


def test_a_script_that_dies_of_an_exception_without_a_block_has_a_failed_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = (
        f"import homeostat as hs\nrun = hs.run('exp', home={str(home)!r})\nrun.log(loss=1)\nprint(run.id)\n1 / 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    database = open_database(load_settings({}, home=str(home)).database_url)
    with database.read() as conn:
        detail = runs.get_run(conn, done.stdout.split()[0])
    database.close()
    assert detail.run.status == "failed" and "ZeroDivisionError" in detail.run.error
    assert detail.metrics["loss"] == 1.0
