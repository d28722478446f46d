"""Routes for admins: who may come in, and whom we tell."""

from typing import Any

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from homeostat.ground.access import Identity
from homeostat.server.bodies import TokenBody
from homeostat.server.service import Service

ADMIN = {"needs": "admin"}


def build_access_routes(service: Service) -> list[HTTPRouteHandler]:
    """Tokens and webhooks."""

    @get("/api/tokens", opt=ADMIN, sync_to_thread=True)
    def list_tokens() -> list[dict[str, Any]]:
        return service.tokens()

    @post("/api/tokens", opt=ADMIN, sync_to_thread=True)
    def create_token(data: JSONBody[TokenBody], identity: NamedDependency[Identity]) -> dict[str, Any]:
        return service.create_token(data, actor=identity.name)

    @delete("/api/tokens/{token_id:str}", opt=ADMIN, status_code=200, sync_to_thread=True)
    def revoke_token(token_id: FromPath[str], identity: NamedDependency[Identity]) -> dict[str, Any]:
        return service.revoke_token(token_id, actor=identity.name)

    return [list_tokens, create_token, revoke_token]
