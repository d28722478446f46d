"""A whole project as one file, and back: a zip of JSON, packed series and blobs that any Homeostat can take in.

    homeostat.json          what this is, and the project
    runs.ndjson             a run a line: everything but points and files
    series/RUN.msgpack      key to packed points
    blobs/DIGEST            files, once each
    models/, traces/        logged models and traces (`archive_rest`)

Taking in an archive twice, or one that was cut off half-way, adds what is missing and nothing twice.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Corrupt, Invalid
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking import projects, runs, series, store
from homeostat.tracking.archive_rest import read_rest, write_rest
from homeostat.tracking.artifacts import put_artifact
from homeostat.tracking.inputs import log_dataset_inputs
from homeostat.tracking.lookup import run_number, writable
from homeostat.tracking.points import pack, seal, unpack
from homeostat.tracking.types import Artifact, RunDetail

FORMAT = 1
_HEAD_LIMIT = 1 << 20
_LINE_LIMIT = 64 << 20
_SEAL_FROM = 64
"""Points from which compressing saves more than it costs."""

Progress = Callable[[int, int], None]
"""Called with how many runs are done, of how many."""


class _Head(msgspec.Struct, frozen=True):
    homeostat: int
    project: str
    tags: dict[str, str]
    runs: int


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What went into an archive or came out of one."""

    project: str
    runs: int
    runs_new: int
    files: int
    points: int


def export_project(
    database: Database, blobs: BlobStore, name: str, target: IO[bytes], *, progress: Progress | None = None
) -> Carried:
    """Write a project's runs (those that are not in the trash) to `target`.

    Raises:
        NotFound: when there is no such project.
    """
    with database.read() as conn:
        project = projects.named(conn, name)
        ids = _run_ids(conn, project.id)
    points = files = 0
    written: set[str] = set()

    def bring(item: Artifact) -> None:
        nonlocal files
        files += 1
        if item.digest not in written:
            _write_blob(archive, blobs, item)
            written.add(item.digest)

    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        head = _Head(FORMAT, project.name, project.tags, len(ids))
        archive.writestr("homeostat.json", msgspec.json.encode(head))
        lines = []
        for done, run_id in enumerate(ids):
            with database.read() as conn:
                detail = runs.get_run(conn, run_id)
                packed = dict(_packed_series(conn, run_id))
            lines.append(msgspec.json.encode(msgspec.structs.replace(detail, metrics={})))  # they are in the series
            points += sum(count for _, count in packed.values())
            archive.writestr(
                f"series/{run_id}.msgpack", msgspec.msgpack.encode({key: data for key, (data, _) in packed.items()})
            )
            for item in detail.artifacts:
                bring(item)
            if progress is not None:
                progress(done + 1, len(ids))
        with database.read() as conn:
            write_rest(conn, archive, project, ids, bring=bring)
        archive.writestr("runs.ndjson", b"\n".join(lines), zipfile.ZIP_DEFLATED)
    return Carried(project=name, runs=len(ids), runs_new=0, files=files, points=points)


def import_archive(
    database: Database,
    blobs: BlobStore,
    source: Path,
    *,
    project: str | None = None,
    at: int,
    actor: str,
    progress: Progress | None = None,
) -> Carried:
    """Take in what `export_project` wrote, into the project of the same name or another; runs keep their ids.

    Each run is one transaction. A run that is here already is left as it is.

    Raises:
        Corrupt: when the file is no archive of ours, or a blob in it has been changed.
        Conflict: when a run is here already in another project.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return _take_in(database, blobs, archive, project, at=at, actor=actor, progress=progress)
    except (zipfile.BadZipFile, KeyError, msgspec.DecodeError, json.JSONDecodeError) as error:
        raise Corrupt(
            f"{source.name} is no whole archive of a project", field="archive", next_step="export it again"
        ) from error


def _take_in(
    database: Database,
    blobs: BlobStore,
    archive: zipfile.ZipFile,
    project: str | None,
    *,
    at: int,
    actor: str,
    progress: Progress | None,
) -> Carried:
    head = msgspec.json.decode(_read(archive, "homeostat.json", _HEAD_LIMIT), type=_Head)
    if head.homeostat > FORMAT:
        raise Invalid(
            f"the archive has format {head.homeostat}, this Homeostat knows {FORMAT}",
            field="archive",
            next_step="upgrade homeostat",
        )
    with database.write() as conn:
        home = projects.project_named(conn, project or head.project, at=at, actor=actor)
        if head.tags:
            projects.set_project_tags(conn, home.id, head.tags, at=at)
    done = new = files = points = 0
    with archive.open("runs.ndjson") as lines:
        for line in _lines(lines):
            detail = msgspec.json.decode(line, type=RunDetail)
            for item in detail.artifacts:
                _read_blob(archive, blobs, item)
            packed = msgspec.msgpack.decode(archive.read(f"series/{detail.run.id}.msgpack"), type=dict[str, bytes])
            with database.write() as conn:
                is_new = _enter(conn, home, detail, packed, actor=actor)
            done, new, files = done + 1, new + is_new, files + len(detail.artifacts)
            points += sum(len(unpack(data)) for data in packed.values())
            if progress is not None:
                progress(done, head.runs)
    with database.write() as conn:
        read_rest(conn, archive, home, bring=lambda item: _read_blob(archive, blobs, item), actor=actor)
    return Carried(project=home.name, runs=done, runs_new=new, files=files, points=points)


def _enter(conn: Connection, home: Any, detail: RunDetail, packed: dict[str, bytes], *, actor: str) -> bool:
    """Whether the run is new here."""
    run = detail.run
    here = conn.execute(sa.select(store.runs.c.project).where(store.runs.c.id == run.id)).scalar()
    if here is not None:
        if here != home.id:
            raise Conflict(
                f"run {run.id} is here already, in project {here}",
                field="run_id",
                next_step="that project may be in the trash: homeostat project ls --trash",
            )
        return False
    runs.start_run(
        conn,
        project=home,
        name=run.name,
        cause=run.cause,
        at=run.started,
        actor=run.actor,
        run_id=run.id,
        parent=run.parent,
        code=detail.code,
        environment=detail.environment,
    )
    runs.log_params(conn, run.id, detail.params)
    runs.set_tags(conn, run.id, detail.tags)
    series.log_series(conn, run.id, {key: unpack(data) for key, data in packed.items()})
    for item in detail.artifacts:
        put_artifact(conn, run.id, item.path, digest=item.digest, size=item.size)
    for digest in detail.inputs:
        runs.add_input(conn, run.id, digest)
    log_dataset_inputs(conn, *writable(conn, run.id), detail.datasets)
    if run.status != "running":
        runs.update_run(conn, run.id, status=run.status, error=run.error, ended=run.ended, at=run.started, actor=actor)
    return True


def _run_ids(conn: Connection, project: int) -> list[str]:
    table = store.runs
    query = sa.select(table.c.id).where(table.c.project == project, table.c.deleted.is_(None)).order_by(table.c.no)
    return list(conn.execute(query).scalars())


def _packed_series(conn: Connection, run_id: str) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for metric in series.last_metrics(conn, run_number(conn, run_id)):
        points = series.read_series(conn, run_id, metric.key)
        yield metric.key, (seal(points) if len(points) >= _SEAL_FROM else pack(points), len(points))


def _write_blob(archive: zipfile.ZipFile, blobs: BlobStore, item: Artifact) -> None:
    with blobs.open(item.digest) as source, archive.open(f"blobs/{item.digest}", "w", force_zip64=True) as target:
        while chunk := source.read(1 << 20):
            target.write(chunk)


def _read_blob(archive: zipfile.ZipFile, blobs: BlobStore, item: Artifact) -> None:
    if blobs.exists(item.digest):
        return
    with archive.open(f"blobs/{item.digest}") as source:
        digest, size = blobs.put_stream(source)
    if (digest, size) != (item.digest, item.size):
        raise Corrupt(f"{item.path} was changed in the archive", field=item.path, next_step="export it again")


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if archive.getinfo(name).file_size > limit:
        raise Corrupt(f"{name} is larger than {limit} bytes", field=name, next_step="export it again")
    return archive.read(name)


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    while line := source.readline(_LINE_LIMIT):
        yield line.strip()
