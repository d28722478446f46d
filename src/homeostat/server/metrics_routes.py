"""`/metrics` of the control plane: what watching has found. The serving workers have one of their own, of traffic."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from homeostat.ground.access import Identity
from homeostat.server.monitor_metrics import exposition
from homeostat.server.permissions import HANDLER
from homeostat.server.service import Service


def build_metrics_routes(service: Service) -> list[HTTPRouteHandler]:
    """The one route; a token of some projects sees their models only."""

    @get("/metrics", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def metrics(identity: NamedDependency[Identity]) -> Response[bytes]:
        with service.database.read() as conn:
            kind, body = exposition(
                conn,
                now=service.clock.now(),
                top=service.settings.metrics_columns,
                may_touch=identity.may_touch,
            )
        return Response(body, media_type=kind)

    return [metrics]
