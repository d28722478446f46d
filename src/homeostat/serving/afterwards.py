"""What is told about a request once its answer is out: access log and traces, by a thread of their own."""

import contextlib
import os
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from homeostat.ground.clock import to_iso
from homeostat.ground.extras import require

MAX_WAITING = 20_000
"""Requests that may wait to be told of; more are dropped and counted."""
EVERY_SECONDS = 0.25

_encode = msgspec.json.Encoder().encode


class Told(NamedTuple):
    """One answered request."""

    received: int
    nanoseconds: int
    method: str
    path: str
    status: int
    sent: int
    """Bytes of the answer's body."""
    protocol: str
    endpoint: str
    version: int | None
    request_id: str
    traceparent: str


class Afterwards:
    """A bounded queue, and the thread that writes what is in it."""

    def __init__(self, access_log: str, *, traced: bool) -> None:
        self._queue: deque[Told] = deque()
        self._ended = threading.Event()
        self.dropped = 0
        self._file = _open(access_log)
        self._tracer = _tracer() if traced else None
        self.is_on = self._file is not None or self._tracer is not None
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)
        if self.is_on:
            self._thread.start()

    def tell(self, told: Told) -> None:
        """Queue it; never blocks."""
        if len(self._queue) >= MAX_WAITING:
            self.dropped += 1
        else:
            self._queue.append(told)

    def close(self) -> None:
        """Write what waits, then end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._tracer is not None:
            self._tracer.end()
        if self._file is not None and self._file is not sys.stderr.buffer:
            self._file.close()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        gathered = [self._queue.popleft() for _ in range(len(self._queue))]
        if not gathered:
            return
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk must not end what answers
                self._file.write(b"".join(_encode(_line(one)) + b"\n" for one in gathered))
                self._file.flush()
        if self._tracer is not None:
            for one in gathered:
                self._tracer.span(one)


def _line(told: Told) -> dict[str, Any]:
    line = told._asdict() | {"time": to_iso(told.received), "milliseconds": told.nanoseconds / 1e6}
    return {
        key: value for key, value in line.items() if key not in {"received", "nanoseconds"} and value not in {"", None}
    }


def _open(access_log: str) -> IO[bytes] | None:
    if not access_log:
        return None
    if access_log == "-":
        return sys.stderr.buffer
    path = Path(access_log).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _tracer() -> "Tracer | None":
    """Traces are on when OpenTelemetry's own variables name a place to send them."""
    wanted = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return Tracer() if wanted and not off else None


class Tracer:
    """Spans of requests that have ended, given their own times (OpenTelemetry's SDK, OTLP over HTTP)."""

    def __init__(self) -> None:
        require("opentelemetry.sdk", extra="otel")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = os.environ.get("OTEL_SERVICE_NAME", "homeostat-serving")
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._spans = self._provider.get_tracer("homeostat.serving")
        self._context = TraceContextTextMapPropagator()
        self._server = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)

    def span(self, told: Told) -> None:
        """One server span, under the caller's when it sent a `traceparent`."""
        parent = self._context.extract({"traceparent": told.traceparent}) if told.traceparent else None
        begun = told.received * 1_000
        attributes: dict[str, Any] = {
            "http.request.method": told.method,
            "url.path": told.path,
            "http.response.status_code": told.status,
            "homeostat.protocol": told.protocol,
            "homeostat.endpoint": told.endpoint,
            "homeostat.request_id": told.request_id,
        }
        if told.version is not None:
            attributes["homeostat.version"] = told.version
        span = self._spans.start_span(
            f"{told.method} {told.path}", context=parent, kind=self._server, start_time=begun, attributes=attributes
        )
        if told.status >= 500:
            span.set_status(self._error)
        span.end(end_time=begun + told.nanoseconds)

    def end(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
