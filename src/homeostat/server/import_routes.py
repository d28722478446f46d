"""The route by which imports arrive from other machines."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from homeostat.compat.importers.intake import Batch, Intake
from homeostat.ground.access import Identity
from homeostat.server.permissions import HANDLER


def build_import_routes(intake: Intake) -> list[HTTPRouteHandler]:
    """`POST /api/imports`; the bytes of files go to `/api/blobs`, as those of runs do."""
    decoder = msgspec.msgpack.Decoder(Batch)

    @post("/api/imports", opt={"needs": "write", "project": HANDLER}, status_code=200)
    async def take_in(request: Request[Any, Any, Any], identity: NamedDependency[Identity]) -> dict[str, Any]:
        """A stretch of an import, in MessagePack."""
        body = await request.body()
        reply = await sync_to_thread(lambda: intake.take_in(decoder.decode(body), identity))
        return msgspec.to_builtins(reply)  # type: ignore[no-any-return]

    return [take_in]
