import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from importer_home import Home

from homeostat.compat.importers.mlflow_source import open_mlflow
from homeostat.compat.importers.mlflow_store import imported_runs
from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.report import Report
from homeostat.ground.errors import HomeostatError, Invalid, NotFound, Unavailable

RUN = "a" * 32


def _take(home: Home, source: str, *artifacts: Path) -> Report:
    def read(losses: Losses) -> Iterator[Any]:
        store = open_mlflow(source, losses, artifacts=list(artifacts))
        try:
            yield from imported_runs(store, project=None, losses=losses)
        finally:
            store.close()

    return home.take(read)


def _reasons(report: Report) -> str:
    return "\n".join(f"{loss.what}: {loss.reason}" for loss in report.lost)


def _folder_store(root: Path, *, artifact_uri: str = "") -> Path:
    run = root / "mlruns" / "1" / RUN
    for name in ("params", "tags", "metrics", "artifacts"):
        (run / name).mkdir(parents=True)
    (root / "mlruns" / "1" / "meta.yaml").write_text("experiment_id: '1'\nname: exp\nlifecycle_stage: active\n")
    meta = (
        f"run_id: {RUN}\nrun_name: 2024-01-01\nstatus: 3\nstart_time: 5\nend_time: 9\nartifact_uri: '{artifact_uri}'\n"
    )
    (run / "meta.yaml").write_text(meta)
    return run


def _old_database(path: Path, artifact_uri: str) -> None:
    """The schema of an MLflow of years ago: no `is_nan`, no `step`, no data sets, no logged models."""
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table experiments (experiment_id integer, name text, artifact_location text, lifecycle_stage text);"
            "create table runs (run_uuid text, name text, user_id text, status text, start_time bigint, "
            "end_time bigint, lifecycle_stage text, artifact_uri text, experiment_id integer);"
            "create table metrics (key text, value real, timestamp bigint, run_uuid text);"
            "create table params (key text, value text, run_uuid text);"
            "create table tags (key text, value text, run_uuid text);"
            "insert into experiments values (1, 'exp', '', 'active');"
        )
        row = (RUN, "n", "me", "FINISHED", 5, 9, "active", artifact_uri, 1)
        connection.execute("insert into runs values (?,?,?,?,?,?,?,?,?)", row)
        connection.execute("insert into metrics values ('loss', 0.5, 7, ?)", (RUN,))
    connection.close()


def test_an_old_database_is_read_and_never_written(sqlite_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "a b#c?.db"
    _old_database(path, "")
    before = path.read_bytes()
    path.chmod(0o400)
    report = _take(sqlite_home, str(path))
    assert report.carried[0].run_id == RUN
    assert sqlite_home.series(RUN, "loss") == [(0, 7000, 0.5)]
    assert path.read_bytes() == before and sorted(tmp_path.glob("a b*")) == [path]


@pytest.mark.parametrize("uri", ["/etc", "file:///etc", "mlflow-artifacts:/../../etc", "mlflow-artifacts:/%2e%2e/etc"])
def test_a_database_cannot_name_any_folder_of_this_machine(sqlite_home: Home, tmp_path: Path, uri: str) -> None:
    (tmp_path / "mlartifacts").mkdir()
    _old_database(tmp_path / "mlflow.db", uri)
    report = _take(sqlite_home, str(tmp_path / "mlflow.db"))
    assert sqlite_home.detail(RUN).artifacts == [] and report.files == 0
    assert "not within a folder that may be read" in _reasons(report)


def test_artifacts_in_a_bucket_are_reported_without_its_secrets(sqlite_home: Home, tmp_path: Path) -> None:
    _old_database(tmp_path / "mlflow.db", "s3://key:secret@bucket/path")
    report = _take(sqlite_home, str(tmp_path / "mlflow.db"))
    assert "s3://bucket/path is not within" in _reasons(report) and "secret" not in _reasons(report)


def test_links_in_a_folder_store_are_not_followed(sqlite_home: Home, tmp_path: Path) -> None:
    run = _folder_store(tmp_path / "store")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for place in ("params", "tags", "metrics", "artifacts"):
        (run / place / "stolen").symlink_to(secret)
        (run / place / "folder").symlink_to(tmp_path)
    (run / "params" / "lr").write_text("0.1")
    (run / "artifacts" / "a.txt").write_text("a")
    report = _take(sqlite_home, str(tmp_path / "store"))
    detail = sqlite_home.detail(RUN)
    assert detail.params == {"lr": "0.1"} and [item.path for item in detail.artifacts] == ["a.txt"]
    assert "stolen" not in detail.tags and detail.metrics == {}
    assert _reasons(report).count("links are not followed") == 2


def test_lines_that_are_no_points_and_broken_yaml_are_reported(sqlite_home: Home, tmp_path: Path) -> None:
    run = _folder_store(tmp_path / "store")
    (run / "metrics" / "loss").write_text("1 0.5 0\nnonsense\n2 nan 1\n3 0.25 99999999999999999999\n\n4 0.125 2")
    broken = run.with_name("b" * 32)
    broken.mkdir()
    (broken / "meta.yaml").write_text("run_id: [\n")
    report = _take(sqlite_home, str(tmp_path / "store" / "mlruns"))
    assert [(step, at) for step, at, _ in sqlite_home.series(RUN, "loss")] == [(0, 1000), (1, 2000), (2, 4000)]
    assert sqlite_home.detail(RUN).run.name == "2024-01-01"  # YAML would make a date of it
    assert "its line cannot be read" in _reasons(report) and "meta.yaml: cannot be read" in _reasons(report)


def test_yaml_runs_nothing(sqlite_home: Home, tmp_path: Path) -> None:
    run = _folder_store(tmp_path / "store")
    (run / "meta.yaml").write_text(f"run_id: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    assert _take(sqlite_home, str(tmp_path / "store")).runs == 0
    assert not (tmp_path / "ran").exists()


def test_what_is_no_store_is_refused_in_words(sqlite_home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sqlite3.connect(tmp_path / "other.db").execute("create table t (x)").connection.close()
    cases: list[tuple[str, type[HomeostatError]]] = [
        (str(tmp_path / "empty"), Invalid),
        (str(tmp_path / "other.db"), Invalid),
        (str(tmp_path / "nowhere"), NotFound),
        (f"sqlite:///{tmp_path / 'nowhere.db'}", Unavailable),
        ("nosuch://host/db", Invalid),
        ("http://127.0.0.1:9", Unavailable),
    ]
    for source, kind in cases:
        with pytest.raises(kind) as refused:
            _take(sqlite_home, source)
        assert refused.value.field == "source" and refused.value.next_step


@contextmanager
def _answering(answers: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answers.get(self.path.partition("?")[0], {})
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815  the names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_API = "/api/2.0/mlflow"
_EXPERIMENTS = {f"{_API}/experiments/search": {"experiments": [{"experiment_id": "1", "name": "exp"}]}}


def test_a_server_that_lists_paths_out_of_the_run_is_not_followed(sqlite_home: Home) -> None:
    info = {"run_id": RUN, "run_name": "n", "status": "FINISHED", "start_time": 1, "end_time": "2"}
    paths = ["../../x", "/etc/passwd", "a\\b", "fine.txt", ""]
    answers = _EXPERIMENTS | {
        f"{_API}/runs/search": {"runs": [{"info": info}]},
        f"{_API}/artifacts/list": {"files": [{"path": path, "is_dir": False} for path in paths]},
        "/get-artifact": b"bytes",
    }
    with _answering(answers) as url:
        report = _take(sqlite_home, url)
    assert [item.path for item in sqlite_home.detail(RUN).artifacts] == ["fine.txt"]
    assert _reasons(report).count("not a relative path inside the run") == 4


@pytest.mark.parametrize("runs", [{"runs": [{}]}, {"runs": [3]}, {"runs": 7}, b"<html>", {"runs": [{"info": []}]}])
def test_a_server_that_speaks_otherwise_is_told_of_in_words(sqlite_home: Home, runs: Any) -> None:
    with (
        _answering(_EXPERIMENTS | {f"{_API}/runs/search": runs}) as url,
        pytest.raises(Unavailable, match="does not answer as MLflow does"),
    ):
        _take(sqlite_home, url)
