"""The routes of how good a model is: each decodes, calls one verb, encodes."""

from typing import Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from homeostat.ground.errors import Invalid
from homeostat.server.accuracy import Accuracy, AccuracyBody, SegmentsBody

BOUNDS = "give an effect over 0 and min_rows of at least 50"
READ_MODEL = {"needs": "read", "project": "name"}
Plain = dict[str, Any]


def build_accuracy_routes(accuracy: Accuracy) -> list[HTTPRouteHandler]:
    """Every route of accuracy; handlers run in threads, for the verbs block on the catalogue."""

    @get("/api/models/{name:str}/accuracy", opt=READ_MODEL, sync_to_thread=True)
    def get_accuracy(
        name: FromPath[str],
        metric: FromQuery[str] = "",
        window: FromQuery[str] = "",
        start: FromQuery[str | None] = None,
        end: FromQuery[str | None] = None,
        by: FromQuery[str] = "",
        version: FromQuery[int | None] = None,
        history: FromQuery[bool] = False,  # noqa: FBT002  a part of the query
    ) -> Plain:
        asked = AccuracyBody(
            metric=metric, window=window, start=start, end=end, by=by, version=version, history=history
        )
        return accuracy.show(name, asked)

    @get("/api/models/{name:str}/segments", opt=READ_MODEL, sync_to_thread=True)
    def get_segments(
        name: FromPath[str],
        start: FromQuery[str | None] = None,
        end: FromQuery[str | None] = None,
        column: FromQuery[list[str] | None] = None,
        effect: FromQuery[float] = 0.2,
        min_rows: FromQuery[int] = 200,
    ) -> Plain:
        given = {"start": start, "end": end, "columns": column or [], "effect": effect, "min_rows": min_rows}
        return accuracy.segments(name, read_body(given))

    return [get_accuracy, get_segments]


def read_body(given: Plain) -> SegmentsBody:
    """What is searched, from parts of a query.

    Raises:
        Invalid: naming the part.
    """
    try:
        return msgspec.convert(given, SegmentsBody)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field=str(error).rpartition("$.")[2].rstrip("`"), next_step=BOUNDS) from error
