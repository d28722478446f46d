import base64
import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from litestar import get
from running_server import Running

from homeostat.compat.mlflow.endpoints import all_routes
from homeostat.compat.mlflow.routing import paths_of
from homeostat.ground.access import Identity
from homeostat.ground.clock import to_iso
from homeostat.ground.errors import Denied
from homeostat.server.access import _check_rule
from homeostat.server.app import build_app
from homeostat.server.bodies import TokenBody
from homeostat.server.guard import Door, check_bind
from homeostat.server.permissions import PermissionTable


def raw(server: Running, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> tuple[int, str]:
    """A request whose headers are exactly these."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for key, value in headers:
        connection.putheader(key, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_without_tokens_this_machine_may_do_everything(start: Callable[..., Running]) -> None:
    server = start()
    assert server.call("GET", "/api/models").json() == []
    assert server.call("GET", "/api/tokens").status_code == 200


def test_a_request_without_a_token_is_told_how_to_get_one(guarded: Running) -> None:
    answer = guarded.call("GET", "/api/models")
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"] and "Basic" in answer.headers["www-authenticate"]
    assert answer.json()["code"] == "unauthenticated"
    assert "homeostat token create" in answer.json()["next_step"]


@pytest.mark.parametrize("token", ["", "hs_" + "x" * 43, "nonsense", "hs_ä", "x" * 20_000])
def test_a_wrong_token_is_refused(guarded: Running, token: str) -> None:
    credentials = base64.b64encode(f"me:{token}".encode()).decode()
    answer = guarded.call("GET", "/api/models", headers={"Authorization": f"Basic {credentials}"})
    assert answer.status_code in {401, 431}


@pytest.mark.parametrize("header", ["Basic !!!", "Basic", "Bearer", "Digest abc", "Basic bWU="])
def test_a_malformed_authorization_is_a_missing_one(guarded: Running, header: str) -> None:
    assert guarded.call("GET", "/api/models", headers={"Authorization": header}).status_code == 401


def test_a_token_opens_as_bearer_and_as_basic_password(guarded_on_both: Running) -> None:
    server = guarded_on_both
    token = server.make_token()
    assert server.call("GET", "/api/models", token).status_code == 200
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    assert server.call("GET", "/api/models", headers={"Authorization": f"Basic {basic}"}).status_code == 200


def test_a_revoked_token_is_refused_at_once(guarded_on_both: Running) -> None:
    server = guarded_on_both
    admin, token = server.make_token("boss", permissions=["admin"]), server.make_token("ci")
    assert server.call("GET", "/api/models", token).status_code == 200
    known = {row["name"]: row["id"] for row in server.call("GET", "/api/tokens", admin).json()}
    assert server.call("DELETE", f"/api/tokens/{known['ci']}", admin).json()["revoked"]
    assert server.call("GET", "/api/models", token).status_code == 401


def test_an_expired_token_is_refused(guarded: Running) -> None:
    token = guarded.make_token(expires="600ms")
    assert guarded.call("GET", "/api/models", token).status_code == 200
    time.sleep(0.7)
    answer = guarded.call("GET", "/api/models", token)
    assert answer.status_code == 401 and "expired" in answer.json()["error"]


def test_each_permission_opens_its_own_routes_only(guarded: Running) -> None:
    reader = guarded.make_token(permissions=["read"])
    assert guarded.call("GET", "/api/runs", reader).status_code == 200
    answer = guarded.call("POST", "/api/labels", reader, json={"model": "x", "labels": []})
    assert answer.status_code == 403 and "'write'" in answer.json()["error"]
    writer = guarded.make_token(permissions=["write"])
    assert guarded.call("GET", "/api/runs", writer).status_code == 403
    assert guarded.call("POST", "/api/models/x/rollback", writer, json={}).status_code == 403
    assert guarded.call("GET", "/api/tokens", writer).status_code == 403
    unload = guarded.call("POST", "/v2/repository/models/x/unload", reader)
    assert unload.status_code == 403 and "'deploy'" in unload.json()["error"]
    deployer = guarded.make_token(permissions=["deploy"])
    assert guarded.call("POST", "/api/models/x/rollback", deployer, json={}).status_code == 404


def test_a_token_of_one_project_reaches_no_other(guarded_on_both: Running) -> None:
    server = guarded_on_both
    token = server.make_token(projects=["mine"], permissions=["read", "write", "deploy"])
    assert server.call("GET", "/api/models/mine", token).status_code == 404  # let in; there is no such model
    for path in ("/api/models/theirs", "/api/models/theirs/ledger", "/api/runs?project=theirs", "/api/events"):
        answer = server.call("GET", path, token)
        assert answer.status_code == 403, path
        assert answer.json()["field"] == "project"
    labels = {"model": "theirs", "labels": []}
    assert server.call("POST", "/api/labels", token, json=labels).status_code == 403
    assert server.call("GET", "/v2/models/theirs", token).status_code == 403
    assert server.call("POST", "/predict/theirs", token, json={}).status_code == 403
    assert server.call("POST", "/v2/repository/models/theirs/load", token).status_code == 403
    assert server.call("POST", "/invocations", token, json={}).status_code == 403
    assert server.call("GET", "/api/runs", token).json() == []


def test_the_secret_is_shown_once_and_kept_as_a_hash(guarded_on_both: Running) -> None:
    server = guarded_on_both
    admin = server.make_token("boss", permissions=["admin"])
    made = server.call("POST", "/api/tokens", admin, json={"name": "new", "projects": ["p"], "expires": "90d"}).json()
    assert server.call("GET", "/api/tokens", made["secret"]).status_code == 403
    listed = server.call("GET", "/api/tokens", admin).text
    events = server.call("GET", "/api/events", admin).text
    with server.service.database.read() as conn:
        rows = str(conn.exec_driver_sql("select * from server_tokens").all())
    for text in (listed, events, rows):
        assert made["secret"] not in text and made["secret"][3:] not in text


def test_the_time_of_last_use_is_noted(guarded_on_both: Running) -> None:
    token = guarded_on_both.make_token()
    guarded_on_both.call("GET", "/api/models", token)
    deadline = time.monotonic() + 10
    while guarded_on_both.service.tokens()[0]["used"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "permissions": ["root"]}, "permissions"),
        ({"name": "x", "permissions": []}, "permissions"),
        ({"name": "x", "projects": []}, "projects"),
        ({"name": "x", "expires": "2001-01-01T00:00:00Z"}, "expires"),
        ({"name": "x", "expires": "soon"}, "expires"),
        ({"name": "a b"}, "name"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(guarded: Running, body: dict[str, object], field: str) -> None:
    admin = guarded.make_token("boss", permissions=["admin"])
    answer = guarded.call("POST", "/api/tokens", admin, json=body)
    assert answer.status_code == 400 and answer.json()["field"] == field


def test_with_tokens_the_actor_is_whoever_sent_it(guarded: Running) -> None:
    token = guarded.make_token("nightly", permissions=["admin"])
    made = guarded.call("POST", "/api/tokens", token, json={"name": "x"}).json()
    assert made["actor"] == "nightly"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1"])
def test_a_host_that_is_not_ours_is_refused_with_the_setting_to_change(
    start: Callable[..., Running], host: str
) -> None:
    status, text = raw(start(), "GET", "/api/models", [("Host", host)])
    assert status == 400 or (status == 403 and "HOMEOSTAT_ALLOWED_HOSTS" in text)


def test_two_host_headers_match_nothing(start: Callable[..., Running]) -> None:
    status, _ = raw(start(), "GET", "/api/models", [("Host", "localhost"), ("Host", "evil.example")])
    assert status in {400, 403}


def test_an_allowed_host_and_its_subdomains_are_let_in(start: Callable[..., Running]) -> None:
    server = start(allowed_hosts="mlops.internal, .example.com")
    for host, wanted in (("mlops.internal:80", 200), ("a.example.com", 200), ("example.org", 403)):
        assert raw(server, "GET", "/api/models", [("Host", host)])[0] == wanted


def test_another_sites_page_is_refused_with_the_setting_to_change(start: Callable[..., Running]) -> None:
    answer = start().call("POST", "/api/labels", headers={"Origin": "https://evil.example"}, json={})
    assert answer.status_code == 403
    assert "HOMEOSTAT_ALLOWED_ORIGINS=https://evil.example" in answer.json()["error"]
    assert start().call("GET", "/api/models", headers={"Origin": "null"}).status_code == 403


def test_an_allowed_origin_may_read_the_answer(start: Callable[..., Running]) -> None:
    server, origin = start(allowed_origins="https://page.example"), "https://page.example"
    answer = server.call("GET", "/api/models", headers={"Origin": origin})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == origin
    assert server.call("OPTIONS", "/api/labels", headers={"Origin": origin}).status_code == 204


def test_our_own_page_may_call(start: Callable[..., Running]) -> None:
    server = start()
    assert server.call("GET", "/api/models", headers={"Origin": server.url}).status_code == 200


def test_every_route_has_an_entry_and_an_unlisted_one_is_denied(start: Callable[..., Running]) -> None:
    service = start().service
    table = build_app(service, tick=dict, serving_url=lambda: "").table
    entries = [entry for entry in table.entries() if not entry[1].startswith("/api/schema")]
    assert len(entries) > 15
    for method, path, needs in entries:
        assert needs is not None or method == "OPTIONS", f"{method} {path} says not what it needs"

    @get("/api/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "secret"

    from litestar import Litestar

    table = PermissionTable()
    table.add_litestar(Litestar([forgotten]).routes)
    everything = Identity("boss", frozenset({"read", "write", "deploy", "admin"}))
    scope = {"method": "GET", "path": "/api/forgotten"}
    with pytest.raises(Denied, match="no entry in the table"):
        _check_rule(table.find("GET", "/api/forgotten"), scope, everything)


def test_every_route_but_the_public_ones_is_closed_without_a_token(guarded: Running) -> None:
    table = build_app(guarded.service, tick=dict, serving_url=lambda: "").table
    for method, path, needs in table.entries():
        if method == "OPTIONS":
            continue
        concrete = path.replace(r"\-", "-").replace("(?P<", "{").replace(">[^/]+)", "}").replace(">.+)", "}")
        assert guarded.call(method, concrete).status_code == (200 if needs == "public" else 401), path
    for path in ("/v2", "/v2/repository/index", "/invocations", "/endpoints/x/invocations", "/api/2.0/mlflow/x", "/x"):
        assert guarded.call("POST", path).status_code == 401, path


def test_an_unknown_path_and_a_wrong_method_say_so(start: Callable[..., Running]) -> None:
    server = start()
    assert server.call("GET", "/api/nowhere").status_code == 404
    answer = server.call("DELETE", "/api/models")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, POST"


def test_every_mlflow_endpoint_has_an_entry_and_is_closed_without_a_token(guarded: Running) -> None:
    table = build_app(guarded.service, tick=dict, serving_url=lambda: "").table
    routes = all_routes()
    places = [(method, path, route.needs) for route in routes for path in paths_of(route) for method in route.methods]
    assert len(places) > 40
    for method, path, needs in places:
        concrete = path.replace("{", "").replace("}", "")
        rule = table.find(method, concrete)
        assert rule is not None and rule.needs in {needs, "public"}, f"{method} {path}"
        if rule.needs != "public":
            assert guarded.call(method, concrete).status_code == 401, f"{method} {path}"


def test_an_admin_of_one_project_makes_no_tokens_and_no_webhooks(guarded: Running) -> None:
    token = guarded.make_token(permissions=["admin"], projects=["mine"])
    for path in ("/api/tokens", "/api/webhooks", "/api/2.0/mlflow/webhooks"):
        assert guarded.call("GET", path, token).status_code == 403, path


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow"])
def test_mlflow_clients_are_refused_in_their_own_words(guarded: Running, prefix: str) -> None:
    answer = guarded.call("GET", f"{prefix}/experiments/get?experiment_id=0")
    assert answer.status_code == 401 and answer.headers["www-authenticate"]
    assert answer.json()["error_code"] == "UNAUTHENTICATED"


def test_a_large_body_is_refused_before_it_is_read(start: Callable[..., Running]) -> None:
    server = start(max_body_mb=1)
    headers = [("Host", "localhost"), ("Content-Length", str(5 << 20)), ("Content-Type", "application/json")]
    status, text = raw(server, "POST", "/api/labels", headers)
    assert status == 413 and "HOMEOSTAT_MAX_BODY_MB" in text


def test_a_large_body_in_chunks_is_refused_too(start: Callable[..., Running]) -> None:
    server = start(max_body_mb=1)

    def chunks() -> object:
        for _ in range(40):
            yield b" " * (64 << 10)

    answer = server.call("POST", "/api/labels", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and answer.json()["code"] == "too_large"


@pytest.mark.parametrize("levels", [101, 999, 5_000, 1_000_000])
def test_deep_json_is_an_error_of_the_caller(start: Callable[..., Running], levels: int) -> None:
    server = start()
    body = b'{"rows":[{"x":' + b"[" * levels + b"]" * levels + b"}]}"
    for kind in ("application/json", "application/octet-stream"):
        answer = server.call("POST", "/api/sources/s/rows", content=body, headers={"Content-Type": kind})
        assert answer.status_code in ({400} if kind == "application/json" or levels > 999 else {400, 404})
    assert server.call("GET", "/api/health").status_code == 200


def test_brackets_in_strings_are_no_levels(start: Callable[..., Running]) -> None:
    text = '[{"\\' * 500
    answer = start().call("POST", "/api/sources/s/rows", json={"rows": [{"x": text, "y": list(range(300))}] * 200})
    assert answer.status_code == 404  # read whole; there is no such source


def test_a_public_address_wants_authentication_and_a_token() -> None:
    with pytest.raises(Denied, match="HOMEOSTAT_AUTH=required"):
        check_bind("0.0.0.0")
    with pytest.raises(Denied, match="homeostat token create"):
        check_bind("0.0.0.0", auth="required", has_token=False)
    check_bind("0.0.0.0", auth="required", has_token=True)
    check_bind("127.0.0.1")


def test_on_a_public_address_an_address_in_the_host_header_is_ours_and_a_name_is_not() -> None:
    door = Door("0.0.0.0")
    door.check_host("10.1.2.3:7700")
    with pytest.raises(Denied, match="HOMEOSTAT_ALLOWED_HOSTS"):
        door.check_host("rebound.example:7700")
    with pytest.raises(Denied):
        Door("127.0.0.1").check_host("10.1.2.3:7700")


def test_a_token_body_reads_times_and_durations(guarded: Running) -> None:
    ends = to_iso(int(time.time() + 86_400) * 1_000_000)
    assert guarded.service.create_token(TokenBody(name="x", expires=ends), actor="t")["expires"] == ends
