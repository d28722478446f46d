import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from wandb_logs import exit_record, framed, row, run_record, written

from homeostat.store.database import open_database
from homeostat.tracking.runs import get_run
from homeostat.tracking.series import last_metrics, read_series

pytestmark = pytest.mark.slow

PROGRAM = str(Path(sys.executable).with_name("homeostat"))
KEYS, ROWS = 40, 8_000


def _import(source: Path, home: Path) -> subprocess.Popen[bytes]:
    command = [PROGRAM, "import", "wandb", str(source), "--home", str(home), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _committed(home: Path) -> int:
    """Points that have arrived."""
    with closing(sqlite3.connect(home / "catalogue.db", timeout=30)) as connection:
        return _points(connection)


def _points(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute("select coalesce(sum(points), 0) from tracking_series").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0


def _kill_after_the_next_commit(process: subprocess.Popen[bytes], home: Path) -> None:
    """The write lock is taken as soon as it is free and held while killing: the import cannot run past us."""
    before = _committed(home)
    with closing(sqlite3.connect(home / "catalogue.db", timeout=0, isolation_level=None)) as connection:
        while process.poll() is None:
            try:
                connection.execute("begin immediate")
            except sqlite3.OperationalError:  # it is writing
                continue
            if _points(connection) > before:
                process.kill()
                process.wait()
            connection.execute("rollback")
            time.sleep(0.002)
    process.communicate()


def test_an_import_that_is_killed_again_and_again_arrives_once(tmp_path: Path) -> None:
    rows = [row(step, **{f"k{key}": step + key / 64 for key in range(KEYS)}) for step in range(ROWS)]
    folder = written(tmp_path / "logs", framed([run_record(lr=0.1), *rows, exit_record()]))
    for number in range(50):
        (folder / "files" / f"{number}.txt").write_text(f"file {number}")
    for attempt in range(8):  # on a busy machine all of it may be in before the kill; then once more
        home = tmp_path / f"home{attempt}"
        home.mkdir()
        stopped_at = []
        for _ in range(3):
            _kill_after_the_next_commit(_import(folder, home), home)
            stopped_at.append(_committed(home))
        if stopped_at[0] < KEYS * ROWS:
            break
    assert 0 < stopped_at[0] < KEYS * ROWS  # it was in the middle
    assert stopped_at == sorted(stopped_at)

    answer = json.loads(_import(folder, home).communicate()[0])
    assert answer["runs"] == 1
    assert json.loads(_import(folder, home).communicate()[0])["added"] == 0

    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    with database.read() as conn:
        detail = get_run(conn, answer["carried"][0]["run_id"])
        assert (detail.run.status, detail.params) == ("finished", {"lr": "0.1"})
        assert len(detail.artifacts) == 50
        number = conn.exec_driver_sql("select no from tracking_runs").scalar_one()
        assert {metric.points for metric in last_metrics(conn, number)} == {ROWS}
        for key in range(KEYS):
            points = read_series(conn, detail.run.id, f"k{key}")
            assert points.values.tolist() == [step + key / 64 for step in range(ROWS)]
    database.close()


def test_progress_goes_to_stderr_and_the_report_to_stdout(tmp_path: Path) -> None:
    folder = written(tmp_path, framed([run_record(), row(0, loss=1.0, word="w"), exit_record()]))
    command = [PROGRAM, "import", "wandb", str(folder), "--home", str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "importing abc" in done.stderr
    assert "1 (1 new)" in done.stdout and "kept in wandb/history.jsonl" in done.stdout
    missing = subprocess.run([*command[:3], "nowhere"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2 and "there is nothing at 'nowhere'" in missing.stderr
