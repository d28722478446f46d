"""Labels' routes: single ones and batches as JSON, files by their content type, and what was ever said of a request."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

from litestar import Request, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from homeostat.ground.access import Identity
from homeostat.ground.errors import Invalid
from homeostat.server.label_bodies import read_labels
from homeostat.server.label_files import KINDS
from homeostat.server.labels import Labels
from homeostat.server.permissions import HANDLER

_JSON = {"", "application/json", "text/json"}

Who = NamedDependency[Identity]


def build_label_routes(labels: Labels) -> list[HTTPRouteHandler]:
    """Every route of labels."""

    @post(
        ["/api/labels", "/labels"],
        opt={"needs": "write", "project": HANDLER, "takes_uploads": True, "but_json": True},
        status_code=200,
        request_max_body_size=None,  # the middleware counts, by what comes
    )
    async def post_labels(
        request: Request[Any, Any, Any],
        identity: Who,
        model: FromQuery[str | None] = None,
        within: FromQuery[str | None] = None,
        partial: FromQuery[bool] = False,  # noqa: FBT002  a query has no other form
    ) -> dict[str, Any]:
        """A label, a batch, or a file of them, by Content-Type."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _JSON:
            body = await request.body()
            return await sync_to_thread(lambda: labels.take(read_labels(body), partial=partial, who=identity))
        if kind not in KINDS:
            raise Invalid(
                f"labels do not come as {kind!r:.80}",
                field="Content-Type",
                next_step="send application/json, application/x-ndjson, text/csv, application/vnd.apache.parquet, "
                "application/vnd.apache.arrow.stream or application/vnd.apache.arrow.file",
            )
        if model is None:
            raise Invalid("a file of labels is for one model", field="model", next_step="POST /labels?model=NAME")
        with tempfile.NamedTemporaryFile(prefix="homeostat-labels-") as held:
            await _spool(request.stream(), held)
            return await sync_to_thread(
                lambda: labels.take_file(
                    model, Path(held.name), KINDS[kind], within=within, partial=partial, who=identity
                )
            )

    @get("/api/labels/{model:str}/{request_id:path}", opt={"needs": "read", "project": "model"}, sync_to_thread=True)
    def history(model: FromPath[str], request_id: FromPath[str]) -> list[dict[str, Any]]:
        return labels.history(model, request_id.removeprefix("/"))

    return [post_labels, history]


async def _spool(chunks: AsyncIterator[bytes], held: IO[bytes]) -> None:
    async for chunk in chunks:
        held.write(chunk)
    held.flush()
