"""What is told about a request once its answer is out: a line in the access log, a span to a collector."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.ground.clock import from_iso
from homeostat.serving.afterwards import MAX_WAITING, Afterwards, Told

AT = from_iso("2026-03-12T08:00:00Z")


def told(**changes: object) -> Told:
    one = Told(AT, 2_500_000, "POST", "/v2/models/late/infer", 200, 99, "infer", "late", 3, "r1", "")
    return one._replace(**changes)  # type: ignore[arg-type]  # as a test wants it


class Collector:
    """An OTLP collector that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_request_is_one_line_of_json_without_what_is_not_known(tmp_path: Path) -> None:
    afterwards = Afterwards(str(tmp_path / "logs" / "access.log"), traced=False)
    afterwards.tell(told())
    afterwards.tell(told(status=404, endpoint="", version=None, request_id="", path="/nowhere\n"))
    afterwards.close()
    first, second = (tmp_path / "logs" / "access.log").read_bytes().splitlines()
    assert msgspec.json.decode(first) == {
        "time": "2026-03-12T08:00:00Z",
        "milliseconds": 2.5,
        "method": "POST",
        "path": "/v2/models/late/infer",
        "status": 200,
        "sent": 99,
        "protocol": "infer",
        "endpoint": "late",
        "version": 3,
        "request_id": "r1",
    }
    assert set(msgspec.json.decode(second)) == {"time", "milliseconds", "method", "path", "status", "sent", "protocol"}


def test_nothing_is_started_when_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    afterwards = Afterwards("", traced=True)
    assert not afterwards.is_on
    afterwards.close()


def test_a_request_is_a_span_of_its_own_times_below_the_callers(collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    afterwards = Afterwards("", traced=True)
    afterwards.tell(told(traceparent=f"00-{trace}-{parent}-01"))
    afterwards.tell(told(status=500))
    afterwards.close()
    below, alone = collector.spans
    assert (below.trace_id.hex(), below.parent_span_id.hex()) == (trace, parent)
    assert below.kind == Span.SPAN_KIND_SERVER
    assert (below.start_time_unix_nano, below.end_time_unix_nano) == (AT * 1_000, AT * 1_000 + 2_500_000)
    said = {one.key: one.value for one in below.attributes}
    assert said["homeostat.version"].int_value == 3
    assert said["http.response.status_code"].int_value == 200
    assert (alone.parent_span_id, alone.status.code) == (b"", 2)


def test_a_caller_who_does_not_sample_is_not_traced(collector: Collector) -> None:
    afterwards = Afterwards("", traced=True)
    afterwards.tell(told(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"))
    afterwards.close()
    assert collector.spans == []


def test_what_finds_the_queue_full_is_dropped_and_counted(tmp_path: Path) -> None:
    afterwards = Afterwards(str(tmp_path / "access.log"), traced=False)
    for _ in range(MAX_WAITING + 10_000):
        afterwards.tell(told())
    afterwards.close()
    written = (tmp_path / "access.log").read_bytes().count(b"\n")
    assert written + afterwards.dropped == MAX_WAITING + 10_000
