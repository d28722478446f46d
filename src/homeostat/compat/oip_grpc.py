"""Open Inference Protocol v2 over gRPC: `inference.GRPCInferenceService`, on the port of everything else.

Rows go to `Front.infer`. Everything else is asked of `Front.handle` in the words of the REST protocol, so that the two
never say different things.
"""

import asyncio
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from homeostat.compat.grpc_call import Answer, GrpcCall, Served, text_of
from homeostat.compat.grpc_messages import METHODS, SERVICE, message_classes
from homeostat.compat.oip_grpc_rows import decoded_of, response_of
from homeostat.ground.errors import (
    Conflict,
    Denied,
    HomeostatError,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from homeostat.serving.front import Front
from homeostat.serving.http import Headers, HttpRequest
from homeostat.serving.http2 import Handler, Http2Connection, Stream
from homeostat.serving.http2_requests import HttpHandler
from homeostat.serving.types import PredictReply

_ERRORS: dict[int, type[HomeostatError]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Refused,
    503: Unavailable,
    504: TimedOut,
}

Run = Callable[[Front, Any, dict[str, str], Callable[[Any], None]], None]


def grpc_connection(front: Front, *, max_body: int, group: set[Any]) -> asyncio.Protocol:
    """A protocol for a connection that speaks HTTP/2: gRPC, or the same requests as over HTTP/1.1."""
    methods = methods_of(front)

    def open_stream(stream: Stream) -> Handler:
        if stream.headers.get("content-type", "").startswith("application/grpc"):
            return GrpcCall(stream, methods, max_body)
        return HttpHandler(stream, front.handle, max_body)

    return Http2Connection(open_stream, max_body=max_body, group=group)


def methods_of(front: Front) -> dict[str, Served]:
    """What each path runs."""
    run: dict[str, Run] = {
        "ServerLive": _server_live,
        "ServerReady": _server_ready,
        "ServerMetadata": _server_metadata,
        "ModelReady": _model_ready,
        "ModelMetadata": _model_metadata,
        "ModelInfer": _infer,
        "ModelStreamInfer": _stream_infer,
        "RepositoryIndex": _index,
        "RepositoryModelLoad": partial(_place, "load"),
        "RepositoryModelUnload": partial(_place, "unload"),
    }
    return {
        f"/{SERVICE}/{name}": Served(partial(_call, front, name, run[name]), is_stream=name == "ModelStreamInfer")
        for name in METHODS
    }


def _call(front: Front, name: str, run: Run, message: bytes, headers: dict[str, str], answer: Answer) -> None:
    """Read the message, run the method, write what it gives; whatever goes wrong becomes an error of the call."""

    def reply(given: Any) -> None:
        answer(given if isinstance(given, HomeostatError) else given.SerializeToString())

    from google.protobuf.message import DecodeError

    try:
        run(front, message_classes()[METHODS[name][0]].FromString(message), headers, reply)
    except DecodeError as error:
        answer(Invalid(f"the message is no {METHODS[name][0]}: {error}", field="message", next_step="see the protocol"))
    except HomeostatError as error:
        answer(error)
    except Exception as error:  # noqa: BLE001  a caller gets a status for our mistakes too, without our stack
        traceback.print_exception(error, file=sys.stderr)
        answer(HomeostatError(f"internal error: {type(error).__name__}"))


# Rows ----------------------------------------------------------------------------------------------------------------


def _infer(front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    front.check_key(headers)
    decoded = decoded_of(request)

    def answer(given: PredictReply | HomeostatError) -> None:
        if isinstance(given, HomeostatError):
            reply(given)
            return
        try:
            response = response_of(given, decoded.wish)
        except HomeostatError as error:
            reply(error)
            return
        reply(response)
        front.plane.after(given)

    front.infer(request.model_name, request.model_version, decoded, "oip-grpc", answer)


def _stream_infer(front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    """One of many requests of a call: an error belongs to it alone, and the call goes on."""
    response = message_classes()["ModelStreamInferResponse"]

    def answer(given: Any) -> None:
        if isinstance(given, HomeostatError):
            failed = response(error_message=text_of(given))
            failed.infer_response.id = request.id
            reply(failed)
        else:
            reply(response(infer_response=given))

    try:
        _infer(front, request, headers, answer)
    except HomeostatError as error:
        answer(error)


# Everything else, in the words of REST -------------------------------------------------------------------------------


def _ask(
    front: Front,
    headers: dict[str, str],
    path: str,
    body: dict[str, Any] | None,
    told: Callable[[int, Any], Any],
    reply: Callable[[Any], None],
) -> None:
    """Ask the REST side; `told(status, body)` makes the message of its answer, or raises."""

    def respond(status: int, _headers: Headers, data: bytes) -> None:
        try:
            reply(told(status, msgspec.json.decode(data)))
        except HomeostatError as error:
            reply(error)

    plain = {name: value for name, value in headers.items() if not name.startswith((":", "content-"))}
    method = "GET" if body is None else "POST"
    front.handle(HttpRequest(method, path, "", plain, b"" if body is None else msgspec.json.encode(body)), respond)


def _good(status: int, body: Any) -> Any:
    """The body of an answer that is no error.

    Raises:
        HomeostatError: the error, when it is one.
    """
    if status < 400:
        return body
    kind = _ERRORS.get(status, Invalid if status < 500 else HomeostatError)
    raise kind(body["error"], field=body.get("field", ""))


def _model_path(request: Any) -> str:
    """The model's, or the version's.

    Raises:
        Invalid: when no model is named.
    """
    if not request.name:
        raise Invalid("no model is named", field="name", next_step="see RepositoryIndex")
    return f"/v2/models/{request.name}" + (f"/versions/{request.version}" if request.version else "")


def _server_live(front: Front, _request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, _body: Any) -> Any:
        return message_classes()["ServerLiveResponse"](live=status == 200)

    _ask(front, headers, "/v2/health/live", None, told, reply)


def _server_ready(front: Front, _request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, _body: Any) -> Any:
        return message_classes()["ServerReadyResponse"](ready=status == 200)

    _ask(front, headers, "/v2/health/ready", None, told, reply)


def _server_metadata(front: Front, _request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, body: Any) -> Any:
        return message_classes()["ServerMetadataResponse"](**_good(status, body))

    _ask(front, headers, "/v2", None, told, reply)


def _model_ready(front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, body: Any) -> Any:
        # Known, but out of service: that is an answer.
        if status != 503 and request.name not in front.plane.table.unloaded:
            _good(status, body)
        return message_classes()["ModelReadyResponse"](ready=status == 200)

    _ask(front, headers, f"{_model_path(request)}/ready", None, told, reply)


def _model_metadata(front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, body: Any) -> Any:
        given = _good(status, body)
        fields = ("name", "versions", "platform", "inputs", "outputs")
        return message_classes()["ModelMetadataResponse"](**{field: given[field] for field in fields})

    _ask(front, headers, _model_path(request), None, told, reply)


def _index(front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    def told(status: int, body: Any) -> Any:
        return message_classes()["RepositoryIndexResponse"](models=_good(status, body))

    _ask(front, headers, "/v2/repository/index", {"ready": request.ready}, told, reply)


def _place(verb: str, front: Front, request: Any, headers: dict[str, str], reply: Callable[[Any], None]) -> None:
    # KServe's file has the model's name where Triton's has a repository's.
    name = request.model_name or request.repository_name
    if not name:
        raise Invalid("no model is named", field="model_name", next_step="see RepositoryIndex")

    def told(status: int, body: Any) -> Any:
        _good(status, body)
        return message_classes()["RepositoryModelResponse"](model_name=name, is_done=True)

    # Only their names: a model or a configuration that comes along is refused, whatever it holds.
    parameters = dict.fromkeys(request.parameters, "")
    _ask(front, headers, f"/v2/repository/models/{name}/{verb}", {"parameters": parameters}, told, reply)
