"""Predictions on the control plane's port: handed on to the serving worker, so that one address is enough to begin.

Production traffic goes to the worker's own port. While a worker is being started again, requests wait for it.
"""

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from homeostat.serving.routes import WORKER_KEY

if TYPE_CHECKING:
    import httpx

PREFIXES = ("/v2", "/invocations", "/endpoints", "/predict", "/ping")
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}
_OURS = _HOP_HEADERS | {"authorization", "cookie", WORKER_KEY}
"""Not handed on: a worker that loads other people's models has no use for the caller's token."""
PATIENCE = 10.0
"""Seconds to wait for a worker that is away."""


class PredictionProxy:
    """An ASGI application that forwards prediction routes and leaves everything else to `inner`."""

    def __init__(self, inner: Any, serving_url: Callable[[], str], *, max_body: int, key: str = "") -> None:
        self._inner = inner
        self._key = key
        self._serving_url = serving_url
        self._max_body = max_body

    @cached_property
    def _client(self) -> "httpx.AsyncClient":
        import httpx  # 50 ms that a server which is only tracked to need not pay before it listens

        return httpx.AsyncClient(timeout=60.0, limits=httpx.Limits(max_keepalive_connections=32))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not any(path == item or path.startswith(f"{item}/") for item in PREFIXES):
            await self._inner(scope, receive, send)
            return
        body = await _read(receive, self._max_body)
        if body is None:
            await _answer(send, 413, b'{"error":"the request body is too large","code":"too_large"}')
            return
        await self._forward(scope, body, send)

    async def _forward(self, scope: Any, body: bytes, send: Any) -> None:
        import httpx

        query = scope.get("query_string", b"").decode()
        url = self._serving_url() + scope["path"] + (f"?{query}" if query else "")
        headers = [(key, value) for key, value in scope["headers"] if key.decode().lower() not in _OURS]
        if self._key:
            headers.append((WORKER_KEY.encode(), self._key.encode()))
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                answer = await self._client.request(scope["method"], url, content=body, headers=headers)
                break
            except httpx.ConnectError:  # nothing was sent yet, so trying again cannot do anything twice
                if asyncio.get_running_loop().time() > deadline:
                    text = b'{"error":"the serving worker is away; try again","code":"unavailable"}'
                    await _answer(send, 503, text, [(b"retry-after", b"1")])
                    return
                await asyncio.sleep(0.05)
            except httpx.HTTPError:
                text = b'{"error":"the serving worker went away during the request","code":"unavailable"}'
                await _answer(send, 503, text, [(b"retry-after", b"1")])
                return
        kept = [(key, value) for key, value in answer.headers.raw if key.decode().lower() not in _HOP_HEADERS]
        await _answer(send, answer.status_code, answer.content, kept)


async def _read(receive: Any, limit: int) -> bytes | None:
    parts, size = [], 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    given = headers if headers is not None else []
    if not any(key.lower() == b"content-type" for key, _ in given):
        given = [*given, (b"content-type", b"application/json")]
    start = {"type": "http.response.start", "status": status, "headers": given}
    await send(start | {"headers": [*given, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
