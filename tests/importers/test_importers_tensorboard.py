import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from importer_home import Home
from tensorboardX import SummaryWriter

from homeostat.compat.importers.report import Report
from homeostat.compat.importers.tensorboard_folder import read_tensorboard
from homeostat.compat.importers.tensorboard_framing import masked_crc
from homeostat.ground.errors import Invalid


def _take(home: Home, folder: Path, project: str | None = None) -> Report:
    return home.take(lambda losses: read_tensorboard(folder, losses, project=project))


def _reasons(report: Report) -> str:
    return "\n".join(f"{loss.what}: {loss.reason}" for loss in report.lost)


def _written(folder: Path, name: str = "run1", **options: object) -> SummaryWriter:
    return SummaryWriter(str(folder / name), **options)


def test_scalars_arrive_as_the_floats_they_were_written_as(home: Home, tmp_path: Path) -> None:
    with _written(tmp_path) as writer:
        for step in range(500):
            writer.add_scalar("train/loss", 1 / (step + 1), step, walltime=1_700_000_000.5 + step)
        writer.add_scalar("ü/ключ", math.inf, 2)
        writer.add_scalar("nan", math.nan, 3)
    report = _take(home, tmp_path, "logs")
    (carried,) = report.carried
    assert home.series(carried.run_id, "train/loss") == [
        (step, 1_700_000_000_500_000 + step * 1_000_000, float(np.float32(1 / (step + 1)))) for step in range(500)
    ]
    assert math.isnan(home.series(carried.run_id, "nan")[0][2])
    detail = home.detail(carried.run_id)
    assert (detail.run.name, detail.run.project, detail.run.status) == ("run1", "logs", "finished")
    assert _take(home, tmp_path, "logs").added == 0


def test_folders_are_runs_and_a_moved_folder_is_known_again(sqlite_home: Home, tmp_path: Path) -> None:
    for name in ("a", "b/deep"):
        with _written(tmp_path / "logs", name) as writer:
            writer.add_scalar("x", 1.0, 0)
    first = _take(sqlite_home, tmp_path / "logs", "p")
    assert sorted(item.label for item in first.carried) == ["a", "b/deep"]
    (tmp_path / "logs").rename(tmp_path / "elsewhere")
    again = _take(sqlite_home, tmp_path / "elsewhere", "p")
    assert (again.runs, again.added) == (2, 0)


def test_what_is_appended_is_added(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path, filename_suffix=".1") as writer:
        writer.add_scalar("x", 1.0, 0)
    assert _take(sqlite_home, tmp_path).points == 1
    with _written(tmp_path, filename_suffix=".2") as writer:
        writer.add_scalar("x", 2.0, 1)
    again = _take(sqlite_home, tmp_path)
    assert (again.points, again.new_runs) == (1, 0)


def test_a_restart_takes_back_what_came_after_its_step(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path, filename_suffix=".1") as writer:
        for step in range(10):
            writer.add_scalar("x", float(step), step)
        writer.add_image("shot", np.zeros((3, 4, 4), np.uint8), 8)
    with _written(tmp_path, purge_step=5, filename_suffix=".2") as writer:
        for step in range(5, 8):
            writer.add_scalar("x", 100.0 + step, step)
    report = _take(sqlite_home, tmp_path)
    run_id = report.carried[0].run_id
    values = [(step, value) for step, _, value in sqlite_home.series(run_id, "x")]
    assert values == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 105), (6, 106), (7, 107)]
    assert sqlite_home.detail(run_id).artifacts == []
    assert "taken back by a restart at step 5" in _reasons(report)


def test_hyperparameters_become_parameters(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "layers": 3, "opt": "adam", "flag": True}, {"hparam/acc": 0.5}, name="trial")
    report = _take(sqlite_home, tmp_path)
    trial = next(item for item in report.carried if item.label.endswith("trial"))
    params = sqlite_home.detail(trial.run_id).params
    assert params == {"lr": "0.1", "layers": "3", "opt": "adam", "flag": "True"}
    assert sqlite_home.series(trial.run_id, "hparam/acc")[0][2] == 0.5


def test_media_become_files_and_what_has_no_place_is_reported(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path) as writer:
        writer.add_text("note", "hällo *x*", 1)
        writer.add_image("img/a", np.zeros((3, 4, 4), np.uint8), 3)
        writer.add_histogram("weights", np.arange(10.0), 1)
        writer.add_pr_curve("pr", np.array([0, 1, 1]), np.array([0.1, 0.5, 0.6]), 0)
    report = _take(sqlite_home, tmp_path)
    run_id = report.carried[0].run_id
    assert sqlite_home.file(run_id, "images/img/a/3.png").startswith(b"\x89PNG")
    assert json.loads(sqlite_home.file(run_id, "text/note.jsonl"))["text"] == "hällo *x*"
    buckets = json.loads(sqlite_home.file(run_id, "histograms/weights.jsonl"))["buckets"]
    assert sum(count for _, _, count in buckets) == pytest.approx(10)
    assert "plugin 'pr_curves'" in _reasons(report)


def _only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*tfevents*")
    return path


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_of_a_file_that_was_cut_off_everything_before_the_cut_arrives(
    sqlite_home: Home, tmp_path: Path, cut: int
) -> None:
    with _written(tmp_path) as writer:
        for step in range(50):
            writer.add_scalar("x", float(step), step)
    path = _only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    report = _take(sqlite_home, tmp_path)
    assert [step for step, _, _ in sqlite_home.series(report.carried[0].run_id, "x")] == list(range(49))
    assert "ends in the middle of a record" in _reasons(report)


def test_damage_is_reported_with_its_place_and_the_rest_is_read(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path) as writer:
        for step in range(50):
            writer.add_scalar("x", float(step), step)
    path = _only_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[-20] ^= 0xFF  # within the last record
    path.write_bytes(bytes(data))
    report = _take(sqlite_home, tmp_path)
    assert len(sqlite_home.series(report.carried[0].run_id, "x")) == 49
    assert "the checksum does not match" in _reasons(report)


def test_a_giant_length_with_a_valid_checksum_is_not_believed(sqlite_home: Home, tmp_path: Path) -> None:
    with _written(tmp_path) as writer:
        writer.add_scalar("x", 1.0, 0)
    path = _only_file(tmp_path)
    head = struct.pack("<Q", 2**62)
    path.write_bytes(path.read_bytes() + head + struct.pack("<I", masked_crc(head)) + b"x" * 100)
    report = _take(sqlite_home, tmp_path)
    assert len(sqlite_home.series(report.carried[0].run_id, "x")) == 1
    assert "is larger than" in _reasons(report)


def test_tags_that_would_lead_out_of_the_run_become_harmless_paths(sqlite_home: Home, tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    with _written(tmp_path) as writer:
        writer.add_image("placeholder", np.zeros((3, 2, 2), np.uint8), 0)
    path = _only_file(tmp_path)
    event = Event(wall_time=1.0, step=4)
    value = event.summary.value.add(tag="../../etc/\\pass\0wd")
    value.image.encoded_image_string, value.image.width, value.image.height = b"\x89PNG", 1, 1
    record = event.SerializeToString()
    head = struct.pack("<Q", len(record))
    framed = head + struct.pack("<I", masked_crc(head)) + record + struct.pack("<I", masked_crc(record))
    path.write_bytes(path.read_bytes() + framed)
    report = _take(sqlite_home, tmp_path)
    paths = [item.path for item in sqlite_home.detail(report.carried[0].run_id).artifacts]
    assert "images/_/_/etc/_pass_wd/4.png" in paths


def test_a_folder_without_events_is_refused(sqlite_home: Home, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no event file"):
        _take(sqlite_home, tmp_path)
