"""What is noted beside what a run logs: its output, and how busy the machine is."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from homeostat.ground.settings import load_settings
from homeostat.sdk.tracking import make_run
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.tracking import artifacts, runs
from homeostat.tracking.client import ActiveRun
from homeostat.tracking.console import Console
from homeostat.tracking.system_metrics import Looker

if TYPE_CHECKING:
    from conftest import Places


def printed(database: Database, home: Path, run: str) -> str:
    with database.read() as conn:
        return artifacts.read_artifact(conn, BlobStore(str(home / "blobs")), run, "output.log").decode()


def test_output_is_kept_as_a_terminal_would_show_it(
    sqlite_database: Database, sqlite_places: "Places", capsys: pytest.CaptureFixture[str]
) -> None:
    place = msgspec.structs.replace(sqlite_places.at(), captures_output=True)
    before = sys.stdout
    with ActiveRun(place, "exp") as run:
        print("first")  # noqa: T201
        for percent in (0, 50, 100):
            sys.stderr.write(f"\r{percent:3}% \x1b[32mgreen\x1b[0m")
        sys.stderr.write("\n")
        sys.stdout.write("no newline")
    assert sys.stdout is before
    assert printed(sqlite_database, place.home, run.id) == "first\n100% green\nno newline\n"
    assert capsys.readouterr().out == "first\nno newline"


def test_a_run_that_prints_nothing_has_no_output_file(sqlite_database: Database, sqlite_places: "Places") -> None:
    place = msgspec.structs.replace(sqlite_places.at(), captures_output=True)
    with ActiveRun(place, "exp") as run:
        run.log(loss=1)
    with sqlite_database.read() as conn:
        assert artifacts.list_artifacts(conn, run.id) == []


def test_endless_output_is_cut_and_says_so(tmp_path: Path) -> None:
    console = Console(tmp_path / "console")
    line = "x" * 99_999
    for _ in range(120):
        console.hear(f"{line}\n")
    console.stop()
    text = (tmp_path / "console").read_text()
    assert len(text) < 10_100_000 and text.endswith("[cut here: more than 10000000 characters]\n")


def test_the_output_of_a_killed_script_is_kept_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = (
        "import os, signal, homeostat as hs\n"
        f"run = hs.run('exp', home={str(home)!r}, offline=True).begin()\n"
        "print('about to go', flush=True)\n"
        "print(run.id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    run = done.stdout.split()[-1]
    command = [sys.executable, "-m", "homeostat.cli.entry", "sync", "--home", str(home)]
    synced = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run in synced.stdout and "killed" in synced.stdout
    database = open_database(load_settings({}, home=str(home)).database_url)
    assert printed(database, home, run).startswith("about to go\n")
    with database.read() as conn:
        assert runs.get_run(conn, run).run.status == "killed"
    database.close()


def test_the_machine_is_watched_and_a_look_is_cheap(sqlite_database: Database, sqlite_places: "Places") -> None:
    place = msgspec.structs.replace(sqlite_places.at(), system_every=0.1)
    with ActiveRun(place, "exp") as run:
        time.sleep(1.5)
    with sqlite_database.read() as conn:
        metrics = runs.get_run(conn, run.id).metrics
    assert 0 <= metrics["system/cpu_percent"] <= 100
    assert 0 < metrics["system/memory_percent"] <= 100
    assert metrics["system/process.memory_gib"] > 0.01
    assert metrics["system/disk_used_percent"] > 0
    looker = Looker()
    begun = time.thread_time()
    for _ in range(20):
        looker.look()
    assert (time.thread_time() - begun) / 20 < 0.02  # of 15 s


def test_settings_say_what_is_watched_where_it_goes_and_how_long_the_end_waits(tmp_path: Path) -> None:
    environ = {
        "HOMEOSTAT_URL": "http://127.0.0.1:9",
        "HOMEOSTAT_OFFLINE": "1",
        "HOMEOSTAT_SYSTEM_METRICS": "0s",
        "HOMEOSTAT_CAPTURE_OUTPUT": "false",
        "HOMEOSTAT_RUN_WAIT": "2s",
    }
    settings = load_settings(environ, home=str(tmp_path))
    place = make_run(settings, "exp", system_metrics=True)._place
    assert (place.target, place.is_offline, place.wait) == ("http://127.0.0.1:9", True, 2.0)
    assert (place.system_every, place.captures_output) == (0.0, False)
