"""Deleting, undoing, purging, sweeping; and a project as one file."""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from homeostat.ground.clock import DAY
from homeostat.ground.errors import Conflict, Corrupt, NotFound
from homeostat.registry import models as registry_models
from homeostat.registry import versions
from homeostat.registry.types import PackageFile, StoredPackage
from homeostat.server.gc import collect
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, metadata, open_database
from homeostat.store.migrate import upgrade
from homeostat.tracking import archive, artifacts, inputs, models, projects, runs, series, traces, trash
from homeostat.tracking.lookup import run_number, writable
from homeostat.tracking.model_metrics import log_model_metrics, log_run_models, run_models
from homeostat.tracking.points import points_of
from homeostat.tracking.spans import log_spans, spans_of
from homeostat.tracking.types import DatasetInput, ModelMetric, RunModel, Span

NOW = 100 * DAY


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def filled(database: Database, blobs: BlobStore, *, project: str = "exp", content: bytes = b"bytes") -> str:
    with database.write() as conn:
        run = runs.start_run(conn, project=project, name="r", at=1, actor="ada", code={"commit": "c"}).id
        runs.log_params(conn, run, {"depth": 3})
        runs.set_tags(conn, run, {"team": "a"})
        steps = np.arange(3000)
        series.log_series(conn, run, {"loss": points_of(steps, steps, steps / 7.0)})
        series.log_metrics(conn, run, {"odd": float("nan")}, at=1)
        artifacts.log_artifact(conn, blobs, run, "a/b.txt", content)
        inputs.log_dataset_inputs(conn, *writable(conn, run), [DatasetInput(name="iris", digest="d", tags={"k": "v"})])
        runs.add_input(conn, run, "e" * 64)
        runs.end_run(conn, run, status="failed", error="boom", at=9)
    return run


def age(folder: Path) -> None:
    """Make every blob look as if it had been stored two days ago."""
    then = time.time() - 2 * 86_400
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def test_a_run_in_the_trash_takes_no_writes_until_it_is_restored(database: Database, blobs: BlobStore) -> None:
    run = filled(database, blobs)
    with database.write() as conn:
        trash.delete_run(conn, run, at=NOW, actor="ada")
        assert runs.list_runs(conn) == []
        assert runs.find_run(conn, run).deleted == NOW
        for write in (
            lambda: runs.log_params(conn, run, {"x": 1}),
            lambda: series.log_metrics(conn, run, {"x": 1}, at=1),
            lambda: runs.set_tags(conn, run, {"x": "1"}),
        ):
            with pytest.raises(Conflict, match="restore it first"):
                write()
        trash.restore_run(conn, run, at=NOW, actor="ada")
        assert [item.id for item in runs.list_runs(conn)] == [run]


def test_restoring_a_project_leaves_runs_in_the_trash_that_were_deleted_before_it(
    database: Database, blobs: BlobStore
) -> None:
    first, second = filled(database, blobs), filled(database, blobs)
    with database.write() as conn:
        project = projects.named(conn, "exp")
        trash.delete_run(conn, first, at=NOW, actor="ada")
        trash.delete_project(conn, project.id, at=NOW + 1, actor="ada")
        with pytest.raises(NotFound):
            projects.named(conn, "exp")
        with pytest.raises(Conflict, match="restore project"):
            trash.restore_run(conn, second, at=NOW, actor="ada")
        trash.restore_project(conn, project.id, at=NOW + 2, actor="ada")
        assert [item.id for item in runs.list_runs(conn)] == [second]
        with pytest.raises(Conflict, match="default project"):
            trash.delete_project(conn, 0, at=NOW, actor="ada")


def test_a_dry_run_counts_and_keeps_and_a_real_one_removes_what_nothing_names(
    database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    gone, stays = filled(database, blobs, content=b"gone"), filled(database, blobs, content=b"stays")
    with database.write() as conn:
        trash.delete_run(conn, gone, at=NOW - 40 * DAY, actor="ada")
    blobs.put(b"left by a crash")
    age(tmp_path / "blobs")
    blobs.put(b"just uploaded")

    dry = collect(database, blobs, now=NOW, actor="ada")
    assert (dry.dry_run, dry.runs, dry.blobs.unnamed, dry.blobs.young) == (True, 1, 1, 1)
    with database.read() as conn:
        assert artifacts.read_artifact(conn, blobs, gone, "a/b.txt") == b"gone"

    done = collect(database, blobs, now=NOW, actor="ada", dry_run=False)
    assert (done.runs, done.blobs.unnamed, done.blobs.kept, done.blobs.young) == (1, 2, 1, 1)
    with database.read() as conn:
        assert artifacts.read_artifact(conn, blobs, stays, "a/b.txt") == b"stays"
        with pytest.raises(NotFound):
            runs.find_run(conn, gone)


def test_what_went_to_the_trash_lately_is_not_purged(database: Database, blobs: BlobStore) -> None:
    run = filled(database, blobs)
    with database.write() as conn:
        trash.delete_project(conn, projects.named(conn, "exp").id, at=NOW - DAY, actor="ada")
    collect(database, blobs, now=NOW, actor="ada", dry_run=False)
    with database.read() as conn:
        assert runs.find_run(conn, run).deleted == NOW - DAY
    done = collect(database, blobs, now=NOW + 40 * DAY, actor="ada", dry_run=False)
    assert (done.runs, done.projects) == (1, 1)


def test_bytes_that_are_stored_again_are_young_again(blobs: BlobStore, tmp_path: Path) -> None:
    digest = blobs.put(b"x")
    age(tmp_path / "blobs")
    before = int((time.time() - 86_400) * 1_000_000)
    assert blobs.put(b"x") == digest
    assert not blobs.remove(digest, before=before)
    age(tmp_path / "blobs")
    assert blobs.remove(digest, before=before) and not blobs.exists(digest)


def test_a_project_comes_out_of_its_archive_as_it_went_in_and_only_once(
    database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    run = filled(database, blobs)
    file = tmp_path / "exp.zip"
    with file.open("wb") as target:
        out = archive.export_project(database, blobs, "exp", target)
    assert (out.runs, out.files, out.points) == (1, 1, 3001)

    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade(other)
    other_blobs = BlobStore(str(tmp_path / "other-blobs"))
    for new in (1, 0):
        back = archive.import_archive(other, other_blobs, file, at=NOW, actor="bob")
        assert (back.runs, back.runs_new, back.points) == (1, new, 3001)
    with database.read() as conn, other.read() as there:
        before, after = runs.get_run(conn, run), runs.get_run(there, run)
        assert after.run.project == "exp"
        assert (after.params, after.tags, after.artifacts, after.inputs, after.datasets, after.code) == (
            before.params,
            before.tags,
            before.artifacts,
            before.inputs,
            before.datasets,
            before.code,
        )
        assert (after.run.status, after.run.error, after.run.ended) == ("failed", "boom", 9)
        ours, theirs = (series.read_series(c, run, "loss") for c in (conn, there))
        assert np.array_equal(ours.values, theirs.values) and np.array_equal(ours.at, theirs.at)
        assert artifacts.read_artifact(there, other_blobs, run, "a/b.txt") == b"bytes"
    other.close()


def test_logged_models_and_traces_travel_with_their_project(
    database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    run = filled(database, blobs)
    with database.write() as conn:
        project = projects.named(conn, "exp")
        made = models.create_model(
            conn, project.id, name="m", source_run=run, at=1, params={"d": "3"}, tags={"t": "v"}, actor="ada"
        )
        artifacts.log_artifact(conn, blobs, made.id, "MLmodel", b"model")
        log_model_metrics(conn, run, {made.id: [ModelMetric(key="auc", value=0.5, at=3, run_id=run)]})
        log_run_models(conn, run, [RunModel(made.id, 2)], direction="output")
        made = models.finalise_model(conn, made.id, status="ready", at=4, actor="ada")
        gone = models.create_model(conn, project.id, name="gone", at=1, actor="ada")
        log_run_models(conn, run, [RunModel(gone.id)], direction="input")
        models.delete_model(conn, gone.id, at=5, actor="ada")
        traces.record_trace(conn, "tr-1", project.id, requested=7, duration=2, state="ok", tags={"a": "b"})
        root = Span(id="0" * 16, parent=None, name="f", type="CHAIN", status="OK", started=1, ended=2, data="{}")
        log_spans(conn, project.id, {"tr-1": [root]}, previews={})
        traces.link_traces(conn, run, ["tr-1"])
        trace = traces.get_trace(conn, "tr-1")
    file = tmp_path / "exp.zip"
    with file.open("wb") as target:
        archive.export_project(database, blobs, "exp", target)
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade(other)
    other_blobs = BlobStore(str(tmp_path / "other-blobs"))
    for _ in range(2):
        archive.import_archive(other, other_blobs, file, at=NOW, actor="bob")
    with other.read() as conn:
        back = models.get_model(conn, made.id)
        assert (back.name, back.status, back.params, back.tags, back.metrics, back.source_run) == (
            made.name,
            made.status,
            made.params,
            made.tags,
            made.metrics,
            run,
        )
        assert artifacts.read_artifact(conn, other_blobs, made.id, "MLmodel") == b"model"
        links = run_models(conn, [run_number(conn, run)])
        assert list(links.values()) == [{"input": [], "output": [RunModel(made.id, 2)]}]
        there = traces.get_trace(conn, "tr-1")
        assert (there.requested, there.duration, there.state, there.tags) == (7, 2, "ok", trace.tags)
        assert spans_of(conn, ["tr-1"]) == {"tr-1": ["{}"]}
    other.close()


def test_a_changed_or_broken_archive_is_refused(sqlite_database: Database, blobs: BlobStore, tmp_path: Path) -> None:
    filled(sqlite_database, blobs)
    made = io.BytesIO()
    archive.export_project(sqlite_database, blobs, "exp", made)
    file = tmp_path / "bad.zip"
    with zipfile.ZipFile(made) as whole, zipfile.ZipFile(file, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, b"other" if name.startswith("blobs/") else whole.read(name))
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    upgrade(empty)
    fresh = BlobStore(str(tmp_path / "fresh"))
    with pytest.raises(Corrupt, match=r"a/b.txt was changed"):
        archive.import_archive(empty, fresh, file, at=NOW, actor="bob")
    file.write_bytes(made.getvalue()[:500])
    with pytest.raises(Corrupt, match="no whole archive"):
        archive.import_archive(empty, fresh, file, at=NOW, actor="bob")
    empty.close()


def test_a_logged_model_is_purged_unless_a_registered_version_came_from_it(
    database: Database, blobs: BlobStore
) -> None:
    with database.write() as conn:
        ids = [models.create_model(conn, 0, name=name, at=1, actor="ada").id for name in ("gone", "used")]
        registry_models.create_model(conn, "late", at=1, actor="ada")
        package = StoredPackage("mlflow", {"MLmodel": PackageFile("d" * 64, 1)})
        lineage = {"logged_model": ids[1]}
        versions.register_version(conn, model="late", run_id=None, package=package, lineage=lineage, at=2, actor="ada")
        for one in ids:
            models.delete_model(conn, one, at=3, actor="ada")
    assert collect(database, blobs, now=NOW, actor="ada").logged_models == 1
    collect(database, blobs, now=NOW, actor="ada", dry_run=False)
    with database.read() as conn:
        assert models.get_model(conn, ids[1], allow_deleted=True).name == "used"
        with pytest.raises(NotFound):
            models.get_model(conn, ids[0], allow_deleted=True)


def test_a_purged_project_leaves_no_row_behind(database: Database, blobs: BlobStore) -> None:
    run = filled(database, blobs)
    with database.write() as conn:
        project = projects.named(conn, "exp")
        made = models.create_model(conn, project.id, name="m", source_run=run, at=1, params={"depth": "3"}, actor="ada")
        artifacts.log_artifact(conn, blobs, made.id, "MLmodel", b"x")
        trash.delete_project(conn, project.id, at=2, actor="ada")
    collect(database, blobs, now=NOW, actor="ada", dry_run=False)
    with database.read() as conn:
        tables = [table for name, table in metadata.tables.items() if name.startswith("tracking_")]
        left = {table.name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() for table in tables}
    assert {name for name, count in left.items() if count} == {"tracking_projects"}
    assert left["tracking_projects"] == 1  # Default
