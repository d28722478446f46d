"""The prediction log's routes: one request, and a stretch of the log as an Arrow stream."""

from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from homeostat.ground.access import Identity
from homeostat.ground.clock import parse_moment
from homeostat.server.permissions import HANDLER
from homeostat.server.predictions import Predictions
from homeostat.serving.arrow_stream import MEDIA_TYPE, arrow_stream

READ = {"needs": "read", "project": HANDLER}

Who = NamedDependency[Identity]


def build_prediction_routes(predictions: Predictions) -> list[HTTPRouteHandler]:
    """Every route of the prediction log."""

    @get("/api/predictions/{request_id:path}", opt=READ, sync_to_thread=True)
    def show(request_id: FromPath[str], identity: Who) -> dict[str, Any]:
        return predictions.show(request_id.removeprefix("/"), identity)

    @get("/api/predictions", opt=READ, sync_to_thread=True)
    def stretch(
        model: FromQuery[str],
        identity: Who,
        start: FromQuery[str | None] = None,
        end: FromQuery[str | None] = None,
    ) -> Stream:
        first = None if start is None else parse_moment(start, field="start")
        last = None if end is None else parse_moment(end, field="end")
        frames = predictions.frames(model, start=first, end=last, who=identity)
        return Stream(arrow_stream(frames), media_type=MEDIA_TYPE)

    return [show, stretch]
