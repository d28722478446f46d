"""The protocol itself: routes, decoding, errors. What a real client does is in test_mlflow_clients.py."""

import json
import sqlite3
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from mlflow_helpers import API, DENIED, Mlflow

from homeostat.compat.mlflow.app import is_ours
from homeostat.compat.mlflow.endpoints import all_routes
from homeostat.compat.mlflow.failures import failure_of
from homeostat.compat.mlflow.routing import paths_of
from homeostat.ground.access import Identity
from homeostat.ground.errors import Corrupt, Denied, Unavailable


def test_plain_routes_answer_as_an_mlflow_server_does(mlflow_sqlite: Mlflow) -> None:
    assert mlflow_sqlite.request("GET", "/health").text == "OK"
    assert mlflow_sqlite.request("GET", "/version").text.startswith("3.")
    info = mlflow_sqlite.request("GET", "/api/3.0/mlflow/server-info").json()
    assert info["multipart_uploads_enabled"] is False
    assert info["workspaces_enabled"] is False


@pytest.mark.parametrize("prefix", ["/api/2.0", "/ajax-api/2.0"])
def test_programs_and_browsers_have_the_same_routes(mlflow_sqlite: Mlflow, prefix: str) -> None:
    reply = mlflow_sqlite.request("GET", f"{prefix}/mlflow/experiments/get", params={"experiment_id": "0"})
    assert reply.json()["experiment"]["name"] == "Default"
    assert reply.json()["experiment"]["artifact_location"] == "mlflow-artifacts:/0"


def test_every_route_is_under_a_prefix_that_the_server_hands_over() -> None:
    assert [path for route in all_routes() for path in paths_of(route) if not is_ours(path)] == []


def test_an_unknown_endpoint_and_a_wrong_method_are_told_apart(mlflow_sqlite: Mlflow) -> None:
    unknown = mlflow_sqlite.request("POST", f"{API}/gateway/create", json={})
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    wrong = mlflow_sqlite.request("DELETE", f"{API}/runs/create")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    options = mlflow_sqlite.request("OPTIONS", f"{API}/runs/get")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    head = mlflow_sqlite.request("HEAD", f"{API}/experiments/get?experiment_id=0")
    assert (head.status_code, head.content) == (200, b"")


def test_old_page_links_lead_to_our_page(mlflow_sqlite: Mlflow) -> None:
    for path in ("/experiments/1/runs/abc", "/models/iris/versions/3", "/experiments"):
        answer = mlflow_sqlite.request("GET", path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")


def test_an_error_has_mlflows_envelope(mlflow_sqlite: Mlflow) -> None:
    answer = mlflow_sqlite.request("GET", f"{API}/runs/get", params={"run_id": "0" * 32})
    assert answer.status_code == 404
    assert answer.json() == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": f"Run with id={'0' * 32} not found",
        "sqlstate": "KAM00",
        "error_class": "RESOURCE_NOT_FOUND",
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "BAD_REQUEST"),
        (b"nonsense", "BAD_REQUEST"),
        (b"\xff\xfe", "BAD_REQUEST"),
        (b"[1]", "INVALID_PARAMETER_VALUE"),
        (b"", "INVALID_PARAMETER_VALUE"),
        (b"null", "INVALID_PARAMETER_VALUE"),
    ],
)
def test_a_body_that_is_no_object_is_refused(mlflow_sqlite: Mlflow, body: bytes, code: str) -> None:
    answer = mlflow_sqlite.request("POST", f"{API}/experiments/create", content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


def test_a_body_that_does_not_claim_to_be_json_is_refused(mlflow_sqlite: Mlflow) -> None:
    url = f"{API}/experiments/create"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = mlflow_sqlite.request("POST", url, content=b'{"name": "x"}', headers={"content-type": kind})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    kind = "application/json; charset=utf-8"
    assert mlflow_sqlite.request("POST", url, content=b'{"name": "x"}', headers={"content-type": kind}).is_success


def test_a_value_of_the_wrong_type_is_refused_by_name(mlflow_sqlite: Mlflow) -> None:
    assert "start_time" in mlflow_sqlite.refused("/runs/create", experiment_id="0", start_time="soon")
    assert "tags" in mlflow_sqlite.refused("/runs/create", experiment_id="0", tags="a")
    assert "experiment_id" in mlflow_sqlite.refused("/runs/create", experiment_id=0)
    run_id = mlflow_sqlite.start()
    bad = {"key": "a", "value": True, "timestamp": 1}
    assert "value" in mlflow_sqlite.refused("/runs/log-batch", run_id=run_id, metrics=[bad])
    answer = mlflow_sqlite.request("GET", f"{API}/experiments/search", params={"max_results": "many"})
    assert "max_results" in answer.json()["message"]


def test_proto_json_is_read_as_protobuf_reads_it(mlflow_sqlite: Mlflow) -> None:
    made = mlflow_sqlite.post("/runs/create", experiment_id="0", start_time="1000", run_name=None, unknown=[{}])
    run_id = made["run"]["info"]["run_id"]
    mlflow_sqlite.post("/runs/set-tag", run_uuid=run_id, key="k", value=None)
    body = f'{{"run_id": "{run_id}", "key": "m", "value": NaN, "timestamp": "5", "step": "7"}}'
    assert mlflow_sqlite.request("POST", f"{API}/runs/log-metric", content=body).status_code == 200
    twice = json.dumps(json.dumps({"run_id": run_id, "key": "p", "value": "1"}))
    assert mlflow_sqlite.request("POST", f"{API}/runs/log-parameter", content=twice).status_code == 200
    data = mlflow_sqlite.run(run_id)["data"]
    assert data["metrics"] == [{"key": "m", "value": "NaN", "timestamp": 5, "step": 7}]
    assert {"key": "k", "value": ""} in data["tags"]
    assert data["params"] == [{"key": "p", "value": "1"}]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/experiments/create", {}, "name"),
        ("/experiments/update", {"experiment_id": "0"}, "new_name"),
        ("/experiments/set-experiment-tag", {"experiment_id": "0"}, "key"),
        ("/experiments/delete", {}, "experiment_id"),
        ("/runs/log-metric", {"key": "a", "value": 1, "timestamp": 1}, "run_id"),
        ("/runs/log-metric", {"run_id": "R", "value": 1, "timestamp": 1}, "key"),
        ("/runs/log-metric", {"run_id": "R", "key": "a", "timestamp": 1}, "value"),
        ("/runs/log-metric", {"run_id": "R", "key": "a", "value": 1}, "timestamp"),
        ("/runs/log-batch", {"run_id": "R", "metrics": [{"key": "a", "timestamp": 1}]}, "value"),
        ("/runs/log-batch", {"run_id": "R", "params": [{"value": "1"}]}, "params[0].key"),
        ("/runs/outputs", {"run_id": "R"}, "models"),
        ("/runs/log-inputs", {"run_id": "R", "datasets": [{"dataset": {"name": "a"}}]}, "digest"),
    ],
)
def test_what_is_missing_is_named(mlflow_sqlite: Mlflow, path: str, body: dict[str, object], field: str) -> None:
    if body.get("run_id") == "R":
        body = body | {"run_id": mlflow_sqlite.start()}
    message = mlflow_sqlite.refused(path, **body)
    assert "Missing value for required parameter" in message
    assert field in message


ODD = ["\x00", "a\x00b", "\ud800", "😀", "' or 1=1 --", "%s", "\u202e", "a" * 100_000]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_text_in_any_parameter_never_breaks_the_server(mlflow: Mlflow, odd: str) -> None:
    run_id = mlflow.start()
    body = dict.fromkeys(("name", "new_name", "key", "value", "filter", "page_token", "experiment_name"), odd)
    body |= {"run_id": run_id, "experiment_id": "0", "experiment_ids": ["0"], "metric_key": odd, "user_id": odd}
    body |= {"timestamp": 1, "path": odd, "run_name": odd, "model_json": odd, "artifact_location": odd}
    body |= {"params": [{"key": "p", "value": odd}], "tags": [{"key": "t", "value": odd}], "order_by": [odd]}
    subjects = ("/mlflow/experiments/", "/mlflow/runs/", "/mlflow/metrics/", "/mlflow/artifacts/", "/mlflow-artifacts/")
    ours = [route for route in all_routes() if route.path.startswith(subjects) and "{" not in route.path]
    for route in ours:
        for method in route.methods:
            url = f"/api/2.0{route.path}"
            if method == "GET":
                sent = {key: value for key, value in body.items() if isinstance(value, str)}
                query = urlencode(sent, errors="surrogatepass") if len(odd) < 1000 else ""
                response = mlflow.request(method, f"{url}?{query}")
            else:
                response = mlflow.request(method, url, content=json.dumps(body).encode())
            assert response.status_code in (200, 400, 404), (method, url, response.text)
    assert mlflow.run(run_id)["info"]["run_id"] == run_id


def test_faults_of_the_server_tell_nothing_of_its_inside(capsys: pytest.CaptureFixture[str]) -> None:
    broken = sa.exc.IntegrityError("insert into secrets values (?)", ("hidden",), sqlite3.IntegrityError("UNIQUE"))
    full = sa.exc.OperationalError("insert", (), sqlite3.OperationalError("database or disk is full"))
    for error, status, code in (
        (broken, 500, "INTERNAL_ERROR"),
        (ValueError("/etc/passwd"), 500, "INTERNAL_ERROR"),
        (sa.exc.OperationalError("select 1", (), Exception("x")), 503, "TEMPORARILY_UNAVAILABLE"),
        (full, 503, "TEMPORARILY_UNAVAILABLE"),
        (OSError(28, "No space left on device", "/var/x"), 503, "TEMPORARILY_UNAVAILABLE"),
        (Unavailable("later"), 503, "TEMPORARILY_UNAVAILABLE"),
        (Denied("no"), 403, "PERMISSION_DENIED"),
        (Corrupt("changed"), 500, "DATA_LOSS"),
    ):
        failure = failure_of(error, conflict="RESOURCE_ALREADY_EXISTS", where="POST /x")
        assert (failure.status, failure.error_code) == (status, code)
        assert not any(word in failure.message for word in ("insert", "hidden", "UNIQUE", "/etc", "/var", "Traceback"))
    assert "disk is full" in failure_of(full, conflict="", where="").message
    assert "UNIQUE" in capsys.readouterr().err  # our log has it all


def test_a_token_of_one_project_reaches_no_other(mlflow_sqlite: Mlflow) -> None:
    mine = mlflow_sqlite.post("/experiments/create", name="mine")["experiment_id"]
    other = mlflow_sqlite.post("/experiments/create", name="other")["experiment_id"]
    hidden = mlflow_sqlite.start(other)
    shown = mlflow_sqlite.start(mine)
    files = "/api/2.0/mlflow-artifacts/artifacts"
    assert mlflow_sqlite.request("PUT", f"{files}/{other}/{hidden}/artifacts/x", content=b"x").status_code == 200
    mlflow_sqlite.identity = Identity("robot", frozenset({"read", "write"}), frozenset({"mine"}))
    for path, body in (
        ("/runs/log-metric", {"run_id": hidden, "key": "a", "value": 1, "timestamp": 1}),
        ("/runs/log-batch", {"run_id": hidden, "params": [{"key": "a", "value": "b"}]}),
        ("/runs/set-tag", {"run_id": hidden, "key": "a", "value": "b"}),
        ("/runs/update", {"run_id": hidden, "status": "FAILED"}),
        ("/runs/delete", {"run_id": hidden}),
        ("/runs/log-inputs", {"run_id": hidden}),
        ("/experiments/create", {"name": "third"}),
        ("/experiments/delete", {"experiment_id": other}),
        ("/experiments/update", {"experiment_id": mine, "new_name": "theirs"}),
    ):
        mlflow_sqlite.refused(path, DENIED, **body)
    for path in (
        f"{API}/runs/get?run_id={hidden}",
        f"{API}/metrics/get-history?run_id={hidden}&metric_key=a",
        f"{API}/artifacts/list?run_id={hidden}",
        f"{API}/experiments/get?experiment_id={other}",
        f"{files}/{other}/{hidden}/artifacts/x",
        f"{files}?path={other}/{hidden}/artifacts",
        f"{files}/{other}/x",
        f"/get-artifact?run_id={hidden}&path=x",
    ):
        assert mlflow_sqlite.request("GET", path).status_code == 403, path
    # Neither does a path that lies about where a run is.
    assert mlflow_sqlite.request("GET", f"{files}/{mine}/{hidden}/artifacts/x").status_code in (403, 404)
    found = mlflow_sqlite.post("/runs/search", experiment_ids=[mine, other])
    assert [run["info"]["run_id"] for run in found["runs"]] == [shown]
    names = [item["name"] for item in mlflow_sqlite.post("/experiments/search")["experiments"]]
    assert names == ["mine"]
