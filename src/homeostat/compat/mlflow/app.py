"""MLflow's server as an ASGI application over our verbs: finds the endpoint, decodes, answers in a thread, encodes."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from homeostat.compat.mlflow.bodies import read_body, store_body
from homeostat.compat.mlflow.endpoints import all_routes
from homeostat.compat.mlflow.failures import Failure, failure_of
from homeostat.compat.mlflow.reading import check_type, read_request
from homeostat.compat.mlflow.replies import send_bytes, send_failure, send_file
from homeostat.compat.mlflow.routing import Router
from homeostat.compat.mlflow.wire import Context, FileAnswer, Raw, Route
from homeostat.ground.access import LOCAL, Permission
from homeostat.ground.clock import Clock
from homeostat.loop.inspection import Inspection
from homeostat.registry.keys import Trust
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

_API = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow")
_PLAIN = (
    "/health",
    "/version",
    "/get-artifact",
    "/model-versions/get-artifact",
    "/v1/traces",
    "/experiments",
    "/models",
)
_THREADS = 8
"""One waits for the disk while others read; the database's pool holds fifteen connections."""

_encode = msgspec.json.Encoder().encode


class MlflowApp:
    """An ASGI application that answers what MLflow's clients ask. `is_ours` says which paths it wants."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        *,
        routes: Sequence[Route],
        webhook_allow: frozenset[str] = frozenset(),
        signing_key: Callable[[], Any] | None = None,
        trust: Callable[[], Trust] | None = None,
        inspection: Inspection | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._webhook_allow = webhook_allow
        self._signing_key = signing_key
        self._trust = trust
        self._inspection = inspection
        self._router = Router(routes)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlflow")

    def needs(self, method: str, path: str) -> Permission | None:
        """What an endpoint asks of a token; None when the path is not MLflow's at all."""
        match = self._router.find(method, path)
        if match is not None and match.route is not None:
            return match.route.needs
        return "read" if is_ours(path) else None  # whoever may read may hear that there is no such endpoint

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        match = self._router.find(method, path)
        if match is None:
            failure = Failure(404, "ENDPOINT_NOT_FOUND", f"No endpoint {method} {path:.200}")
            await send_failure(send, failure, head=method == "HEAD")
            return
        if match.route is None:
            allowed = ", ".join(sorted({*match.methods, "OPTIONS"} | ({"HEAD"} if "GET" in match.methods else set())))
            if method == "OPTIONS":
                await send_bytes(send, b"", status=204, headers=[("allow", allowed)])
                return
            failure = Failure(405, "BAD_REQUEST", f"{path:.200} does not take {method}, but {allowed}")
            await send_failure(send, failure, headers=[("allow", allowed)])
            return
        await self._answer(match.route, dict(match.parts), scope, receive, send)

    async def _answer(self, route: Route, parts: dict[str, Any], scope: Any, receive: Any, send: Any) -> None:
        head = scope["method"] == "HEAD"
        try:
            if route.before is not None:
                route.before(parts)
            if route.stores_body:
                received = await store_body(receive, self._blobs, self._threads)
                if received is None:  # the caller hung up: half a file is no file
                    return
                parts["received"], body = received, b""
            else:
                whole = await read_body(receive)
                if whole is None:
                    return
                if whole and not route.takes_bytes:
                    check_type(scope["headers"])
                body = whole
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._run, route, parts, scope, body)
        except Exception as error:  # noqa: BLE001  whatever it is, the client gets MLflow's envelope and no more
            where = f"{scope['method']} {scope['path']}"
            await send_failure(send, failure_of(error, conflict=route.conflict, where=where), head=head)
            return
        if isinstance(answer, FileAnswer):
            await send_file(send, answer, scope, self._threads)
        elif isinstance(answer, Raw):
            headers = [("content-type", answer.media_type), *answer.headers]
            await send_bytes(send, answer.body, status=answer.status, headers=headers, head=head)
        else:
            await send_bytes(send, answer, headers=[("content-type", "application/json")], head=head)

    def _run(self, route: Route, parts: dict[str, Any], scope: Any, body: bytes) -> Raw | FileAnswer | bytes:
        if route.takes_headers or route.takes_bytes:
            parts["headers"] = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
            }
        if route.takes_bytes:
            parts["content"], body = body, b""
        reads = read_request(route.reads, parts=parts, query=scope.get("query_string", b""), body=body)
        identity = scope.get("state", {}).get("identity", LOCAL)
        context = Context(
            self._database,
            self._blobs,
            self._clock,
            identity,
            webhook_allow=self._webhook_allow,
            signing_key=self._signing_key,
            trust=self._trust,
            inspection=self._inspection,
        )
        answer = route.answer(context, reads)
        return answer if isinstance(answer, Raw | FileAnswer) else _encode(answer)


def build_mlflow(
    database: Database,
    blobs: BlobStore,
    clock: Clock,
    *,
    webhook_allow: frozenset[str] = frozenset(),
    signing_key: Callable[[], Any] | None = None,
    trust: Callable[[], Trust] | None = None,
    inspection: Inspection | None = None,
) -> MlflowApp:
    """MLflow's endpoints over an open home."""
    return MlflowApp(
        database,
        blobs,
        clock,
        routes=all_routes(),
        webhook_allow=webhook_allow,
        signing_key=signing_key,
        trust=trust,
        inspection=inspection,
    )


def is_ours(path: str) -> bool:
    """Whether a path is MLflow's: its API under any of its prefixes, or one of its plain routes."""
    return path.startswith(_API) or any(path == item or path.startswith(f"{item}/") for item in _PLAIN)
