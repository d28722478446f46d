"""MLflow's traces: exact shapes and codes on the wire, spans by OpenTelemetry."""

import gzip
import json
from typing import Any

import httpx
import pytest
from mlflow_helpers import Mlflow
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeostat.ground.access import Identity

V2, V3 = "/api/2.0/mlflow/traces", "/api/3.0/mlflow/traces"
TRACE = "tr-" + "0a" * 16
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
INVALID = (400, "INVALID_PARAMETER_VALUE")
START = 1_795_408_849_539_074_424


def info(trace_id: str = TRACE, **more: Any) -> dict[str, Any]:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    body = {"trace_id": trace_id, "trace_location": location, "request_time": "2026-11-23T04:40:49.539Z"}
    return body | {"execution_duration": "0.008s", "state": "OK"} | more


def start(mlflow: Mlflow, **more: Any) -> httpx.Response:
    return mlflow.request("POST", V3, json={"trace": {"trace_info": info(**more)}})


def export(*spans: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for given in spans:
        span = scope.spans.add()
        span.trace_id = given.get("trace_id", b"\x0a" * 16)
        span.span_id = given.get("span_id", b"\x01" * 8)
        span.parent_span_id = given.get("parent", b"")
        span.name = given.get("name", "f")
        span.start_time_unix_nano, span.end_time_unix_nano = START, START + 8_000_000
        for key, value in given.get("attributes", {}).items():
            item = span.attributes.add()
            item.key = key
            if isinstance(value, int):
                item.value.int_value = value
            else:
                item.value.string_value = value
    return request.SerializeToString()


def send(mlflow: Mlflow, body: bytes, **headers: str) -> httpx.Response:
    named = {"x-mlflow-experiment-id": "0", "content-type": "application/x-protobuf"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return mlflow.request("POST", "/v1/traces", content=body, headers=named)


def search(mlflow: Mlflow, text: str = "", **more: Any) -> dict[str, Any]:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    reply = mlflow.request("POST", f"{V3}/search", json={"locations": [location], "filter": text} | more)
    assert reply.status_code == 200, reply.text
    return reply.json()  # type: ignore[no-any-return]


def problem(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error_code"]


def test_a_trace_comes_back_as_mlflow_shows_it(mlflow: Mlflow) -> None:
    more = {"request_preview": "{}", "trace_metadata": {"mlflow.user": "ada"}, "tags": {"mlflow.traceName": "f"}}
    shown = start(mlflow, **more, client_request_id="mine").json()["trace"]["trace_info"]
    assert shown == info(client_request_id="mine") | more | {
        "trace_metadata": {"mlflow.user": "ada", "mlflow.trace.infoFinalized": "true"},
        "tags": {
            "mlflow.traceName": "f",
            "mlflow.artifactLocation": f"mlflow-artifacts:/0/traces/{TRACE}/artifacts",
        },
    }
    assert mlflow.request("GET", f"{V3}/{TRACE}").json()["trace"]["trace_info"] == shown
    assert search(mlflow)["traces"] == [shown]


def test_spans_by_opentelemetry_come_back_in_proto_json(mlflow: Mlflow) -> None:
    start(mlflow)
    spans = export(
        {"name": "f", "attributes": {"mlflow.traceRequestId": f'"{TRACE}"', "mlflow.spanType": '"LLM"'}},
        {"name": "g", "span_id": b"\x02" * 8, "parent": b"\x01" * 8, "attributes": {"n": 2**53 + 1}},
    )
    reply = send(mlflow, gzip.compress(spans), content_encoding="gzip")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/x-protobuf")
    (trace,) = mlflow.request("GET", f"{V3}/batchGet", params={"trace_ids": [TRACE, "tr-none"]}).json()["traces"]
    first, second = trace["spans"]
    assert trace["trace_info"]["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert first["start_time_unix_nano"] == START and first["trace_id"] == "CgoKCgoKCgoKCgoKCgoKCg=="
    assert second["attributes"] == [{"key": "n", "value": {"int_value": 2**53 + 1}}]
    assert mlflow.request("GET", f"{V3}/get", params={"trace_id": TRACE}).json()["trace"] == trace
    infos = mlflow.request("POST", f"{V3}/batchGetInfos", json={"trace_ids": [TRACE]}).json()["trace_infos"]
    assert infos == [trace["trace_info"]]
    assert len(search(mlflow, "span.type = 'LLM' AND span.name = 'g'")["traces"]) == 1


def test_spans_alone_make_a_trace(mlflow: Mlflow) -> None:
    assert send(mlflow, export({"attributes": {"mlflow.spanInputs": '{"x": 1}'}})).status_code == 200
    (found,) = search(mlflow)["traces"]
    assert (found["trace_id"], found["state"], found["execution_duration"]) == (TRACE, "OK", "0.008s")
    assert found["request_preview"] == '{"x": 1}' and found["tags"]["mlflow.traceName"] == "f"


def test_spans_may_be_json_with_ids_in_hex(mlflow_sqlite: Mlflow) -> None:
    span = {"traceId": "0a" * 16, "spanId": "01" * 8, "name": "f", "startTimeUnixNano": str(START)}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    reply = send(mlflow_sqlite, json.dumps(body).encode(), content_type="application/json; charset=utf-8")
    assert (reply.status_code, reply.json()) == (200, {})
    assert search(mlflow_sqlite)["traces"][0]["state"] == "IN_PROGRESS"


def test_what_is_no_export_is_refused_and_nothing_is_kept(mlflow_sqlite: Mlflow) -> None:
    mlflow, good = mlflow_sqlite, export({})
    short = export({}, {"span_id": b"\x01"})
    assert problem(send(mlflow, good, x_mlflow_experiment_id="")) == INVALID
    assert problem(send(mlflow, good, x_mlflow_experiment_id="77")) == MISSING
    assert problem(send(mlflow, good, content_type="text/plain")) == INVALID
    assert problem(send(mlflow, good, content_encoding="gzip")) == INVALID
    assert problem(send(mlflow, good, content_encoding="br")) == INVALID
    assert problem(send(mlflow, b"\xff\xff\xff")) == INVALID
    assert problem(send(mlflow, b"")) == INVALID
    assert problem(send(mlflow, b'{"resourceSpans": 3}', content_type="application/json")) == INVALID
    assert problem(send(mlflow, b"[1]", content_type="application/json")) == INVALID
    assert problem(send(mlflow, short)) == INVALID
    assert search(mlflow) == {}


def test_a_small_body_that_unpacks_to_much_is_refused(mlflow_sqlite: Mlflow) -> None:
    bomb = gzip.compress(b"\x00" * (65 << 20))
    assert problem(send(mlflow_sqlite, bomb, content_encoding="gzip")) == INVALID


def test_pages_follow_each_other(mlflow: Mlflow) -> None:
    for number in range(3):
        start(mlflow, trace_id=f"tr-{number}", request_time=f"2026-11-23T04:40:4{number}Z")
    first = search(mlflow, max_results=2)
    rest = search(mlflow, max_results=2, page_token=first["next_page_token"])
    assert [one["trace_id"] for one in first["traces"] + rest["traces"]] == ["tr-2", "tr-1", "tr-0"]
    assert "next_page_token" not in rest


def test_tags_keep_to_their_limits_under_both_versions(mlflow: Mlflow) -> None:
    start(mlflow)
    for base in (V2, V3):
        assert mlflow.request("PATCH", f"{base}/{TRACE}/tags", json={"key": "k", "value": "v" * 8000}).json() == {}
        assert mlflow.request("DELETE", f"{base}/{TRACE}/tags", json={"key": "k"}).json() == {}
        assert problem(mlflow.request("DELETE", f"{base}/{TRACE}/tags", json={"key": "k"})) == MISSING
        for bad in ({"key": "k" * 251, "value": ""}, {"key": "k", "value": "v" * 8001}, {"value": "v"}):
            assert problem(mlflow.request("PATCH", f"{base}/{TRACE}/tags", json=bad)) == INVALID
        assert problem(mlflow.request("PATCH", f"{base}/tr-none/tags", json={"key": "k", "value": "v"})) == MISSING


def test_what_is_wrong_is_named(mlflow_sqlite: Mlflow) -> None:
    mlflow = mlflow_sqlite
    for more in ({"state": "ODD"}, {"request_time": "now"}, {"execution_duration": "8"}, {"trace_location": {}}):
        assert problem(start(mlflow, **more)) == INVALID
    assert problem(start(mlflow, tags={"k" * 251: "v"})) == INVALID
    assert problem(start(mlflow, trace_metadata={"k": "v" * 8001})) == INVALID
    assert problem(mlflow.request("POST", V3, json={})) == INVALID
    assert problem(mlflow.request("POST", f"{V3}/search", json={})) == INVALID
    assert problem(mlflow.request("GET", f"{V3}/tr-none")) == MISSING
    assert problem(mlflow.request("GET", f"{V3}/get", params={"trace_id": "tr-none"})) == MISSING
    for more in ({"max_results": 0}, {"max_results": 501}, {"page_token": "x"}, {"filter": "colour = 'x'"}):
        location = {"mlflow_experiment": {"experiment_id": "0"}}
        assert problem(mlflow.request("POST", f"{V3}/search", json={"locations": [location]} | more)) == INVALID


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"request_ids": ["tr-1"], "max_timestamp_millis": 5},
        {"request_ids": ["tr-1"], "max_traces": 5},
        {"max_timestamp_millis": 5, "max_traces": 0},
        {"max_timestamp_millis": -1},
    ],
)
def test_a_deletion_says_exactly_what_goes(mlflow_sqlite: Mlflow, more: dict[str, Any]) -> None:
    reply = mlflow_sqlite.request("POST", f"{V2}/delete-traces", json={"experiment_id": "0"} | more)
    assert problem(reply) == INVALID


def test_deleted_traces_are_counted_and_gone(mlflow: Mlflow) -> None:
    for number in range(3):
        start(mlflow, trace_id=f"tr-{number}", request_time=f"2026-11-23T04:40:4{number}Z")
    by_id = {"experiment_id": "0", "request_ids": ["tr-2", "tr-none"]}
    assert mlflow.request("POST", f"{V3}/delete-traces", json=by_id).json() == {"traces_deleted": 1}
    by_age = {"experiment_id": "0", "max_timestamp_millis": 1_795_408_900_000, "max_traces": 1}
    assert mlflow.request("POST", f"{V2}/delete-traces", json=by_age).json() == {"traces_deleted": 1}
    assert [one["trace_id"] for one in search(mlflow)["traces"]] == ["tr-1"]
    assert start(mlflow, trace_id="tr-2").status_code == 200


def test_clients_before_version_3_begin_and_end_a_trace(mlflow: Mlflow) -> None:
    tags = [{"key": "k", "value": "v"}]
    begun = mlflow.request("POST", V2, json={"experiment_id": "0", "timestamp_ms": 5, "tags": tags}).json()[
        "trace_info"
    ]
    assert begun["status"] == "IN_PROGRESS" and begun["timestamp_ms"] == 5
    trace_id = begun["request_id"]
    ended = mlflow.request("PATCH", f"{V2}/{trace_id}", json={"timestamp_ms": 25, "status": "OK"}).json()["trace_info"]
    assert (ended["status"], ended["execution_time_ms"]) == ("OK", 20)
    assert mlflow.request("GET", f"{V2}/{trace_id}/info").json()["trace_info"] == ended
    found = mlflow.request("GET", V2, params={"experiment_ids": ["0"], "filter": "tags.k = 'v'"}).json()["traces"]
    assert found == [ended]


def test_assessments_are_logged_changed_replaced_and_deleted(mlflow: Mlflow) -> None:
    start(mlflow)
    base = f"{V3}/{TRACE}/assessments"
    body = {"assessment_name": "good", "feedback": {"value": True}, "rationale": "r", "metadata": {"a": "1"}}
    made = mlflow.request("POST", base, json={"assessment": body}).json()["assessment"]
    assert made["valid"] and made["create_time"] == made["last_update_time"] and made["trace_id"] == TRACE
    one = f"{base}/{made['assessment_id']}"
    change = {"assessment": {"feedback": {"value": 2.5}, "rationale": "no"}, "update_mask": "feedback"}
    changed = mlflow.request("PATCH", one, json=change).json()["assessment"]
    assert (changed["feedback"], changed["rationale"]) == ({"value": 2.5}, "r")
    assert mlflow.request("GET", one).json()["assessment"] == changed
    heir = mlflow.request("POST", base, json={"assessment": body | {"overrides": made["assessment_id"]}}).json()
    assert mlflow.request("GET", one).json()["assessment"]["valid"] is False
    assert mlflow.request("DELETE", f"{base}/{heir['assessment']['assessment_id']}").json() == {}
    assert mlflow.request("GET", one).json()["assessment"]["valid"] is True
    expectation = {"assessment": {"expectation": {"value": 1}}, "update_mask": "expectation"}
    assert problem(mlflow.request("PATCH", one, json=expectation)) == INVALID
    assert problem(mlflow.request("POST", base, json={"assessment": {"assessment_name": "x"}})) == INVALID
    assert problem(mlflow.request("POST", base, json={"assessment": {"feedback": {"value": 1}}})) == INVALID
    assert problem(mlflow.request("GET", f"{base}/a-none")) == MISSING
    odd = b'{"assessment": {"assessment_name": "odd", "feedback": {"value": "\\ud800\\u0000"}}}'
    kept = mlflow.request("POST", base, content=odd).json()["assessment"]
    assert kept["feedback"]["value"] == "?\ufffd"
    assert problem(mlflow.request("POST", f"{V3}/tr-none/assessments", json={"assessment": body})) == MISSING


def test_assessments_that_come_with_a_trace_are_kept(mlflow: Mlflow) -> None:
    said = {"assessment_name": "good", "feedback": {"value": "yes"}, "source": {"source_type": "HUMAN"}}
    assert (
        start(mlflow, assessments=[said]).json()["trace"]["trace_info"]["assessments"][0]["feedback"]
        == said["feedback"]
    )
    assert len(search(mlflow, "feedback.good = 'yes'")["traces"]) == 1


def test_a_token_of_another_project_reaches_no_trace(mlflow_sqlite: Mlflow) -> None:
    mlflow, denied = mlflow_sqlite, (403, "PERMISSION_DENIED")
    start(mlflow)
    mlflow.identity = Identity("ci", frozenset({"read", "write"}), frozenset({"other"}))
    assert problem(start(mlflow, trace_id="tr-2")) == denied
    assert problem(send(mlflow, export({}))) == denied
    assert problem(mlflow.request("GET", f"{V3}/{TRACE}")) == denied
    assert problem(mlflow.request("PATCH", f"{V2}/{TRACE}/tags", json={"key": "k", "value": "v"})) == denied
    by_id = {"experiment_id": "0", "request_ids": [TRACE]}
    assert problem(mlflow.request("POST", f"{V2}/delete-traces", json=by_id)) == denied
    assert mlflow.request("GET", f"{V3}/batchGet", params={"trace_ids": [TRACE]}).json() == {"traces": []}
