"""Spans as OpenTelemetry sends them (`POST /v1/traces`), and as MLflow's clients read them again."""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from homeostat.compat.mlflow.limits import experiment_number
from homeostat.compat.mlflow.reach import reachable_project
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, Raw, Route
from homeostat.ground.errors import Invalid, TooLarge
from homeostat.tracking.spans import log_spans
from homeostat.tracking.types import Span

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_UNPACKED_LIMIT = 64 << 20
_INTEGERS = frozenset({"start_time_unix_nano", "end_time_unix_nano", "time_unix_nano", "int_value"})
_STATUS = ("UNSET", "OK", "ERROR")
_LARGEST = 2**63 - 1


class Export(msgspec.Struct):
    """POST /v1/traces."""

    content: bytes = b""
    headers: dict[str, str] = {}


def take_spans(context: Context, body: Export) -> Raw:
    """Store the spans of one export, all of them or none.

    Raises:
        Invalid: when the body is no such export, or a span has no usable ids or times.
        TooLarge: when it unpacks to more than 64 MiB.
        NotFound: when there is no such experiment.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    headers = body.headers
    number = experiment_number(require(headers.get("x-mlflow-experiment-id"), "x-mlflow-experiment-id"))
    media_type = headers.get("content-type", _PROTOBUF).partition(";")[0].strip().lower()
    spans: dict[str, list[Span]] = {}
    previews: dict[str, tuple[str | None, str | None]] = {}
    for message in _messages(_unpacked(body.content, headers.get("content-encoding", "")), media_type):
        trace_id, span = _span_of(message)
        spans.setdefault(trace_id, []).append(span)
        if span.parent is None:
            found = _attributes(message)
            previews[trace_id] = (found.get("mlflow.spanInputs"), found.get("mlflow.spanOutputs"))
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        if spans:
            log_spans(conn, number, spans, previews=previews)
    answer = ExportTraceServiceResponse()
    return Raw(b"{}", _JSON) if media_type == _JSON else Raw(answer.SerializeToString(), _PROTOBUF)


def _messages(body: bytes, media_type: str) -> Iterator[Any]:
    from google.protobuf.json_format import Parse, ParseError  # it ships no types
    from google.protobuf.message import DecodeError  # likewise
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        if media_type == _JSON:
            Parse(_with_base64_ids(body), request, ignore_unknown_fields=True)
        elif media_type == _PROTOBUF:
            request.ParseFromString(body)
        else:
            raise Invalid(
                f"Invalid Content-Type: {media_type:.80}",
                field="Content-Type",
                next_step=f"send {_PROTOBUF} or {_JSON}",
            )
    except (DecodeError, ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid("Invalid OpenTelemetry format", field="body", next_step="send an OTLP trace export") from error
    if not request.resource_spans:
        raise Invalid("Invalid OpenTelemetry format - no spans found", field="body", next_step="send spans")
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _span_of(message: Any) -> tuple[str, Span]:
    """A trace's id, and the span: its own columns, and the whole of it as JSON."""
    from google.protobuf.json_format import MessageToDict

    if len(message.trace_id) != 16 or len(message.span_id) != 8:
        raise Invalid(f"span {message.name!r:.80} has no trace id of 16 bytes or no span id of 8", field="trace_id")
    if max(message.start_time_unix_nano, message.end_time_unix_nano) > _LARGEST:
        raise Invalid(f"span {message.name!r:.80} is beyond the year 2262", field="start_time_unix_nano")
    attributes = _attributes(message)
    data = _with_numbers(MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=False))
    span = Span(
        id=message.span_id.hex(),
        parent=message.parent_span_id.hex() or None,
        name=message.name,
        type=_plain(attributes.get("mlflow.spanType", "UNKNOWN")),
        status=_STATUS[message.status.code] if message.status.code < len(_STATUS) else "UNSET",
        started=message.start_time_unix_nano,
        ended=message.end_time_unix_nano or None,
        data=msgspec.json.encode(data).decode(),
    )
    return _trace_id(message, attributes), span


def _trace_id(message: Any, attributes: dict[str, str]) -> str:
    # MLflow's own id travels as an attribute and is JSON; it differs where a client imported a trace.
    given = _plain(attributes.get("mlflow.traceRequestId", ""))
    return given if given.startswith("tr-") and len(given) <= 50 else f"tr-{message.trace_id.hex()}"


def _attributes(message: Any) -> dict[str, str]:
    return {
        item.key: item.value.string_value
        for item in message.attributes
        if item.value.WhichOneof("value") == "string_value"
    }


def _plain(text: str) -> str:
    """MLflow puts every attribute into JSON once more: `"LLM"` with its quotes."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, str) else text


def _with_numbers(value: Any) -> Any:
    """Numbers of 64 bits as numbers: proto JSON has them as text, MLflow's server does not."""
    if isinstance(value, dict):
        return {
            key: int(item) if key in _INTEGERS and isinstance(item, str) else _with_numbers(item)
            for key, item in value.items()
        }
    return [_with_numbers(item) for item in value] if isinstance(value, list) else value


def _with_base64_ids(body: bytes) -> str:
    """OTLP's JSON has ids in hex where proto JSON has base64."""
    export = json.loads(body)
    for resource in export.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                ids = [name for name in ("traceId", "spanId", "parentSpanId") if span.get(name)]
                span |= {name: base64.b64encode(bytes.fromhex(span[name])).decode() for name in ids}
    return json.dumps(export)


def _unpacked(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Invalid(f"{encoding!r:.40} is no known encoding", field="Content-Encoding", next_step="send gzip or none")
    unpacker = zlib.decompressobj(31 if encoding == "gzip" else 15)
    try:
        unpacked = unpacker.decompress(body, _UNPACKED_LIMIT)
    except zlib.error as error:
        raise Invalid(f"the body is no {encoding}", field="body", next_step="send it as its header says") from error
    if unpacker.unconsumed_tail:
        raise TooLarge("the spans unpack to more than 64 MiB", field="body", next_step="export in smaller batches")
    return unpacked


ROUTES = [
    Route(("POST",), "/v1/traces", Export, take_spans, "write", conflict="INVALID_PARAMETER_VALUE", takes_bytes=True),
]
