"""Routes for admins: who may come in, and whom we tell."""

from typing import Any

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from homeostat.ground.access import Identity
from homeostat.loop.webhooks import WebhookChange
from homeostat.server.bodies import TokenBody, WebhookBody
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

    @get("/api/webhooks", opt=ADMIN, sync_to_thread=True)
    def list_webhooks() -> list[dict[str, Any]]:
        return service.webhooks()

    @post("/api/webhooks", opt=ADMIN, sync_to_thread=True)
    def create_webhook(data: JSONBody[WebhookBody], identity: NamedDependency[Identity]) -> dict[str, Any]:
        return service.create_webhook(data, actor=identity.name)

    @patch("/api/webhooks/{webhook_id:str}", opt=ADMIN, sync_to_thread=True)
    def change_webhook(
        webhook_id: FromPath[str], data: JSONBody[WebhookChange], identity: NamedDependency[Identity]
    ) -> dict[str, Any]:
        return service.change_webhook(webhook_id, data, actor=identity.name)

    @delete("/api/webhooks/{webhook_id:str}", opt=ADMIN, status_code=200, sync_to_thread=True)
    def remove_webhook(webhook_id: FromPath[str], identity: NamedDependency[Identity]) -> dict[str, Any]:
        return service.remove_webhook(webhook_id, actor=identity.name)

    @post("/api/webhooks/{webhook_id:str}/test", opt=ADMIN, status_code=200, sync_to_thread=True)
    def test_webhook(webhook_id: FromPath[str]) -> dict[str, Any]:
        return service.test_webhook(webhook_id)

    tokens = [list_tokens, create_token, revoke_token]
    return [*tokens, list_webhooks, create_webhook, change_webhook, remove_webhook, test_webhook]
