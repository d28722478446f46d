"""The data plane as an ASGI application, for servers that are not ours: the same front, carried by theirs."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from homeostat.ground.errors import TooLarge
from homeostat.serving.front import Front
from homeostat.serving.http import Headers, HttpRequest, Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def answer(front: Front, scope: Scope, receive: Receive, send: Send, *, max_body: int) -> None:
    """Answer one HTTP request; one whose caller hangs up before it has come whole is dropped."""
    request = await _read(scope, receive, max_body)
    if request is None:
        return
    answered: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

    def respond(status: int, headers: Headers, body: bytes) -> None:
        if not answered.done():
            answered.set_result((status, headers, body))

    front.handle(request, respond)
    await respond_with(send, *await answered, wants_body=request.method != "HEAD")


async def respond_with(send: Send, status: int, headers: Headers, body: bytes, *, wants_body: bool = True) -> None:
    """Send a whole answer."""
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body if wants_body else b""})


async def _read(scope: Scope, receive: Receive, max_body: int) -> HttpRequest | None:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = scope.get("query_string", b"").decode("latin-1")
    request = HttpRequest(scope["method"], own_path(scope), query, headers)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_body:
        request.problem = _too_large(max_body)
        return request
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_body:
            request.problem = _too_large(max_body)
            return request
        more = message.get("more_body", False)
    request.body = b"".join(parts)
    return request


def own_path(scope: Scope) -> str:
    """The path below the place where the application is mounted.

    >>> own_path({"path": "/models/v2", "root_path": "/models"}), own_path({"path": "/v2", "root_path": "/models"})
    ('/v2', '/v2')
    """
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    # ASGI keeps the root in the path; some frameworks cut it off before they hand the request on.
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    # Litestar ends the path of whatever is mounted with a slash.
    return path.rstrip("/") or "/"


def _too_large(max_body: int) -> Problem:
    step = "send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB"
    return Problem(413, TooLarge(f"the body is over {max_body} bytes", field="body", next_step=step))
