"""The data plane over HTTP: an RSGI application (granian) with its own routing.

Errors are always JSON with the text under "error", whatever the protocol adds. Small requests are scored on the event
loop, larger ones on one thread beside it.
"""

import asyncio
import hmac
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import msgspec
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # its public names

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import (
    HomeostatError,
    Invalid,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    http_status,
)
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.routes import WORKER_KEY, Target, find_target
from homeostat.serving.table import describe, live_version
from homeostat.serving.types import PredictReply, PredictRequest, Translator, WrongContentType

INLINE_ROWS = 64
"""Requests up to this many rows are scored on the event loop: a thread hop costs more than they do."""
MAX_WAITING = 32
"""Larger requests that may wait for the thread; one more is told to come back."""

_JSON = ("content-type", "application/json")
_TEXT = ("content-type", "text/plain; charset=utf-8")
_EXTENSIONS = ["binary_tensor_data", "model_repository"]
_encode = msgspec.json.Encoder().encode
_machine = SystemClock()

Header = Callable[[str], str | None]


class App:
    """Answers on granian's RSGI interface. `translators` holds one for 'infer' and one for 'invocations'."""

    def __init__(
        self,
        plane: DataPlane,
        translators: Mapping[str, Translator],
        *,
        max_body: int = 16 << 20,
        version: str = "",
        key: str = "",
    ) -> None:
        self._plane = plane
        self._translators = translators
        self._max_body = max_body
        self._version = version
        self._key = key.encode()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._waiting = 0
        self.draining = False
        """Set when the worker is about to end: readiness turns 503, requests are still answered."""

    async def __rsgi__(self, scope: Any, proto: Any) -> None:  # granian's own objects, untyped
        if scope.proto != "http":
            proto.close(404)
            return
        header: Header = scope.headers.get
        if self._key and not hmac.compare_digest((header(WORKER_KEY) or "").encode(), self._key):
            stranger = Unauthenticated("this worker answers its server only", next_step="call the server's port")
            self._refuse(proto, None, stranger)
            return
        target = find_target(scope.path)
        method = "GET" if scope.method == "HEAD" else scope.method
        if target is None:
            error = NotFound(f"there is no {scope.path}", field="path", next_step="see GET /v2")
            self._refuse(proto, None, error)
        elif method != target.method:
            body = {"error": f"{scope.path} answers {target.method}, not {method}", "code": "method_not_allowed"}
            proto.response_bytes(405, [_JSON, ("allow", target.method)], _encode(body))
        elif target.kind in self._translators:
            await self._predict(target, scope, header, proto)
        else:
            self._tell(target, proto)

    def _tell(self, target: Target, proto: Any) -> None:
        """Everything but predictions: a small JSON body from what is in memory."""
        try:
            status, body = self._told(target)
        except HomeostatError as error:
            self._refuse(proto, None, error)
            return
        if isinstance(body, str):
            proto.response_bytes(status, [_TEXT if target.kind == "version" else _JSON], body.encode())
        else:
            proto.response_bytes(status, [_JSON], _encode(body))

    def _told(self, target: Target) -> tuple[int, Any]:
        table = self._plane.table
        match target.kind:
            case "server":
                return 200, {"name": "homeostat", "version": self._version, "extensions": _EXTENSIONS}
            case "live":
                return 200, self._health()
            case "ready":
                return (200 if self._is_ready else 503), self._health()
            case "ping":
                return (200 if self._is_ready and table.routes else 503), "\n"
            case "version":
                return 200, self._version
            case "index":
                return 200, self._index()
            case "model":
                return 200, describe(table.route(target.endpoint), _version_number(target.version))
        route = table.route(target.endpoint)
        if target.version:
            live_version(route, _version_number(target.version) or 0)
        return 200, {"name": target.endpoint, "ready": True}

    @property
    def _is_ready(self) -> bool:
        table = self._plane.table
        return not self.draining and not table.failures.keys() - table.routes.keys()

    def _health(self) -> dict[str, Any]:
        table, shadows = self._plane.table, self._plane.shadows
        return {
            "ready": self._is_ready,
            "live": True,
            "generation": table.generation,
            "failures": table.failures,
            "shadow_rows_waiting": shadows.waiting,
            "shadow_rows_dropped": shadows.dropped,
        }

    def _index(self) -> list[dict[str, str]]:
        table = self._plane.table
        ready = [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name, route in sorted(table.routes.items())
            for version in route.endpoint.versions
        ]
        lost = [
            {"name": name, "version": "", "state": "UNAVAILABLE", "reason": table.failures[name]}
            for name in sorted(table.failures.keys() - table.routes.keys())
        ]
        return ready + lost

    async def _predict(self, target: Target, scope: Any, header: Header, proto: Any) -> None:
        translator = self._translators[target.kind]
        request = PredictRequest(endpoint="", inputs={}, protocol=translator.protocol)
        try:
            request.endpoint = target.endpoint or self._named_endpoint(scope, header)
            self._plane.table.route(request.endpoint)
            wish = await self._read(request, translator, target, header, proto)
            encoded = translator.encode(reply := await self._score(request), wish)
        except HomeostatError as error:
            self._refuse(proto, translator, error)
        except RecursionError:
            deep = Invalid("the body nests too deep", field="body", next_step="send flatter data")
            self._plane.reject(request, deep)
            self._refuse(proto, translator, deep)
        except (ProtocolClosed, ProtocolError):  # the caller hung up, or never spoke HTTP: nobody to answer
            return
        except Exception as error:  # noqa: BLE001  a client gets JSON for our mistakes too, without our stack
            traceback.print_exc(file=sys.stderr)
            ours = HomeostatError(f"internal error: {type(error).__name__}")
            self._plane.reject(request, ours)
            self._refuse(proto, translator, ours)
        else:
            if reply.only_version is not None:
                encoded.headers.append(("x-model-version", str(reply.only_version)))
            proto.response_bytes(200, encoded.headers, encoded.body)
            self._plane.after(reply)

    def _named_endpoint(self, scope: Any, header: Header) -> str:
        """The endpoint a bare /invocations means: named by ?model= or X-Model, or the only one there is."""
        query = parse_qs(scope.query_string).get("model")
        named = query[0] if query else header("x-model")
        if named:
            return named
        table = self._plane.table
        only = table.only_route()
        if only is not None:
            return only.endpoint.name
        if not table.routes:
            raise Unavailable("nothing is served yet", field="model", next_step="promote a version of a model")
        raise Invalid(
            "several models are served and none is named",
            field="model",
            next_step=f"add ?model=NAME or the header X-Model; served: {', '.join(sorted(table.routes))}",
        )

    async def _body(self, header: Header, proto: Any) -> bytes:
        length = header("content-length")
        if length is not None and length.isdecimal():
            if int(length) > self._max_body:
                raise self._too_large()
            return bytes(await proto())
        parts, size = [], 0
        async for part in proto:
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            parts.append(bytes(part))
        return b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is over {self._max_body} bytes",
            field="body",
            next_step="send fewer rows, or raise HOMEOSTAT_MAX_BODY_MB",
        )

    async def _read(
        self, request: PredictRequest, translator: Translator, target: Target, header: Header, proto: Any
    ) -> Any:
        """Fill in the request from the body; returns what the translator needs for the reply."""
        try:
            body = await self._body(header, proto)
            request.received, request.started = _machine.now(), time.perf_counter_ns()
            request.version_override = self._override(request.endpoint, target, header)
            decoded = translator.decode(body, header)
            if self._waiting >= MAX_WAITING and not _is_small(decoded.inputs):
                raise Unavailable("too many large requests are waiting", next_step="try again in a second")
        except HomeostatError as error:
            self._plane.reject(request, error)
            raise
        request.inputs, request.is_text = decoded.inputs, decoded.is_text
        return decoded.wish

    def _override(self, endpoint: str, target: Target, header: Header) -> int | None:
        if target.version:
            version = _version_number(target.version)
            live_version(self._plane.table.route(endpoint), version or 0)
            return version
        wanted = header("x-model-version")
        if wanted is None:
            return None
        if not wanted.isdecimal():
            raise Invalid(
                f"{wanted!r} is not a version number", field="X-Model-Version", next_step="send a number, like 3"
            )
        return int(wanted)

    async def _score(self, request: PredictRequest) -> PredictReply:
        if _is_small(request.inputs):
            return self._plane.predict(request)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._plane.predict, request)
        finally:
            self._waiting -= 1

    def _refuse(self, proto: Any, translator: Translator | None, error: HomeostatError) -> None:
        status = 415 if isinstance(error, WrongContentType) else http_status(error)
        body = translator.encode_error(error, status) if translator else _encode(error.as_dict())
        headers = [_JSON, ("retry-after", "1")] if status == 503 else [_JSON]
        proto.response_bytes(status, headers, body)


def _is_small(inputs: dict[str, list[Any]]) -> bool:
    return len(next(iter(inputs.values()), ())) <= INLINE_ROWS


def _version_number(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise NotFound(f"{text!r} is not a version number", field="version", next_step="versions are 1, 2, 3, ...")
    return int(text)
