"""The spool's bytes: torn tails, damage, full disks, foreign files; and what is left over is shipped once."""

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Unavailable
from homeostat.ground.ids import new_id
from homeostat.store.database import Database
from homeostat.tracking import runs, series
from homeostat.tracking.client import ActiveRun
from homeostat.tracking.ops import EndRun, Series, StartRun
from homeostat.tracking.spool.decode import Decoder
from homeostat.tracking.spool.folder import LOG, Header, is_alive, list_spools, read_header, spools_of
from homeostat.tracking.spool.leftovers import Shipped, ship_leftovers
from homeostat.tracking.spool.points import PointLog
from homeostat.tracking.spool.records import HEAD, KEYS, OP, Stretch, checked_stretches, framed
from homeostat.tracking.spool.target import KnownRun
from homeostat.tracking.spool.writer import SpoolWriter
from homeostat.tracking.types import RunDetail

if TYPE_CHECKING:
    from conftest import Places


def ship(places: "Places", **options: Any) -> list[Shipped]:
    return ship_leftovers(places.home, lambda _: places.target(), **options)


def abandoned(places: "Places", *, points: int = 100) -> tuple[ActiveRun, Path]:
    """A run whose process went away: its spool as it lies there."""
    run = ActiveRun(places.at(is_offline=True), "exp").begin()
    for step in range(points):
        run.log(loss=float(step))
    outlet = run._begun()
    outlet.writer.abandon()
    run._is_ended = True
    from homeostat.tracking import client

    client._open_runs.leave(run)
    return run, outlet.writer.folder


def detail_of(database: Database, run_id: str) -> RunDetail:
    with database.read() as conn:
        return runs.get_run(conn, run_id)


def losses(database: Database, run_id: str) -> list[float]:
    with database.read() as conn:
        return series.read_series(conn, run_id, "loss").values.tolist()


def open_writer(folder: Path, **options: int) -> SpoolWriter:
    header = Header(spool="a" * 32, run="b" * 32, project="exp", target="", pid=os.getpid(), created=1)
    return SpoolWriter(folder / ("a" * 32), header, **options)


def test_an_abandoned_spool_is_shipped_once_and_its_run_was_killed(database: Database, places: "Places") -> None:
    run, folder = abandoned(places)
    assert not is_alive(folder)
    first, second = ship(places), ship(places)
    assert [(item.state, item.was_killed, item.rejected) for item in first] == [("shipped", True, 0)]
    assert second == [] and list_spools(places.home) == []
    assert losses(database, run.id) == [float(step) for step in range(100)]
    assert detail_of(database, run.id).run.status == "killed"


def test_a_spool_that_was_shipped_and_not_removed_adds_nothing(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    run, folder = abandoned(sqlite_places)
    copy = (folder / LOG).read_bytes()
    ship(sqlite_places)
    folder.mkdir()
    (folder / LOG).write_bytes(copy)
    assert [item.state for item in ship(sqlite_places)] == ["shipped"]
    assert len(losses(sqlite_database, run.id)) == 100


@pytest.mark.parametrize("cut", [1, 9, 20, 37])
def test_a_torn_tail_is_cut_and_what_came_before_it_arrives(
    sqlite_database: Database, sqlite_places: "Places", cut: int
) -> None:
    run, folder = abandoned(sqlite_places)
    log = folder / LOG
    log.write_bytes(log.read_bytes()[:-cut])
    assert [(item.state, item.damaged) for item in ship(sqlite_places)] == [("shipped", 0)]
    assert losses(sqlite_database, run.id) == [float(step) for step in range(99)]
    assert detail_of(sqlite_database, run.id).run.status == "killed"


def test_damage_in_the_middle_costs_what_was_there_and_is_told(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    run, folder = abandoned(sqlite_places)
    log = folder / LOG
    data = bytearray(log.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3] = b"\xff\x4d\x5e"
    log.write_bytes(bytes(data))
    (result,) = ship(sqlite_places)
    assert result.state == "shipped" and 0 < result.damaged < 100
    assert len(losses(sqlite_database, run.id)) in (98, 99)


def test_points_whose_keys_stood_in_damage_are_counted_as_lost(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    run, folder = abandoned(sqlite_places)
    data = bytearray((folder / LOG).read_bytes())
    keys = data.index(KEYS + b"\x92")
    data[keys] ^= 0xFF
    (folder / LOG).write_bytes(bytes(data))
    (result,) = ship(sqlite_places)
    assert (result.state, result.rejected) == ("shipped", 100) and result.damaged > 0
    assert detail_of(sqlite_database, run.id).run.status == "killed"


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x4d\x5e\xff\xff\xff\xff" * 50, b"\x00" * 4096])
def test_a_file_that_is_no_spool_is_named_and_left_alone(sqlite_places: "Places", content: bytes) -> None:
    folder = spools_of(sqlite_places.home) / new_id()
    folder.mkdir(parents=True)
    (folder / LOG).write_bytes(content)
    assert [item.state for item in ship(sqlite_places)] == ["unreadable"]
    assert (folder / LOG).read_bytes() == content


def test_a_spool_whose_writer_lives_is_left_to_it(sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(is_offline=True), "exp") as run:
        run.log(loss=1)
        assert [item.state for item in ship(sqlite_places)] == ["alive"]
    assert [(item.state, item.was_killed) for item in ship(sqlite_places)] == [("shipped", False)]


def test_an_offline_run_appears_whole_after_a_sync(database: Database, places: "Places", tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("hello")
    with ActiveRun(places.at(is_offline=True), "exp", name="away", params={"lr": 0.1}) as run:
        for step in range(1000):
            run.log(loss=step / 3)
        run.artifacts(tmp_path / "plots", below="figures")
        run.text("notes", "ünï")
    ship(places)
    detail = detail_of(database, run.id)
    assert (detail.run.status, detail.run.name, detail.params) == ("finished", "away", {"lr": "0.1"})
    assert [item.path for item in detail.artifacts] == ["figures/a.txt", "text/notes.txt"]
    assert losses(database, run.id) == [step / 3 for step in range(1000)]


def test_a_target_that_is_away_costs_nothing_and_the_spool_waits(
    sqlite_database: Database, sqlite_places: "Places", caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: str) -> Any:
        raise Unavailable("nobody is there")

    import msgspec

    place = msgspec.structs.replace(sqlite_places.at(wait=0.3), open_target=away)
    with caplog.at_level(logging.WARNING), ActiveRun(place, "exp") as run:
        for step in range(10):
            run.log(loss=float(step))
    assert "homeostat sync" in caplog.text
    waiting = ship_leftovers(sqlite_places.home, away)
    assert [(item.state, item.problem) for item in waiting] == [("waiting", "nobody is there")]
    ship(sqlite_places)
    assert losses(sqlite_database, run.id) == [float(step) for step in range(10)]


def test_an_answer_that_is_lost_does_not_double_anything(sqlite_database: Database, sqlite_places: "Places") -> None:
    class Forgetful:
        """Takes in every batch, and loses every other answer."""

        def __init__(self) -> None:
            self.target = sqlite_places.target()
            self.shipped = 0

        def position(self, spool: str) -> int:
            return self.target.position(spool)

        def ship(self, batch: Any) -> Any:
            reply = self.target.ship(batch)
            self.shipped += 1
            if self.shipped % 2:
                raise Unavailable("the answer was lost")
            return reply

        def put_files(self, files: Mapping[str, Path]) -> None:
            self.target.put_files(files)

        def run(self, run_id: str) -> KnownRun | None:
            return self.target.run(run_id)

        def close(self) -> None:
            self.target.close()

    import msgspec

    forgetful = Forgetful()
    place = msgspec.structs.replace(sqlite_places.at(), open_target=lambda _: forgetful)
    with ActiveRun(place, "exp") as run:
        for step in range(50):
            run.log(loss=float(step))
            if step % 10 == 0:
                run.flush()
    assert forgetful.shipped > 2
    assert losses(sqlite_database, run.id) == [float(step) for step in range(50)]


def test_a_full_disk_is_said_once_and_what_fits_memory_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(tmp_path)
    with caplog.at_level(logging.WARNING):
        with limited(writer.end + 64):
            for number in range(50):
                writer.append(OP + b"x" * 40 + bytes([number]))
        assert writer.waiting >= 48 and writer.lost == 0
        writer.append(OP + b"last")
        writer.write_waiting()
    assert writer.waiting == 0 and caplog.text.count("cannot be written") == 1
    data = (writer.folder / LOG).read_bytes()
    assert checked_stretches(data) == [Stretch(0, len(data))]
    assert data.count(b"x" * 40) == 50 and data.endswith(b"last")
    writer.close()


def test_what_finds_no_room_at_all_is_counted(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, waiting_limit=100)
    with limited(writer.end):
        for _ in range(10):
            writer.append(OP + b"x" * 40)
        writer.close()
    assert 8 <= writer.lost <= 10
    data = (tmp_path / ("a" * 32) / LOG).read_bytes()
    assert checked_stretches(data) == [Stretch(0, len(data))]


class limited:  # noqa: N801  reads like a word in `with`
    """No file of this process may grow beyond so many bytes: what a full disk looks like to a writer."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        import resource

        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def __exit__(self, *_: object) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def test_a_record_is_read_only_where_it_was_written() -> None:
    one = framed(OP + b"payload", 0)
    assert checked_stretches(one) == [Stretch(0, len(one))]
    assert checked_stretches(one + one) == [Stretch(0, len(one))]  # the copy's checksum is of another position
    two = one + framed(OP + b"more", len(one))
    assert checked_stretches(two) == [Stretch(0, len(two))]
    assert checked_stretches(two[1:]) == []


def test_every_way_of_logging_decodes_to_the_same_points(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    points = PointLog(writer, SystemClock())
    expected: dict[str, list[tuple[int, float]]] = {}

    def log(values: dict[str, float], step: int | None = None) -> None:
        for key, value in values.items():
            at = (expected.get(key, [(-1, 0.0)])[-1][0] + 1) if step is None else step
            expected.setdefault(key, []).append((at, value))
        points.log(values, step)

    rng = np.random.default_rng(3)
    names = ["a", "b", "c", "d"]
    for _ in range(3000):
        chosen = rng.permutation(names)[: rng.integers(1, 5)].tolist()
        repeats, step = int(rng.integers(1, 8)), (int(rng.integers(0, 50)) if rng.random() < 0.2 else None)
        for _ in range(repeats):
            log({name: float(rng.random()) for name in chosen}, step)
    data = (writer.folder / LOG).read_bytes()
    found = {op.key: op for op in Decoder("r").decode(data) if isinstance(op, Series)}
    for key, wanted in expected.items():
        steps, values = np.frombuffer(found[key].steps, np.int64), np.frombuffer(found[key].values, np.float64)
        assert sorted(zip(steps.tolist(), values.tolist(), strict=True)) == sorted(wanted)
    writer.close()


def test_operations_keep_their_order_and_large_spools_go_in_pieces(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    with ActiveRun(sqlite_places.at(is_offline=True), "exp") as run:
        run.log_series("loss", np.arange(1_000_000, dtype=float))
        for number in range(20):
            run.tags(turn=str(number), long="x" * 500_000)
    ship(sqlite_places)
    assert detail_of(sqlite_database, run.id).tags["turn"] == "19"
    assert len(losses(sqlite_database, run.id)) == 1_000_000


def test_a_header_tells_where_a_spool_belongs(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    header = read_header(writer.folder)
    assert header is not None and (header.run, header.project, header.version) == ("b" * 32, "exp", 1)
    assert HEAD.size < writer.end
    writer.close()


def test_operations_survive_the_way_through_the_log() -> None:
    import msgspec

    ops = [StartRun("r", "p", "n", 5, code={"a": [1, None]}), EndRun("r", "failed", 9, "ü\n")]
    data = b""
    for op in ops:
        data += framed(OP + msgspec.msgpack.encode(op), len(data))
    assert Decoder("r").decode(data) == ops


def test_two_who_ship_the_same_spool_do_not_double_it(sqlite_database: Database, sqlite_places: "Places") -> None:
    run, _ = abandoned(sqlite_places, points=5000)
    threads = [threading.Thread(target=ship, args=(sqlite_places,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(losses(sqlite_database, run.id)) == 5000
