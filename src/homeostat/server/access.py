"""The one place that decides who comes in: an ASGI middleware around all that the server answers, denying by default.

In this order: Host, Origin, token, route, permission, project, size and depth of the body. What is inside finds the
`Identity` in `scope["state"]["identity"]`.
"""

import sys
import traceback
from typing import Any

import msgspec
from litestar import Request

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.errors import (
    Denied,
    HomeostatError,
    Invalid,
    NotFound,
    TooLarge,
    Unauthenticated,
    http_status,
)
from homeostat.server.authenticate import Keyring
from homeostat.server.guard import Door
from homeostat.server.limits import CountedBody, check_depth, replay
from homeostat.server.permissions import HANDLER, PermissionTable, Rule

ANYBODY = Identity("anybody", frozenset(), frozenset())
"""Who asks a public route of a server with tokens."""

_MLFLOW = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow")
_MLFLOW_CODES: dict[type[HomeostatError], str] = {
    Unauthenticated: "UNAUTHENTICATED",
    Denied: "PERMISSION_DENIED",
    NotFound: "ENDPOINT_NOT_FOUND",
    TooLarge: "INVALID_PARAMETER_VALUE",
    Invalid: "INVALID_PARAMETER_VALUE",
}
_JSON = {"", "application/json", "text/json"}
_BINARY = ("application/octet-stream", "application/x-protobuf", "application/x-msgpack", "multipart/")
_CHALLENGES = [(b"www-authenticate", b'Bearer realm="homeostat"'), (b"www-authenticate", b'Basic realm="homeostat"')]


def provide_identity(request: Request[Any, Any, Any]) -> Identity:
    """Who asks, for a handler's argument `identity`."""
    return request.scope["state"]["identity"]  # type: ignore[no-any-return]  # put there below


class WrongMethod(HomeostatError):
    """The path is there and does not take this method."""

    code = "method_not_allowed"


class Access:
    """Lets requests through to `inner`; `keyring` None: everybody on this machine may do everything."""

    def __init__(
        self, inner: Any, table: PermissionTable, door: Door, keyring: Keyring | None, *, max_body: int, max_upload: int
    ) -> None:
        self._inner = inner
        self.table = table
        self._door = door
        self._keyring = keyring
        self._max_body = max_body
        self._max_upload = max_upload

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        headers = _single_headers(scope)
        reply = _Reply(send)
        try:
            self._check_address(headers, reply)
            if scope["method"] == "OPTIONS" and reply.origin:
                await reply.allow_preflight()
                return
            rule = self.table.find(scope["method"], scope["path"])
            identity = await self._identify(rule, headers)
            _check_rule(rule, scope, identity)
            body = self._counted(receive, is_upload=_is_upload(rule, headers))
            body.check_announced(headers.get(b"content-length"))
            incoming = await _checked_body(scope, rule, headers, body)
        except HomeostatError as error:
            await reply.refuse(scope["path"], error)
            return
        if incoming is None:  # the caller hung up
            return
        scope.setdefault("state", {})["identity"] = identity
        await self._run(scope, incoming, body, reply)

    async def _run(self, scope: Any, incoming: Any, body: CountedBody, reply: "_Reply") -> None:
        reply.body = body
        try:
            await self._inner(scope, incoming, reply.send)
        except RecursionError:
            await reply.refuse(scope["path"], Invalid("the body nests too deep", field="body"))
        except HomeostatError as error:
            await reply.refuse(scope["path"], error)
        except Exception as error:  # noqa: BLE001  a fault of ours: the traceback is for our log, not for the caller
            text = "".join(traceback.format_exception(error))
            sys.stderr.write(f"{scope['method']} {scope['path']}: {text}")
            ours = HomeostatError(f"internal error: {type(error).__name__}; see the server's log")
            await reply.refuse(scope["path"], ours)
        else:
            if body.error is not None:
                await reply.refuse(scope["path"], body.error)

    def _check_address(self, headers: dict[bytes, bytes], reply: "_Reply") -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        self._door.check_host(host)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin:
            self._door.check_origin(origin, host)
            reply.origin = origin if self._door.is_foreign(origin) else ""

    async def _identify(self, rule: Rule | None, headers: dict[bytes, bytes]) -> Identity:
        if self._keyring is None:
            return LOCAL
        if rule is not None and rule.needs == "public":
            return ANYBODY
        authorization = headers.get(b"authorization")
        return await self._keyring.identify(authorization.decode("latin-1") if authorization else None)

    def _counted(self, receive: Any, *, is_upload: bool) -> CountedBody:
        if is_upload:
            return CountedBody(receive, limit=self._max_upload, setting="max_upload_mb")
        return CountedBody(receive, limit=self._max_body, setting="max_body_mb")


class _Reply:
    """The way back: our refusals in the caller's dialect, and what a browser of an allowed origin wants to hear."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._started = False
        self.origin = ""
        self.body: CountedBody | None = None

    async def send(self, message: Any) -> None:
        if self.body is not None and self.body.error is not None and not self._started:
            return  # whatever was made of half a body; `refuse` says what happened
        if message["type"] == "http.response.start":
            self._started = True
            message = message | {"headers": [*message.get("headers", []), *self._cors()]}
        await self._send(message)

    async def refuse(self, path: str, error: HomeostatError) -> None:
        """Answer with an error, unless an answer has begun."""
        if self._started:
            return
        self.body = None
        status = 405 if isinstance(error, WrongMethod) else http_status(error)
        content = msgspec.json.encode(_envelope(error) if path.startswith(_MLFLOW) else error.as_dict())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        if status == 401:
            headers += _CHALLENGES
        if isinstance(error, WrongMethod):
            headers.append((b"allow", error.field.encode()))
        if isinstance(error, TooLarge):
            headers.append((b"connection", b"close"))  # the rest of the body is still on its way
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": content})

    async def allow_preflight(self) -> None:
        headers = [
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-max-age", b"600"),
        ]
        await self.send({"type": "http.response.start", "status": 204, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    def _cors(self) -> list[tuple[bytes, bytes]]:
        if not self.origin:
            return []
        return [(b"access-control-allow-origin", self.origin.encode("latin-1")), (b"vary", b"origin")]


def _check_rule(rule: Rule | None, scope: Any, identity: Identity) -> None:
    method, path = scope["method"], scope["path"]
    if rule is None:
        raise NotFound(f"there is no {path}", field="path", next_step="see /api/schema")
    if rule.methods:
        raise WrongMethod(f"{path} does not take {method}", field=", ".join(sorted(rule.methods)))
    if rule.needs is None:
        raise Denied(f"{method} {path} has no entry in the table of permissions, so nobody may call it", field="path")
    if rule.needs == "public":
        return
    if rule.needs not in identity.permissions:
        raise Denied(
            f"{identity.name} may not {method} {path}: that needs the permission {rule.needs!r}",
            field="permissions",
            next_step=f"use a token with it: homeostat token create NAME --permission {rule.needs}",
        )
    _check_project(rule, path, identity)


def _check_project(rule: Rule, path: str, identity: Identity) -> None:
    if identity.projects is None or rule.project == HANDLER:
        return
    if rule.project is None:
        raise Denied(
            f"{path} spans all projects and {identity.name} was let into some only",
            field="project",
            next_step="ask for one model or project, or use a token of all projects",
        )
    identity.require_project(rule.project)


async def _checked_body(scope: Any, rule: Rule | None, headers: dict[bytes, bytes], body: CountedBody) -> Any:
    """A `receive` for what is inside; None when the caller hung up before the end of the body."""
    if scope["method"] in {"GET", "HEAD"} or _is_upload(rule, headers) or _kind(headers).startswith(_BINARY):
        return body
    content = await body.whole()
    if content is None:
        return None
    check_depth(content)
    return replay(content, body)


def _is_upload(rule: Rule | None, headers: dict[bytes, bytes]) -> bool:
    if rule is None or not rule.takes_uploads:
        return False
    return not (rule.but_json and _kind(headers).partition(";")[0].strip() in _JSON)


def _kind(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").decode("latin-1").lower()


def _single_headers(scope: Any) -> dict[bytes, bytes]:
    """Headers by name. Of one that was sent twice the values are joined, so two hosts or two tokens match nothing."""
    found: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        name = key.lower()
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _envelope(error: HomeostatError) -> dict[str, str]:
    kinds = type(error).__mro__
    code = next((_MLFLOW_CODES[kind] for kind in kinds if kind in _MLFLOW_CODES), "INTERNAL_ERROR")
    return {"error_code": "BAD_REQUEST" if isinstance(error, WrongMethod) else code, "message": str(error)}
