"""Models served elsewhere by command and from Python, on a folder and over HTTP; large files, killed halfway."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from running_server import Running

import homeostat as hs
from homeostat.cli.main import cli
from homeostat.ground.clock import DAY, HOUR, to_datetime
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.ground.settings import Settings
from homeostat.loop.posted_log import PostedLog
from homeostat.monitoring.health import traffic
from homeostat.monitoring.store import outcomes
from homeostat.server.intake_bodies import MonitorBody
from homeostat.server.service import Service
from homeostat.serving.segments import list_segments


def frame(rows: int, *, start: int, prefix: str = "r") -> pl.DataFrame:
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "request_id": [f"{prefix}{number}" for number in range(rows)],
            "ts": [to_datetime(start + number * 1000) for number in range(rows)],
            "p": rng.uniform(0, 1, rows),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            **{f"x{number}": rng.normal(0, 1, rows) for number in range(8)},
        }
    )


@pytest.mark.parametrize("over", ["folder", "http"])
def test_python_says_the_same_on_a_folder_and_over_http(
    start: Callable[..., Running], tmp_path: Path, over: str
) -> None:
    server = start(monitor_folders=str(tmp_path))
    client = hs.connect(url=server.url) if over == "http" else hs.connect(str(server.service.settings.home_path))
    now = server.service.clock.now()
    frame(400, start=now - DAY).write_parquet(tmp_path / "january.parquet")
    names = {"time": "ts", "score": "p"}
    made = client.monitors.watch(
        "late", task="binary", reference=tmp_path / "january.parquet", columns=names, metrics={"roc_auc": 0.8}
    )
    assert made["features"] == ["origin", *(f"x{number}" for number in range(8))] and made["reference"]["rows"] == 400
    rows = [
        {"request_id": "a", "ts": datetime.now(UTC), "p": np.float64(0.5), "origin": "JFK", "x0": np.int64(1)},
        {"request_id": "b", "ts": now - HOUR, "p": 0.5, "origin": None, "x0": None},
    ]
    sent = client.monitors.send("late", rows)
    assert sent["accepted"] == 2 and sent["missing"] == [f"x{number}" for number in range(1, 8)]
    frame(50, start=now - HOUR, prefix="f").write_csv(tmp_path / "today.csv")
    assert client.monitors.send("late", tmp_path / "today.csv")["accepted"] == 50
    with pytest.raises(HomeostatError) as caught:
        client.monitors.send("late", [{"request_id": "c", "p": "x", "x0": 1}])
    assert (type(caught.value), caught.value.field) == (Invalid, "rows[0].score")
    again = client.monitors.watch(
        "late", task="binary", reference=[{"x0": 1.0, "p": 0.5}, {"x0": 2.0, "p": 0.1}], version="b", columns=names
    )
    assert (again["version"], again["features"]) == (2, ["x0"])
    assert [one["name"] for one in client.monitors.list()] == ["late"]
    assert client.monitors.get("late")["versions"] == {"1": 1, "b": 2}
    assert client.monitors.remove("late")["name"] == "late" and client.monitors.list() == []
    client.close()


def test_the_commands_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOSTAT_MONITOR_FOLDERS", str(tmp_path))
    home = str(tmp_path / "home")

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, [*words, "--home", home], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    assert "No model is watched" in run("monitor", "ls")
    now = int(time.time() * 1e6)
    frame(400, start=now - DAY).write_parquet(tmp_path / "january.parquet")
    names = ["--column", "time=ts", "--column", "score=p"]
    said = run("model", "watch", "late", "--task", "binary", "--reference", str(tmp_path / "january.parquet"), *names)
    assert said.splitlines()[0].startswith("late@1 (1) is watched: origin, x0") and "compared with 400 rows" in said
    frame(30, start=now - HOUR).write_parquet(tmp_path / "today.parquet")
    assert json.loads(run("monitor", "send", "late", str(tmp_path / "today.parquet"), "--json"))["accepted"] == 30
    bad = frame(3, start=now - HOUR, prefix="b").with_columns(p=pl.Series(["0.5", "high", "0.1"]))
    bad.write_csv(tmp_path / "bad.csv")
    told = run("monitor", "send", "late", str(tmp_path / "bad.csv"), "--partial", code=1)
    assert "line 3: score: 'high' is not a number" in told
    run("monitor", "add-table", "late", "--url", f"{tmp_path}/more/*.parquet", "--time-column", "ts", "--every", "1min")
    (tmp_path / "more").mkdir()
    frame(20, start=now - HOUR, prefix="t").write_parquet(tmp_path / "more" / "a.parquet")
    look = json.loads(run("monitor", "read-table", "late", "--json"))
    assert (look["accepted"], look["refused"]) == (20, 0)
    (row,) = json.loads(run("monitor", "tables", "--json"))
    assert (row["rows"], row["failures"], row["spec"]["every"]) == (20, 0, 60_000_000)
    assert "has not been checked yet" in run("monitor", "show", "late")
    assert "read no longer" in run("monitor", "rm-table", "late")
    assert "watched no longer" in run("monitor", "rm", "late")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(Settings(home=str(tmp_path / "home")))
    rows = frame(500, start=0).drop("request_id", "ts").rename({"p": "score"}).to_dicts()
    found.intake.watch(MonitorBody(name="late", task="binary", reference=rows, columns={"time": "ts"}))
    yield found
    found.close()


@pytest.mark.slow
def test_a_file_of_many_rows_is_taken_in_whole_in_bounded_memory(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 60_000
    start = service.clock.now() - DAY
    frame(rows, start=start).rename({"p": "score"}).write_parquet(tmp_path / "large.parquet")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = service.intake.take_file("late", tmp_path / "large.parquet", "parquet")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert taken == {"accepted": rows, "duplicates": 0}
    assert grown < 200, f"{grown:.0f} MB"
    log = PostedLog(service.database, service.blobs)
    assert log.seal(now=service.clock.now(), at_once=True) == rows
    with service.database.read() as conn:
        (arm,) = traffic(conn, "late", start=0)
        assert arm.rows == rows and sum(one.rows for one in list_segments(conn)) == rows
    with monkeypatch.context() as patch:
        patch.setattr("homeostat.server.intake.MOST_ROWS", rows - 1)
        with pytest.raises(HomeostatError, match="send them in parts"):
            service.intake.take_file("late", tmp_path / "large.parquet", "parquet")


POSTER = """
import sys
from homeostat.ground.settings import Settings
from homeostat.server.intake_bodies import MonitorBody
from homeostat.server.service import Service
from pathlib import Path
service = Service(Settings(home=sys.argv[1]))
print("ready", flush=True)
service.intake.take_file("late", Path(sys.argv[2]), "ndjson", partial=True)
"""


@pytest.mark.slow
def test_a_server_killed_halfway_has_counted_each_row_that_it_knows_once(service: Service, tmp_path: Path) -> None:
    rows = 30_000
    start = service.clock.now() - DAY
    frame(rows, start=start).rename({"p": "score"}).write_ndjson(tmp_path / "rows.ndjson")
    command = [sys.executable, "-c", POSTER, str(service.settings.home_path), str(tmp_path / "rows.ndjson")]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            known, deadline = counted(service)[0], time.monotonic() + 20
            while counted(service)[0] == known and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        ids, in_traffic, waiting = counted(service)
        assert ids == in_traffic == waiting and (ids % 5_000 == 0)
    assert 0 < counted(service)[0] <= rows
    taken = service.intake.take_file("late", tmp_path / "rows.ndjson", "ndjson")
    assert taken["accepted"] + taken["duplicates"] == rows
    assert counted(service) == (rows, rows, rows)


def counted(service: Service) -> tuple[int, int, int]:
    """Rows by request id, by the traffic's counters, and waiting for the log."""
    with service.database.read() as conn:
        ids = conn.execute(sa.select(sa.func.count()).select_from(outcomes)).scalar_one()
        rows = sum(arm.rows for arm in traffic(conn, "late", start=0))
        waiting = conn.execute(sa.text("select coalesce(sum(rows), 0) from loop_posted")).scalar_one()
    return int(ids), rows, int(waiting)
