"""Tracking's routes: each decodes, calls one verb, encodes."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.background_tasks import BackgroundTask
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import File

from homeostat.ground.access import Identity
from homeostat.ground.errors import Invalid
from homeostat.server.permissions import HANDLER
from homeostat.server.tracking import Tracking
from homeostat.server.tracking_bodies import (
    CompareBody,
    CountBody,
    HistoriesBody,
    ProjectBody,
    ProjectPatch,
    SearchBody,
)
from homeostat.tracking.catalogue import Kind
from homeostat.tracking.ops import IngestBatch
from homeostat.tracking.types import View

READ = {"needs": "read", "project": HANDLER}
WRITE = {"needs": "write", "project": HANDLER}
UPLOAD = {"needs": "write", "project": HANDLER, "takes_uploads": True}

Who = NamedDependency[Identity]
_CHUNK = 1 << 20


def build_tracking_routes(tracking: Tracking) -> list[HTTPRouteHandler]:
    """Every route of tracking; handlers run in threads, for the verbs block on the catalogue."""
    return [*_spools(tracking), *_projects(tracking), *_runs(tracking), *_files(tracking), *_housekeeping(tracking)]


def _spools(tracking: Tracking) -> list[HTTPRouteHandler]:
    decoder = msgspec.msgpack.Decoder(IngestBatch)

    @post("/api/ingest", opt=WRITE, status_code=200)
    async def take_in(request: Request[Any, Any, Any], identity: Who) -> dict[str, Any]:
        """A stretch of a client's spool, in MessagePack."""
        body = await request.body()
        return await sync_to_thread(lambda: tracking.take_in(decoder.decode(body), identity))

    @get("/api/spools/{spool:str}", opt=WRITE, sync_to_thread=True)
    def position(spool: FromPath[str]) -> dict[str, Any]:
        return tracking.position(spool)

    return [take_in, position]


def _projects(tracking: Tracking) -> list[HTTPRouteHandler]:
    @get("/api/projects", opt=READ, sync_to_thread=True)
    def list_projects(identity: Who, view: FromQuery[View] = "active") -> list[dict[str, Any]]:
        return tracking.projects(view, identity)

    @post("/api/projects", opt=WRITE, sync_to_thread=True)
    def create_project(data: JSONBody[ProjectBody], identity: Who) -> dict[str, Any]:
        return tracking.create_project(data, identity)

    @patch("/api/projects/{project_id:int}", opt=WRITE, sync_to_thread=True)
    def change_project(project_id: FromPath[int], data: JSONBody[ProjectPatch], identity: Who) -> dict[str, Any]:
        return tracking.change_project(project_id, data, identity)

    @delete("/api/projects/{project_id:int}", opt=WRITE, status_code=200, sync_to_thread=True)
    def delete_project(project_id: FromPath[int], identity: Who) -> dict[str, Any]:
        return tracking.delete_project(project_id, identity)

    @post("/api/projects/{project_id:int}/restore", opt=WRITE, status_code=200, sync_to_thread=True)
    def restore_project(project_id: FromPath[int], identity: Who) -> dict[str, Any]:
        return tracking.restore_project(project_id, identity)

    @get("/api/keys/{kind:str}", opt=READ, sync_to_thread=True)
    def keys(kind: FromPath[str], project: FromQuery[str], identity: Who, containing: FromQuery[str] = "") -> list[str]:
        """The names of a project's `params`, `metrics` or `tags`."""
        return tracking.keys(project, _kind(kind), containing, identity)

    return [list_projects, create_project, change_project, delete_project, restore_project, keys]


def _runs(tracking: Tracking) -> list[HTTPRouteHandler]:
    @post("/api/runs/search", opt=READ, status_code=200, sync_to_thread=True)
    def search(data: JSONBody[SearchBody], identity: Who) -> dict[str, Any]:
        return tracking.search(data, identity)

    @post("/api/runs/count", opt=READ, status_code=200, sync_to_thread=True)
    def count(data: JSONBody[CountBody], identity: Who) -> dict[str, Any]:
        return tracking.count(data, identity)

    @post("/api/runs/compare", opt=READ, status_code=200, sync_to_thread=True)
    def compare(data: JSONBody[CompareBody], identity: Who) -> dict[str, Any]:
        return tracking.compare(data.runs, identity)

    @post("/api/runs/histories", opt=READ, status_code=200, sync_to_thread=True)
    def histories(data: JSONBody[HistoriesBody], identity: Who) -> list[dict[str, Any]]:
        return tracking.histories(data, identity)

    @get("/api/runs/{run_id:str}/metrics/{key:path}", opt=READ, sync_to_thread=True)
    def history(
        run_id: FromPath[str],
        key: FromPath[str],
        identity: Who,
        points: FromQuery[int | None] = None,
        x: FromQuery[str] = "step",
        from_step: FromQuery[int | None] = None,
        to_step: FromQuery[int | None] = None,
    ) -> dict[str, Any]:
        """A series, thinned out to `points`; the reply says how many of how many are shown."""
        name = key.removeprefix("/")
        return tracking.history(run_id, name, points=points, x=x, from_step=from_step, to_step=to_step, who=identity)

    @delete("/api/runs/{run_id:str}", opt=WRITE, status_code=200, sync_to_thread=True)
    def delete_run(run_id: FromPath[str], identity: Who) -> dict[str, Any]:
        return tracking.delete_run(run_id, identity)

    @post("/api/runs/{run_id:str}/restore", opt=WRITE, status_code=200, sync_to_thread=True)
    def restore_run(run_id: FromPath[str], identity: Who) -> dict[str, Any]:
        return tracking.restore_run(run_id, identity)

    return [search, count, compare, histories, history, delete_run, restore_run]


def _files(tracking: Tracking) -> list[HTTPRouteHandler]:
    @get("/api/runs/{run_id:str}/artifacts", opt=READ, sync_to_thread=True)
    def folder(run_id: FromPath[str], identity: Who, path: FromQuery[str] = "") -> list[dict[str, Any]]:
        return tracking.folder(run_id, path, identity)

    @get("/api/runs/{run_id:str}/artifacts/{path:path}", opt=READ, sync_to_thread=True)
    def file(run_id: FromPath[str], path: FromPath[str], identity: Who) -> Response[bytes]:
        name = path.removeprefix("/")
        # Never shown as a page of ours: a run's HTML is not our code.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        return Response(tracking.file(run_id, name, identity), media_type="application/octet-stream", headers=headers)

    @get("/api/blobs/{digest:str}/upload", opt=WRITE, sync_to_thread=True)
    def upload(digest: FromPath[str]) -> dict[str, Any]:
        """Whether a blob is whole; if not, how many bytes of its upload are here."""
        offset = tracking.uploads.offset(digest)
        return {"complete": offset is None, "offset": offset}

    several = msgspec.msgpack.Decoder(list[bytes])

    @post("/api/blobs", opt=WRITE, status_code=200)
    async def put_blobs(request: Request[Any, Any, Any]) -> list[str]:
        """Small blobs by the dozen, a MessagePack list of bytes; answers with their digests."""
        body = await request.body()
        return await sync_to_thread(lambda: tracking.put_blobs(several.decode(body)))

    @put("/api/blobs/{digest:str}", opt=UPLOAD, status_code=200)
    async def put_blob(request: Request[Any, Any, Any], digest: FromPath[str]) -> dict[str, Any]:
        """Bytes of a blob from `Upload-Offset` on; `Upload-Length` is its whole size."""
        offset, size = _number(request, "upload-offset", 0), _number(request, "upload-length", None)
        with tempfile.SpooledTemporaryFile(max_size=4 * _CHUNK) as held:
            async for chunk in request.stream():
                held.write(chunk)
            total = offset + held.tell() if size is None else size
            held.seek(0)
            chunks = iter(lambda: held.read(_CHUNK), b"")
            here = await sync_to_thread(lambda: tracking.append_blob(digest, chunks, offset=offset, size=total))
        return {"complete": here is None, "offset": total if here is None else here}

    return [folder, file, upload, put_blob, put_blobs]


def _housekeeping(tracking: Tracking) -> list[HTTPRouteHandler]:
    @post("/api/gc", opt={"needs": "admin"}, status_code=200, sync_to_thread=True)
    def collect(
        identity: Who,
        older_than: FromQuery[str] = "30d",
        dry_run: FromQuery[bool] = True,  # noqa: FBT002  a query has no other form
    ) -> dict[str, Any]:
        """Empty the trash of what is older, then remove bytes that nothing names; by default it only counts."""
        return tracking.collect(older_than=older_than, dry_run=dry_run, who=identity)

    @get("/api/archives/{project:str}", opt=READ, sync_to_thread=True)
    def export(project: FromPath[str], identity: Who) -> File:
        """A whole project as one file."""
        folder = Path(tempfile.mkdtemp(prefix="homeostat-archive-"))
        gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        try:
            tracking.export_project(project, folder / "archive.zip", identity)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return File(folder / "archive.zip", filename="project.zip", media_type="application/zip", background=gone)

    @post("/api/archives", opt=UPLOAD, status_code=200)
    async def take_in_archive(
        request: Request[Any, Any, Any], identity: Who, project: FromQuery[str | None] = None
    ) -> dict[str, Any]:
        """A project's file, as the body."""
        with tempfile.NamedTemporaryFile(suffix=".zip") as held:
            async for chunk in request.stream():
                held.write(chunk)
            held.flush()
            return await sync_to_thread(lambda: tracking.import_archive(Path(held.name), project, identity))

    return [collect, export, take_in_archive]


def _number(request: Request[Any, Any, Any], name: str, default: Any) -> Any:
    text = request.headers.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 18:
        raise Invalid(f"{text!r:.40} is no count of bytes", field=name, next_step="send a whole number")
    return int(text)


def _kind(text: str) -> Kind:
    try:
        kind: Kind = msgspec.convert(text, Kind)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"{text!r:.40} is no kind of key", field="kind", next_step="use params, metrics or tags"
        ) from error
    return kind
