"""The control plane as an ASGI application: routes, guard, errors to answers, and predictions handed on."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig

from homeostat import __version__
from homeostat.ground.errors import HomeostatError
from homeostat.server import errors
from homeostat.server.guard import check_request
from homeostat.server.proxy import PredictionProxy
from homeostat.server.routes import Tick, build_routes
from homeostat.server.service import Service


def build_app(service: Service, *, tick: Tick, serving_url: Callable[[], str]) -> Any:
    """The whole control plane; `tick` runs the loop once, `serving_url` says where the worker listens."""
    max_body = service.settings.max_body_mb << 20
    app = Litestar(
        build_routes(service, tick=tick, serving_url=serving_url),
        before_request=_guard,
        exception_handlers={
            HomeostatError: errors.answer_ours,
            ValidationException: errors.answer_validation,
            HTTPException: errors.answer_http,
            msgspec.DecodeError: errors.answer_decoding,
            Exception: errors.answer_unknown,
        },
        openapi_config=OpenAPIConfig(title="Homeostat", version=__version__, path="/api/schema"),
        request_max_body_size=max_body,
        logging_config=None,  # ours is stderr; Litestar's would print every request handed on to the worker
        debug=False,
    )
    return PredictionProxy(app, serving_url, max_body=max_body)


def _guard(request: Request[Any, Any, Any]) -> None:
    check_request(request.headers.get("host", ""), request.headers.get("origin"))
