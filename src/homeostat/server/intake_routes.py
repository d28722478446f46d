"""Routes of models that are served elsewhere: their predictions, their monitors, tables that are read."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from homeostat.ground.access import Identity
from homeostat.ground.errors import Invalid
from homeostat.server.intake import Intake
from homeostat.server.intake_bodies import MonitorBody, TableBody, read_rows_body
from homeostat.server.label_files import KINDS
from homeostat.server.permissions import HANDLER
from homeostat.server.tables import Tables

_JSON = {"", "application/json", "text/json"}
ADMIN = {"needs": "admin"}
UPLOAD = {"project": HANDLER, "takes_uploads": True, "but_json": True}

Who = NamedDependency[Identity]
Plain = dict[str, Any]


def build_intake_routes(intake: Intake, tables: Tables) -> list[HTTPRouteHandler]:
    """Every route of predictions that come in, of monitors and of tables."""
    return [*_posting(intake), *_tables(tables)]


def _posting(intake: Intake) -> list[HTTPRouteHandler]:

    @post(
        ["/api/predictions", "/predictions"],
        opt=UPLOAD | {"needs": "write"},
        status_code=200,
        request_max_body_size=None,  # the middleware counts, by what comes
    )
    async def post_predictions(
        request: Request[Any, Any, Any],
        identity: Who,
        model: FromQuery[str | None] = None,
        partial: FromQuery[bool] = False,  # noqa: FBT002  a query has no other form
    ) -> Plain:
        """Rows as JSON, or a file of them, by Content-Type."""
        kind = _kind(request)
        if kind in _JSON:
            body = await request.body()
            return await sync_to_thread(lambda: intake.take(read_rows_body(body), partial=partial, who=identity))
        form = _form(kind)
        if model is None:
            raise Invalid("a file of rows is of one model", field="model", next_step="POST /predictions?model=NAME")
        with tempfile.NamedTemporaryFile(prefix="homeostat-rows-") as held:
            await _spool(request.stream(), held)
            return await sync_to_thread(
                lambda: intake.take_file(model, Path(held.name), form, partial=partial, who=identity)
            )

    @post(
        "/api/monitors",
        opt=UPLOAD | {"needs": "deploy"},
        status_code=200,
        request_max_body_size=None,
    )
    async def watch(
        request: Request[Any, Any, Any],
        identity: Who,
        monitor: FromQuery[str | None] = None,
    ) -> Plain:
        """A monitor as JSON; or its reference as a file, with the rest as JSON in the query's `monitor`."""
        kind = _kind(request)
        if kind in _JSON:
            body = _monitor(await request.body())
            return await sync_to_thread(lambda: intake.watch(body, identity))
        form, said = _form(kind), _monitor((monitor or "").encode())
        with tempfile.NamedTemporaryFile(prefix="homeostat-reference-") as held:
            await _spool(request.stream(), held)
            return await sync_to_thread(lambda: intake.watch_with_file(said, Path(held.name), form, identity))

    @get("/api/monitors", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def list_monitors(identity: Who) -> list[Plain]:
        return intake.monitors(identity)

    @get("/api/monitors/{name:str}", opt={"needs": "read", "project": "name"}, sync_to_thread=True)
    def get_monitor(name: FromPath[str]) -> Plain:
        return intake.monitor(name)

    @delete(
        "/api/monitors/{name:str}", opt={"needs": "deploy", "project": "name"}, status_code=200, sync_to_thread=True
    )
    def remove_monitor(name: FromPath[str], identity: Who) -> Plain:
        return intake.remove(name, identity)

    return [post_predictions, watch, list_monitors, get_monitor, remove_monitor]


def _tables(tables: Tables) -> list[HTTPRouteHandler]:
    @get("/api/tables", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def list_tables(identity: Who, model: FromQuery[str | None] = None) -> list[Plain]:
        return tables.list(model, identity)

    @post("/api/monitors/{name:str}/tables", opt=ADMIN, sync_to_thread=True)
    def add_table(name: FromPath[str], data: JSONBody[TableBody], identity: Who) -> Plain:
        return tables.add(name, data, actor=identity.name)

    @delete("/api/tables/{table:str}", opt=ADMIN, status_code=200, sync_to_thread=True)
    def remove_table(table: FromPath[str], identity: Who) -> Plain:
        return tables.remove(table, actor=identity.name)

    @post("/api/tables/{table:str}/read", opt=ADMIN, status_code=200, sync_to_thread=True)
    def read_table(table: FromPath[str]) -> Plain:
        """Read what is new now."""
        return tables.read(table)

    return [list_tables, add_table, remove_table, read_table]


def _kind(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _form(kind: str) -> str:
    if kind in KINDS:
        return KINDS[kind]
    raise Invalid(
        f"rows do not come as {kind!r:.80}",
        field="Content-Type",
        next_step="send application/json, application/x-ndjson, text/csv, application/vnd.apache.parquet, "
        "application/vnd.apache.arrow.stream or application/vnd.apache.arrow.file",
    )


def _monitor(text: bytes) -> MonitorBody:
    try:
        return msgspec.json.decode(text, type=MonitorBody)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        raise Invalid(said, field=path.rstrip("`"), next_step="see docs/monitor-anything.md") from error
    except msgspec.DecodeError as error:
        raise Invalid(
            f"the monitor is no JSON: {error}", field="monitor", next_step='send {"name": ..., "task": ...}'
        ) from error


async def _spool(chunks: AsyncIterator[bytes], held: IO[bytes]) -> None:
    async for chunk in chunks:
        held.write(chunk)
    held.flush()
