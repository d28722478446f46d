"""The data plane over HTTP: from a request to the answer's bytes, with its own routing.

Errors are always JSON with the text under "error", whatever the protocol adds.
"""

import asyncio
import hmac
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from homeostat.ground.errors import (
    HomeostatError,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
    http_status,
)
from homeostat.serving.about import About, version_number
from homeostat.serving.afterwards import Afterwards, Told
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.encodings import inflated
from homeostat.serving.http import Headers, HttpRequest, Respond
from homeostat.serving.lanes import Overloaded
from homeostat.serving.metrics import all_snapshots, exposition
from homeostat.serving.routes import TARGET_MODEL, TARGET_VARIANT, WORKER_KEY, Target, find_target
from homeostat.serving.table import live_version
from homeostat.serving.types import (
    Decoded,
    NotAcceptable,
    PredictReply,
    PredictRequest,
    Translator,
    WrongContentType,
)

LARGE_BODY = 256 << 10
"""Bytes from which a body is read in a thread, as compressed ones are: others are answered meanwhile."""
MAX_READING = 32
"""Large bodies that may wait to be read; one more is told to come back."""

_JSON = ("content-type", "application/json")
_STATUS: dict[type, int] = {WrongContentType: 415, NotAcceptable: 406}
_TEXT = ("content-type", "text/plain; charset=utf-8")
_encode = msgspec.json.Encoder().encode

Answer = Callable[[PredictReply | HomeostatError], None]


class Front:
    """Answers requests, whoever carries them. `translators` holds one for 'infer' and one for 'invocations'.

    All methods belong to one event loop.
    """

    def __init__(
        self,
        plane: DataPlane,
        translators: Mapping[str, Translator],
        *,
        version: str = "",
        key: str = "",
        may_place: bool = False,
        max_body: int = 16 << 20,
        counters: Path | None = None,
        afterwards: Afterwards | None = None,
    ) -> None:
        self.plane = plane
        self._counters = counters
        self._afterwards = afterwards if afterwards is not None and afterwards.is_on else None
        self._translators = translators
        self._about = About(plane, version=version, may_place=may_place)
        self._key = key.encode()
        self._max_body = max_body
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._reading = 0
        self._targets: dict[str, Target | None] = {}

    def begin_draining(self) -> None:
        """The worker is about to end: readiness turns 503, requests are still answered."""
        self._about.draining = True

    def handle(self, request: HttpRequest, respond: Respond) -> None:
        """Answer by calling `respond(status, headers, body)` once, now or later."""
        if self._afterwards is not None:
            respond = self._telling(request, respond)
        try:
            self.check_key(request.headers)
        except HomeostatError as stranger:
            self._refuse(respond, None, stranger)
            return
        target = self._target(request.path)
        method = "GET" if request.method == "HEAD" else request.method
        if target is None and request.problem is None:
            error = NotFound(f"there is no {request.path}", field="path", next_step="see GET /v2")
            self._refuse(respond, None, error)
        elif target is not None and target.kind in self._translators and method in target.methods:
            self._predict(target, request, respond)
        elif request.problem is not None:
            self._refuse(respond, None, request.problem.error, request.problem.status)
        elif target is not None and method not in target.methods:
            methods = ", ".join(target.methods)
            body = {"error": f"{request.path} answers {methods}, not {method}", "code": "method_not_allowed"}
            respond(405, [_JSON, ("allow", methods)], _encode(body))
        elif target is not None:
            self._tell(target, request, respond)

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse whoever is not the server of this worker, when it has one.

        Raises:
            Unauthenticated: for everybody else.
        """
        if self._key and not hmac.compare_digest(headers.get(WORKER_KEY, "").encode(), self._key):
            raise Unauthenticated("this worker answers its server only", next_step="call the server's port")

    def infer(self, endpoint: str, version: str, decoded: Decoded, protocol: str, answer: Answer) -> None:
        """Answer rows that came some other way; hand the reply to `plane.after` once it is sent."""
        request = PredictRequest(endpoint=endpoint, inputs={}, protocol=protocol)
        try:
            route = self.plane.table.route(endpoint)
            if version:
                request.version_override = version_number(version)
                live_version(route, request.version_override or 0)
        except HomeostatError as error:
            answer(error)
            return
        self._submit(request, decoded, answer)

    def close(self) -> None:
        """Let go of the thread that reads bodies."""
        self._reader.shutdown(wait=False)

    # What is no prediction -------------------------------------------------------------------------------------------

    def _target(self, path: str) -> Target | None:
        known = self._targets
        if path not in known:
            if len(known) >= 1_000:
                known.clear()
            known[path] = find_target(path)
        return known[path]

    def _telling(self, request: HttpRequest, respond: Respond) -> Respond:
        """`respond`, then a word for the access log and the traces."""
        afterwards = self._afterwards

        def respond_and_tell(status: int, headers: Headers, body: bytes) -> None:
            respond(status, headers, body)
            target = self._target(request.path)
            said = dict(headers)
            version = said.get("x-model-version", "")
            afterwards.tell(  # type: ignore[union-attr]  # it is on, or this function is not used
                Told(
                    received=request.received,
                    nanoseconds=time.perf_counter_ns() - request.started,
                    method=request.method,
                    path=request.path,
                    status=status,
                    sent=len(body),
                    protocol=target.kind if target else "",
                    endpoint=target.endpoint if target else "",
                    version=int(version) if version.isdecimal() else None,
                    request_id=said.get("x-request-id", ""),
                    traceparent=request.headers.get("traceparent", ""),
                )
            )

        return respond_and_tell

    def _tell(self, target: Target, request: HttpRequest, respond: Respond) -> None:
        """A small JSON body from what is in memory."""
        if target.kind == "metrics":
            kind, text = exposition(all_snapshots(self.plane.meters.snapshot(), self._counters))
            respond(200, [("content-type", kind)], text)
            return
        try:
            status, body = self._about.told(target, request)
        except HomeostatError as error:
            self._refuse(respond, None, error)
            return
        if isinstance(body, str):
            respond(status, [_TEXT if target.kind == "version" else _JSON], body.encode())
        else:
            respond(status, [_JSON], _encode(body))

    # Predictions -----------------------------------------------------------------------------------------------------

    def _predict(self, target: Target, http: HttpRequest, respond: Respond) -> None:
        translator = self._translators[target.kind]
        request = PredictRequest(
            endpoint="", inputs={}, protocol=translator.protocol, received=http.received, started=http.started
        )
        try:
            request.endpoint = target.endpoint or self._named_endpoint(http)
            self.plane.table.route(request.endpoint)
        except HomeostatError as error:
            self._refuse(respond, translator, error)
            return
        if http.problem is not None:
            self.plane.reject(request, http.problem.error)
            self._refuse(respond, translator, http.problem.error, http.problem.status)
            return
        try:
            request.version_override = self._override(request.endpoint, target, http)
            if len(http.body) > LARGE_BODY or "content-encoding" in http.headers:
                self._read_aside(request, translator, http, respond)
                return
            decoded = translator.decode(http.body, http.headers.get)
        except Exception as error:  # noqa: BLE001  a client gets JSON for our mistakes too, without our stack
            self._reject(request, translator, respond, error)
            return
        self._submit(request, decoded, partial(self._answered, request, translator, decoded.wish, respond))

    def _submit(self, request: PredictRequest, decoded: Decoded, answer: Answer) -> None:
        request.inputs, request.matrix = decoded.inputs, decoded.matrix
        request.is_text = decoded.is_text
        if decoded.request_ids is not None:
            request.request_ids = decoded.request_ids
        self.plane.submit(request, answer)

    def _read_aside(self, request: PredictRequest, translator: Translator, http: HttpRequest, respond: Respond) -> None:
        """Read a large body in a thread, then go on here."""
        if self._reading >= MAX_READING:
            raise Unavailable("too many large requests are waiting", next_step="try again in a second")
        loop = asyncio.get_running_loop()
        self._reading += 1

        def read() -> Decoded | Exception:
            try:
                body = inflated(http.body, http.headers.get("content-encoding", ""), self._max_body)
                return translator.decode(body, http.headers.get)
            except Exception as error:  # noqa: BLE001  told below, on the loop
                return error

        def go_on(decoded: Decoded | Exception) -> None:
            self._reading -= 1
            if isinstance(decoded, Exception):
                self._reject(request, translator, respond, decoded)
            else:
                self._submit(request, decoded, partial(self._answered, request, translator, decoded.wish, respond))

        def work() -> None:
            # The pool keeps what this returns: an error there would keep its frames, and they the whole body.
            loop.call_soon_threadsafe(go_on, read())

        self._reader.submit(work)

    def _answered(
        self,
        request: PredictRequest,
        translator: Translator,
        wish: Any,
        respond: Respond,
        answer: PredictReply | HomeostatError,
    ) -> None:
        if isinstance(answer, HomeostatError):
            self._refuse(respond, translator, answer)
            return
        try:
            encoded = translator.encode(answer, wish)
        except Exception as error:  # noqa: BLE001  as above
            self._reject(request, translator, respond, error)
            return
        if answer.only_version is not None:
            encoded.headers.append(("x-model-version", str(answer.only_version)))
        if len(answer.request_ids) == 1:
            encoded.headers.append(("x-request-id", answer.request_ids[0]))
        respond(200, encoded.headers, encoded.body)
        self.plane.after(answer)

    def _named_endpoint(self, http: HttpRequest) -> str:
        """The endpoint a bare /invocations means: named by ?model= or X-Model, or the only one there is."""
        query = parse_qs(http.query).get("model") if http.query else None
        named = query[0] if query else http.headers.get("x-model")
        if named:
            return named
        archive = http.headers.get(TARGET_MODEL)
        if archive:  # what SageMaker calls a model is the file it would be loaded from
            return archive.strip("/").removesuffix(".tar.gz")
        table = self.plane.table
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

    def _override(self, endpoint: str, target: Target, http: HttpRequest) -> int | None:
        if target.version:
            version = version_number(target.version)
            live_version(self.plane.table.route(endpoint), version or 0)
            return version
        wanted = http.headers.get("x-model-version") or http.headers.get(TARGET_VARIANT)
        if wanted is None:
            return None
        if wanted.isdecimal() and len(wanted) <= 18:
            return int(wanted)
        arms = {arm.arm: arm.version for arm in self.plane.table.route(endpoint).endpoint.arms}
        if wanted not in arms:
            raise Invalid(
                f"{wanted!r:.40} is neither a version number nor an arm",
                field="X-Model-Version",
                next_step=f"send a number, like 3, or one of {', '.join(arms)}",
            )
        return arms[wanted]

    def _reject(self, request: PredictRequest, translator: Translator, respond: Respond, error: Exception) -> None:
        """Refuse a request that no version has seen, and log it."""
        if isinstance(error, RecursionError):
            error = Invalid("the body nests too deep", field="body", next_step="send flatter data")
        elif not isinstance(error, HomeostatError):
            traceback.print_exception(error, file=sys.stderr)
            error = HomeostatError(f"internal error: {type(error).__name__}")
        self.plane.reject(request, error)
        self._refuse(respond, translator, error)

    def _refuse(
        self, respond: Respond, translator: Translator | None, error: HomeostatError, status: int | None = None
    ) -> None:
        status = status or next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), http_status(error))
        body = translator.encode_error(error, status) if translator else _encode(error.as_dict())
        headers: Headers = [_JSON]
        if status == 503:
            headers.append(("retry-after", str(error.retry_after if isinstance(error, Overloaded) else 1)))
        respond(status, headers, body)
