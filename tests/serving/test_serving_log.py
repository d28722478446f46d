"""The prediction log: torn tails, damage, rotation, finished files."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import Worker, endpoint, infer_body, route, rows
from serving_linear import batch

from homeostat.ground.errors import Corrupt, Unavailable
from homeostat.serving.log import PredictionLog, is_finished, read_all, read_frames, wal_files
from homeostat.store.database import Database


def ids(path: Path) -> list[str]:
    return [one for batch in read_all(path) for one in batch.request_ids]


def test_what_was_appended_is_read_back_and_reading_goes_on_from_the_offset(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([batch(1), batch(2)])
    [path] = wal_files(tmp_path)
    first, offset = read_frames(path)
    log.append([batch(3)])
    second, after = read_frames(path, offset)
    log.close()
    assert first == [batch(1), batch(2)]
    assert second == [batch(3)]
    assert read_frames(path, after)[0] == []


def test_a_log_that_nothing_was_appended_to_leaves_no_file(tmp_path: Path) -> None:
    PredictionLog(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_torn_tail_ends_the_reading_before_the_torn_frame(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = PredictionLog(folder)
    ends = []
    for number in range(4):
        log.append([batch(number)])
        ends.append(wal_files(folder)[0].stat().st_size)
    [path] = wal_files(folder)
    size = min(cut % (ends[-1] + 1), ends[-1])
    os.truncate(path, size)
    assert ids(path) == [f"r{number}" for number, end in enumerate(ends) if end <= size]
    log.close()


def test_a_damaged_frame_in_the_middle_is_told_and_not_passed_over(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([batch(1)])
    [path] = wal_files(tmp_path)
    start = path.stat().st_size
    log.append([batch(2)])
    log.append([batch(3)])
    log.close()
    data = bytearray(path.read_bytes())
    for place in (start + 1, start + 5, start + 9, start + 40):  # magic, length, checksum, payload
        damaged = data.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        batches, offset = read_frames(path)
        assert [one.request_ids for one in batches] == [["r1"]]
        with pytest.raises(Corrupt, match=f"byte {start}"):
            read_frames(path, offset)


def test_a_zeroed_tail_after_a_power_cut_counts_as_torn(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([batch(1)])
    [path] = wal_files(tmp_path)
    with path.open("ab") as file:
        file.write(bytes(500))
    assert ids(path) == ["r1"]
    log.close()


def test_a_frame_inside_a_request_does_not_pass_for_one(tmp_path: Path) -> None:
    other = PredictionLog(tmp_path / "other")
    other.append([batch(7)])
    [stolen] = wal_files(tmp_path / "other")
    log = PredictionLog(tmp_path)
    planted = batch(1)
    planted.vectors = stolen.read_bytes()[12:]
    log.append([planted])
    [path] = wal_files(tmp_path)
    os.truncate(path, path.stat().st_size - 3)
    assert ids(path) == []
    log.close()
    other.close()


def test_small_reads_give_the_same_rows(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([batch(number, note="x" * (number % 7) * 100) for number in range(50)])
    log.close()
    [path] = wal_files(tmp_path)
    found, offset = [], 0
    while True:
        batches, following = read_frames(path, offset, max_bytes=300)
        if following == offset:
            break
        found += [one.request_ids[0] for one in batches]
        offset = following
    assert found == ids(path) == [f"r{number}" for number in range(50)]


def test_a_file_is_finished_once_it_is_rotated_or_closed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, rotate_bytes=400)
    log.append([batch(1)])
    [first] = wal_files(tmp_path)
    assert not is_finished(first)
    log.append([batch(2)])
    assert is_finished(first)
    log.append([batch(3)])
    second = wal_files(tmp_path)[1]
    assert not is_finished(second)
    log.close()
    assert is_finished(second)
    assert [ids(first), ids(second)] == [["r1", "r2"], ["r3"]]


def test_an_old_file_is_rotated_although_nothing_is_appended(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, rotate_seconds=0.05)
    log.append([batch(1)])
    [path] = wal_files(tmp_path)
    threading.Event().wait(0.06)
    log.rotate_if_due()
    assert is_finished(path)


def test_a_full_disk_refuses_the_batch_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from serving_linear import batch
from homeostat.ground.errors import Unavailable
from homeostat.serving.log import PredictionLog
log = PredictionLog(Path(sys.argv[1]))
log.append([batch(1)])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 50,) * 2)
try:
    log.append([batch(2)])
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    [path] = wal_files(tmp_path)
    assert "cannot be written" in done.stdout, done.stderr
    assert ids(path) == ["r1"]
    assert is_finished(path)


def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log")
    (tmp_path / "log").rmdir()
    with pytest.raises(Unavailable, match="No such file"):
        log.append([batch(1)])


@pytest.mark.slow
def test_every_acknowledged_prediction_survives_a_kill_of_the_worker(sqlite_database: Database, tmp_path: Path) -> None:
    route(sqlite_database, endpoint(1, canary=2, weight=3000, shadows=(3,)))
    worker = Worker(tmp_path)
    acknowledged: list[list[str]] = [[] for _ in range(4)]

    def ask(mine: list[str], number: int) -> None:
        count = 1 if number < 3 else 100
        with httpx.Client(base_url=worker.url) as client:
            for turn in range(100_000):
                names = [f"{number}-{turn}-{row}" for row in range(count)]
                try:
                    reply = client.post("/v2/models/late/infer", content=infer_body(rows(count, request_id=names)))
                except httpx.TransportError:
                    return
                if reply.status_code == 200:
                    mine += names

    threads = [threading.Thread(target=ask, args=(mine, number)) for number, mine in enumerate(acknowledged)]
    for thread in threads:
        thread.start()
    threading.Event().wait(1.5)
    worker.process.kill()
    for thread in threads:
        thread.join()
    worker.end()
    found = {one for batch in worker.logged() if batch.arm != "shadow" for one in batch.request_ids}
    answered = {one for mine in acknowledged for one in mine}
    assert len(answered) > 300
    assert answered <= found
    assert all(is_finished(path) for path in wal_files(tmp_path / "predictions"))
