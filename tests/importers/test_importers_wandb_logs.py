import base64
import hashlib
import math
import struct
from pathlib import Path

import pytest
from importer_home import Home
from wandb_logs import artifact_record, exit_record, framed, row, run_record, written

from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.report import Report
from homeostat.compat.importers.wandb_folder import read_wandb
from homeostat.ground.errors import Invalid


def _take(home: Home, folder: Path) -> Report:
    return home.take(lambda losses: read_wandb(folder, losses))


def _reasons(report: Report) -> str:
    return "\n".join(f"{loss.what}: {loss.reason}" for loss in report.lost)


def test_a_log_arrives_with_params_series_and_status(home: Home, tmp_path: Path) -> None:
    rows = [row(step, loss=1 / (step + 1), flag=step % 2 == 0) for step in range(100)]
    records = [run_record(lr=0.1, model={"depth": 3, "names": ["a"]}, ключ="да"), *rows, exit_record()]
    report = _take(home, written(tmp_path, framed(records)))
    (carried,) = report.carried
    detail = home.detail(carried.run_id)
    assert (detail.run.project, detail.run.name, detail.run.status) == ("demo", "a name", "finished")
    assert detail.params == {"lr": "0.1", "model.depth": "3", "model.names": '["a"]', "ключ": "да"}
    assert home.series(carried.run_id, "loss") == [
        (step, (1_700_000_000 + step) * 1_000_000, 1 / (step + 1)) for step in range(100)
    ]
    assert [value for _, _, value in home.series(carried.run_id, "flag")][:2] == [1.0, 0.0]


def test_importing_again_adds_nothing_and_appended_rows_alone_are_added(home: Home, tmp_path: Path) -> None:
    records = [run_record(), *(row(step, loss=float(step)) for step in range(10))]
    folder = written(tmp_path, framed(records))
    first = _take(home, folder)
    assert (first.points, first.new_runs) == (10, 1)
    assert home.detail(first.carried[0].run_id).run.status == "killed"
    assert "no exit record" in _reasons(first)
    assert _take(home, folder).added == 0

    more = [*records, *(row(step, loss=float(step)) for step in range(10, 15)), exit_record(3)]
    written(tmp_path, framed(more))
    third = _take(home, folder)
    assert (third.points, third.new_runs, third.carried[0].run_id) == (5, 0, first.carried[0].run_id)
    run = home.detail(third.carried[0].run_id).run
    assert (run.status, run.error) == ("failed", "exit code 3")
    assert len(home.series(run.id, "loss")) == 15


def test_numbers_without_a_json_word_and_beyond_floats_are_kept_or_reported(sqlite_home: Home, tmp_path: Path) -> None:
    values = {"nan": math.nan, "inf": math.inf, "low": -math.inf, "big": 2**60 + 1, "huge": 10**400}
    report = _take(sqlite_home, written(tmp_path, framed([run_record(), row(0, **values), exit_record()])))
    run_id = report.carried[0].run_id
    assert math.isnan(sqlite_home.series(run_id, "nan")[0][2])
    assert sqlite_home.series(run_id, "inf")[0][2] == math.inf
    assert sqlite_home.series(run_id, "low")[0][2] == -math.inf
    assert sqlite_home.series(run_id, "big")[0][2] == float(2**60 + 1)
    assert "rounded" in _reasons(report)
    assert b'"huge": 1000' in sqlite_home.file(run_id, "wandb/history.jsonl")


def test_values_that_are_no_numbers_are_kept_in_a_file_and_reported(sqlite_home: Home, tmp_path: Path) -> None:
    image = {"_type": "image-file", "path": "media/images/a.png"}
    report = _take(sqlite_home, written(tmp_path, framed([run_record(), row(7, word="w", image=image), exit_record()])))
    kept = sqlite_home.file(report.carried[0].run_id, "wandb/history.jsonl")
    assert kept == b'{"_step": 7, "word": "w", "image": {"_type": "image-file", "path": "media/images/a.png"}}\n'
    assert "kept in wandb/history.jsonl" in _reasons(report)


@pytest.mark.parametrize("cut", [1, 5, 40, 300])
def test_of_a_log_that_was_cut_off_everything_before_the_cut_arrives(
    sqlite_home: Home, tmp_path: Path, cut: int
) -> None:
    whole = framed([run_record(), *(row(step, loss=float(step)) for step in range(50))])
    report = _take(sqlite_home, written(tmp_path, whole[:-cut]))
    points = sqlite_home.series(report.carried[0].run_id, "loss")
    assert [step for step, _, _ in points] == list(range(len(points)))
    assert len(points) >= 45
    assert "ends in the middle of a record" in _reasons(report)


def test_a_block_with_a_broken_checksum_is_left_out_and_the_next_one_is_read(sqlite_home: Home, tmp_path: Path) -> None:
    data = bytearray(framed([run_record(), *(row(step, loss=float(step)) for step in range(2000)), exit_record()]))
    assert len(data) > 3 * 32768
    data[40_000] ^= 0xFF
    report = _take(sqlite_home, written(tmp_path, bytes(data)))
    steps = [step for step, _, _ in sqlite_home.series(report.carried[0].run_id, "loss")]
    assert 0 in steps and 1999 in steps and 1000 < len(steps) < 2000
    assert "the checksum does not match (byte" in _reasons(report)


def test_records_longer_than_a_block_are_put_together(sqlite_home: Home, tmp_path: Path) -> None:
    long = "x" * 100_000
    report = _take(sqlite_home, written(tmp_path, framed([run_record(note=long), row(0, loss=1.0), exit_record()])))
    assert sqlite_home.detail(report.carried[0].run_id).params == {"note": long}
    assert report.lost == []


def test_a_length_beyond_its_block_and_bytes_that_are_no_record_are_reported(sqlite_home: Home, tmp_path: Path) -> None:
    data = framed([run_record(), b"\xff\xff\xff\xff", row(0, loss=1.0)])
    lying = struct.pack("<IHB", 0, 0xFFFF, 1)
    report = _take(sqlite_home, written(tmp_path, data + lying + bytes(40_000)))
    assert len(sqlite_home.series(report.carried[0].run_id, "loss")) == 1
    assert "is not a W&B record" in _reasons(report)
    assert "a length reaches beyond its block" in _reasons(report)


def test_a_file_of_something_else_is_reported_and_an_empty_folder_refused(sqlite_home: Home, tmp_path: Path) -> None:
    report = _take(sqlite_home, written(tmp_path, b"PK\x03\x04 something else entirely"))
    assert report.runs == 0 and "this is not a W&B run file" in _reasons(report)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match=r"no \.wandb file"):
        _take(sqlite_home, tmp_path / "empty")


def test_deep_nesting_is_reported_not_followed(sqlite_home: Home, tmp_path: Path) -> None:
    deep = {"a": {}}
    for _ in range(200):
        deep = {"a": deep}
    report = _take(sqlite_home, written(tmp_path, framed([run_record(deep=deep), row(0, loss=1.0), exit_record()])))
    params = sqlite_home.detail(report.carried[0].run_id).params
    assert len(params) <= 1 and len(sqlite_home.series(report.carried[0].run_id, "loss")) == 1


def test_names_over_the_limit_are_reported_not_cut(sqlite_home: Home, tmp_path: Path) -> None:
    long = "k" * 251
    folder = written(tmp_path, framed([run_record(**{long: 1, "ok": 2}), row(0, **{long: 1.0, "fine": 2.0})]))
    report = _take(sqlite_home, folder)
    assert sqlite_home.detail(report.carried[0].run_id).params == {"ok": "2"}
    assert list(sqlite_home.detail(report.carried[0].run_id).metrics) == ["fine"]
    assert _reasons(report).count("use 1 to 250") + _reasons(report).count("is not usable") >= 2


def test_links_out_of_the_folder_are_not_followed(sqlite_home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = written(tmp_path / "logs", framed([run_record(), row(0, loss=1.0), exit_record()]))
    (folder / "files" / "kept.txt").write_text("kept")
    (folder / "files" / "link.txt").symlink_to(secret)
    (folder / "files" / "folder").symlink_to(tmp_path)
    report = _take(sqlite_home, folder)
    paths = [item.path for item in sqlite_home.detail(report.carried[0].run_id).artifacts]
    assert paths == ["kept.txt"]
    assert _reasons(report).count("links are not followed") == 2


def test_an_artifact_that_points_at_any_file_of_this_machine_is_refused(
    sqlite_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    staging = tmp_path / "data" / "artifacts" / "staging"
    staging.mkdir(parents=True)
    secret, staged = tmp_path / "secret.txt", staging / "tmpabc"
    for path in (secret, staged):
        path.write_bytes(b"content")
    digest = base64.b64encode(hashlib.md5(b"content", usedforsecurity=False).digest()).decode()
    records = [
        run_record(),
        artifact_record("stolen.txt", secret, digest),
        artifact_record("fine.txt", staged, digest),
        artifact_record("changed.txt", staged, "AAAA"),
        artifact_record("../../out.txt", staged, digest),
        artifact_record("link.txt", staging / ".." / ".." / ".." / "secret.txt", digest),
        exit_record(),
    ]
    report = _take(sqlite_home, written(tmp_path / "logs", framed(records)))
    assert [item.path for item in sqlite_home.detail(report.carried[0].run_id).artifacts] == ["artifacts/data/fine.txt"]
    reasons = _reasons(report)
    assert reasons.count("is not where W&B keeps its files") == 2
    assert "was changed since it was logged" in reasons and "not a relative path inside the run" in reasons


def test_a_run_that_went_to_the_trash_here_stays_there(home: Home, tmp_path: Path) -> None:
    from homeostat.tracking.trash import delete_run

    folder = written(tmp_path, framed([run_record(), row(0, loss=1.0), exit_record()]))
    run_id = _take(home, folder).carried[0].run_id
    with home.database.write() as conn:
        delete_run(conn, run_id, at=1, actor="test")
    again = _take(home, folder)
    assert again.runs == 0 and "in the trash" in _reasons(again)


def test_a_resumed_run_is_one_run(sqlite_home: Home, tmp_path: Path) -> None:
    first = written(tmp_path, framed([run_record(), row(0, loss=1.0), exit_record(1)]))
    second = tmp_path / "offline-run-20240102_000000-abc"
    (second / "files").mkdir(parents=True)
    (second / "run-abc.wandb").write_bytes(framed([run_record(), row(1, loss=0.5), exit_record(0)]))
    (first / "files" / "a.txt").write_text("old")
    (second / "files" / "a.txt").write_text("new")
    report = _take(sqlite_home, tmp_path)
    run_id = report.carried[0].run_id
    assert report.runs == 1 and sqlite_home.detail(run_id).run.status == "finished"
    assert len(sqlite_home.series(run_id, "loss")) == 2
    assert sqlite_home.file(run_id, "a.txt") == b"new"


def test_reading_needs_no_losses_of_its_own(tmp_path: Path) -> None:
    losses = Losses()
    (run,) = read_wandb(written(tmp_path, framed([run_record(), row(0, loss=1.0), exit_record()])), losses)
    assert (run.label, losses.all()) == ("abc", [])
