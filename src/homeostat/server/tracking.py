"""The verbs of tracking, over a home: what routes, commands and the embedded client call."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock, to_iso
from homeostat.ground.errors import Denied, NotFound
from homeostat.server.gc import collect
from homeostat.server.tracking_bodies import CountBody, HistoriesBody, ProjectBody, ProjectPatch, SearchBody
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.uploads import Uploads
from homeostat.tracking import artifacts, catalogue, projects, runs, trash
from homeostat.tracking.archive import export_project, import_archive
from homeostat.tracking.compare import compare_runs
from homeostat.tracking.history import histories, history
from homeostat.tracking.ingest import ingest, spool_position
from homeostat.tracking.ops import Files, IngestBatch, StartRun
from homeostat.tracking.search.find import count_runs, search_runs
from homeostat.tracking.search.pages import Columns
from homeostat.tracking.types import FoundRun, Metric, Project, Run, View

Plain = dict[str, Any]


class Tracking:
    """Every method is one verb and returns plain data; whoever asks reaches the projects of their identity only."""

    def __init__(self, database: Database, blobs: BlobStore, uploads: Uploads, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self.uploads = uploads

    # What clients spooled.

    def take_in(self, batch: IngestBatch, who: Identity = LOCAL) -> Plain:
        """Take in a stretch of a spool, exactly once."""
        for op in batch.ops:
            if isinstance(op, Files) and not self._blobs.exists(op.digest):
                raise NotFound(
                    f"the bytes of {op.path!r:.120} are not here",
                    field="digest",
                    next_step="upload them, then send again",
                )
        with self._database.write() as conn:
            if who.projects is not None:
                _check_batch(conn, batch, who)
            reply = ingest(conn, batch, at=self._clock.now(), actor=who.name)
        return msgspec.to_builtins(reply)  # type: ignore[no-any-return]

    def position(self, spool: str) -> Plain:
        """How many bytes of a spool have been taken in."""
        with self._database.read() as conn:
            return {"position": spool_position(conn, spool)}

    # Projects.

    def projects(self, view: View = "active", who: Identity = LOCAL) -> list[Plain]:
        with self._database.read() as conn:
            found = projects.list_projects(conn, view=view)
        return [_project_view(project) for project in found if who.may_touch(project.name)]

    def create_project(self, body: ProjectBody, who: Identity = LOCAL) -> Plain:
        who.require_project(body.name)
        with self._database.write() as conn:
            project = projects.create_project(conn, body.name, at=self._clock.now(), actor=who.name)
            projects.set_project_tags(conn, project.id, body.tags, at=self._clock.now())
            return _project_view(projects.get_project(conn, project.id))

    def change_project(self, project_id: int, body: ProjectPatch, who: Identity = LOCAL) -> Plain:
        """Rename a project, set its tags, or both."""
        at = self._clock.now()
        with self._database.write() as conn:
            who.require_project(projects.get_project(conn, project_id).name)
            if body.name is not None:
                who.require_project(body.name)
                projects.rename_project(conn, project_id, body.name, at=at, actor=who.name)
            if body.tags:
                projects.set_project_tags(conn, project_id, body.tags, at=at)
            return _project_view(projects.get_project(conn, project_id))

    def delete_project(self, project_id: int, who: Identity = LOCAL) -> Plain:
        """Into the trash, with its runs."""
        with self._database.write() as conn:
            who.require_project(projects.get_project(conn, project_id).name)
            return _project_view(trash.delete_project(conn, project_id, at=self._clock.now(), actor=who.name))

    def restore_project(self, project_id: int, who: Identity = LOCAL) -> Plain:
        with self._database.write() as conn:
            who.require_project(projects.get_project(conn, project_id).name)
            return _project_view(trash.restore_project(conn, project_id, at=self._clock.now(), actor=who.name))

    def keys(self, project: str, kind: catalogue.Kind, containing: str, who: Identity = LOCAL) -> list[str]:
        """The names of a project's params, metrics or tags."""
        with self._database.read() as conn:
            return catalogue.known_keys(conn, self._ids(conn, [project], who)[0], kind, containing=containing)

    # Runs.

    def search(self, body: SearchBody, who: Identity = LOCAL) -> Plain:
        with self._database.read() as conn:
            page = search_runs(
                conn,
                self._ids(conn, body.projects, who),
                text=body.filter,
                order_by=body.order_by,
                view=body.view,
                limit=body.limit,
                page_token=body.page_token,
                columns=Columns(params=body.params, metrics=body.metrics, tags=body.tags),
                now=self._clock.now(),
            )
        return {"runs": [_found_view(item) for item in page.runs], "next_page_token": page.next_token}

    def count(self, body: CountBody, who: Identity = LOCAL) -> Plain:
        with self._database.read() as conn:
            ids = self._ids(conn, body.projects, who)
            return {"count": count_runs(conn, ids, text=body.filter, view=body.view, now=self._clock.now())}

    def history(
        self,
        run_id: str,
        key: str,
        *,
        points: int | None = None,
        x: str = "step",
        from_step: int | None = None,
        to_step: int | None = None,
        who: Identity = LOCAL,
    ) -> Plain:
        with self._database.read() as conn:
            self._reach(conn, [run_id], who)
            found = history(conn, run_id, key, most=points, x=x, from_step=from_step, to_step=to_step)
        return msgspec.to_builtins(found, str_keys=True)  # type: ignore[no-any-return]

    def histories(self, body: HistoriesBody, who: Identity = LOCAL) -> list[Plain]:
        """One metric of several runs, thinned out."""
        with self._database.read() as conn:
            self._reach(conn, body.runs, who)
            found = histories(conn, body.runs, body.key, most=body.points, x=body.x)
        return [msgspec.to_builtins(item, str_keys=True) for item in found]

    def compare(self, run_ids: Sequence[str], who: Identity = LOCAL) -> Plain:
        with self._database.read() as conn:
            self._reach(conn, run_ids, who)
            found = compare_runs(conn, run_ids)
        view: Plain = msgspec.to_builtins(found)
        view["runs"] = [_run_view(run) for run in found.runs]
        view["metrics"] = {key: [_metric_view(cell) for cell in row] for key, row in found.metrics.items()}
        return view

    def delete_run(self, run_id: str, who: Identity = LOCAL) -> Plain:
        """Into the trash."""
        with self._database.write() as conn:
            self._reach(conn, [run_id], who)
            trash.delete_run(conn, run_id, at=self._clock.now(), actor=who.name)
            return _run_view(runs.find_run(conn, run_id))

    def restore_run(self, run_id: str, who: Identity = LOCAL) -> Plain:
        with self._database.write() as conn:
            self._reach(conn, [run_id], who)
            trash.restore_run(conn, run_id, at=self._clock.now(), actor=who.name)
            return _run_view(runs.find_run(conn, run_id))

    # Files.

    def folder(self, run_id: str, path: str, who: Identity = LOCAL) -> list[Plain]:
        with self._database.read() as conn:
            self._reach(conn, [run_id], who)
            entries = artifacts.list_folder(conn, run_id, folder=path)
        return [msgspec.to_builtins(entry) for entry in entries]

    def file(self, run_id: str, path: str, who: Identity = LOCAL) -> bytes:
        """A file's bytes, verified."""
        with self._database.read() as conn:
            self._reach(conn, [run_id], who)
            return artifacts.read_artifact(conn, self._blobs, run_id, path)

    def blob(self, digest: str) -> bytes:
        return self._blobs.get(digest)

    def put_blobs(self, many: Sequence[bytes]) -> list[str]:
        """Store small files by the dozen; says their digests."""
        return self._blobs.put_many(many)

    def append_blob(self, digest: str, chunks: Iterable[bytes], *, offset: int, size: int) -> int | None:
        return self.uploads.append(digest, chunks, offset=offset, size=size)

    # Housekeeping.

    def collect(self, *, older_than: str, dry_run: bool, who: Identity = LOCAL) -> Plain:
        """Empty the trash of what is older, then remove bytes that nothing names."""
        return msgspec.to_builtins(  # type: ignore[no-any-return]
            collect(
                self._database,
                self._blobs,
                now=self._clock.now(),
                actor=who.name,
                older_than=older_than,
                dry_run=dry_run,
            )
        )

    def export_project(self, name: str, target: Path, who: Identity = LOCAL) -> Plain:
        """Write a whole project into one file; it appears under its name only when it is whole."""
        who.require_project(name)
        partial = target.with_name(f".{target.name}.part")
        try:
            with partial.open("wb") as stream:
                carried = export_project(self._database, self._blobs, name, stream)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return msgspec.to_builtins(carried)  # type: ignore[no-any-return]

    def import_archive(self, source: Path, project: str | None = None, who: Identity = LOCAL) -> Plain:
        """Take in a project's file."""
        if who.projects is not None and (project is None or not who.may_touch(project)):
            raise Denied("this token is for some projects only", field="project", next_step="name one of its projects")
        carried = import_archive(
            self._database, self._blobs, source, project=project, at=self._clock.now(), actor=who.name
        )
        return msgspec.to_builtins(carried)  # type: ignore[no-any-return]

    def _ids(self, conn: Connection, names: Sequence[str], who: Identity) -> list[int]:
        """Project numbers of names; without names, all that are within reach."""
        if not names:
            return [project.id for project in projects.list_projects(conn, view="all") if who.may_touch(project.name)]
        found = []
        for name in names:
            who.require_project(name)
            found.append(projects.named(conn, name).id)
        return found

    def _reach(self, conn: Connection, run_ids: Iterable[str], who: Identity) -> None:
        if who.projects is not None:
            for run_id in run_ids:
                who.require_project(runs.find_run(conn, run_id).project)


def _check_batch(conn: Connection, batch: IngestBatch, who: Identity) -> None:
    begun: set[str] = set()
    for op in batch.ops:
        if isinstance(op, StartRun):
            who.require_project(op.project)
            begun.add(op.id)
    for run_id in {op.run for op in batch.ops if not isinstance(op, StartRun)} - begun:
        who.require_project(runs.find_run(conn, run_id).project)


def _project_view(project: Project) -> Plain:
    return _times(msgspec.to_builtins(project), "created", "updated", "deleted")


def _run_view(run: Run) -> Plain:
    return _times(msgspec.to_builtins(run), "started", "ended", "deleted")


def _found_view(item: FoundRun) -> Plain:
    metrics = {metric.key: _metric_view(metric) for metric in item.metrics}
    return _run_view(item.run) | {"params": item.params, "metrics": metrics, "tags": item.tags}


def _metric_view(metric: Metric | None) -> Plain | None:
    if metric is None:
        return None
    view: Plain = msgspec.structs.asdict(metric)
    del view["key"]
    # JSON has no word for these.
    return view | {key: _spoken(view[key]) for key in ("last", "min", "max")}


def _spoken(value: float | None) -> float | str | None:
    if value is None or value - value == 0:
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")  # noqa: PLR0124  only NaN differs


def _times(view: Plain, *keys: str) -> Plain:
    return view | {key: to_iso(view[key]) for key in keys if view.get(key) is not None}
