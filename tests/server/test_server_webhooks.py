import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from receiver import Receiver, receive
from running_server import Running

from homeostat.compat.mlflow import webhooks as mlflow_webhooks
from homeostat.compat.mlflow.webhook_bodies import body_of
from homeostat.compat.mlflow.webhooks import Create, WireEvent
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.access import LOCAL
from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.settings import Settings
from homeostat.loop.webhook_delivery import fan_out
from homeostat.loop.webhooks import WebhookChange as Change
from homeostat.loop.webhooks import change_webhook, create_webhook, list_webhooks, remove_webhook
from homeostat.server.webhooks import send_due
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.events import append_event
from homeostat.store.outbox import enqueue, outbox

CREATED = WireEvent("MODEL_VERSION", "CREATED")
SECRET = "s3cret-é"  # noqa: S105  signs in these tests alone


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as listening:
        yield listening


def make(database: Database, receiver: Receiver, *events: str, **options: Any) -> str:
    with database.write() as conn:
        allowed = frozenset({receiver.address})
        options = {"url": receiver.url, "name": "hook"} | options
        name = options.pop("name")
        return create_webhook(conn, name, events=events, allowed=allowed, at=1, actor="me", **options).id


def happen(database: Database, kind: str, subject: str = "m", **data: Any) -> str:
    with database.write() as conn:
        return append_event(conn, kind, subject=subject, at=1, actor="me", data=data)


def settings(receiver: Receiver, **given: Any) -> Settings:
    return Settings(webhook_allow=receiver.address, **given)


def test_every_subscribed_event_arrives_once_and_no_other(database: Database, receiver: Receiver) -> None:
    happen(database, "run.started")  # before the webhook
    make(database, receiver, "run.*", "alias.moved")
    for kind in ("run.ended", "model.created", "run.started"):
        happen(database, kind)
    happen(database, "alias.moved", alias="champion", to=2)
    for _ in range(3):
        send_due(database, settings(receiver))
    assert sorted(json.loads(body)["event"] for _, body in receiver.requests) == [
        "alias.moved",
        "run.ended",
        "run.started",
    ]


def test_a_delivery_is_signed_as_mlflow_signs(database: Database, receiver: Receiver) -> None:
    make(database, receiver, "run.ended", secret=SECRET)
    happen(database, "run.ended", "r1", status="finished")
    send_due(database, settings(receiver))
    headers, body = receiver.requests[0]
    signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{body.decode()}"
    wanted = base64.b64encode(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    assert headers["x-mlflow-signature"] == f"v1,{wanted}"
    assert json.loads(body)["data"] == {"status": "finished"}


def test_without_a_secret_nothing_is_signed_and_no_token_leaves(database: Database, receiver: Receiver) -> None:
    make(database, receiver, "*")
    happen(database, "run.ended")
    send_due(database, settings(receiver, token="hs_mine"))  # noqa: S106  opens nothing
    headers, body = receiver.requests[0]
    assert "x-mlflow-signature" not in headers and "authorization" not in headers
    assert b"hs_mine" not in body


def test_a_receiver_that_fails_gets_the_same_delivery_again(database: Database, receiver: Receiver) -> None:
    make(database, receiver, "run.ended")
    happen(database, "run.ended")
    receiver.answer = (500, {})
    assert send_due(database, settings(receiver)) == 0
    assert send_due(database, settings(receiver)) == 0  # not due yet
    assert len(receiver.requests) == 1
    with database.write() as conn:
        conn.execute(outbox.update().values(due=0.0))
    receiver.answer = (200, {})
    assert send_due(database, settings(receiver)) == 1
    first, second = receiver.requests
    assert first[0]["x-mlflow-delivery-id"] == second[0]["x-mlflow-delivery-id"]


def test_a_crash_between_events_and_messages_neither_loses_nor_doubles(database: Database, receiver: Receiver) -> None:
    make(database, receiver, "run.ended")
    ids = {happen(database, "run.ended") for _ in range(5)}

    def dying(_conn: object, event: Any) -> None:
        if event.seq % 3 == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fan_out(database, dying)
    assert fan_out(database, body_of) == 5
    assert fan_out(database, body_of) == 0
    send_due(database, settings(receiver))
    assert sorted(json.loads(body)["id"] for _, body in receiver.requests) == sorted(ids)


def test_a_disabled_webhook_hears_nothing_and_does_not_catch_up(database: Database, receiver: Receiver) -> None:
    hook = make(database, receiver, "run.ended")
    happen(database, "run.ended")
    fan_out(database, body_of)
    with database.write() as conn:
        change_webhook(conn, hook, Change(status="DISABLED"), at=2, actor="me")
    happen(database, "run.ended")
    send_due(database, settings(receiver))
    with database.write() as conn:
        change_webhook(conn, hook, Change(status="ACTIVE"), at=3, actor="me")
    send_due(database, settings(receiver))
    assert receiver.requests == []
    happen(database, "run.ended")
    send_due(database, settings(receiver))
    assert len(receiver.requests) == 1


def test_a_removed_webhook_takes_its_waiting_deliveries_along(database: Database, receiver: Receiver) -> None:
    hook = make(database, receiver, "run.ended")
    happen(database, "run.ended")
    fan_out(database, body_of)
    with database.write() as conn:
        remove_webhook(conn, hook, at=2, actor="me")
        assert list_webhooks(conn) == []
    assert send_due(database, settings(receiver)) == 0 and receiver.requests == []


def test_one_dead_receiver_does_not_hold_up_another(database: Database, receiver: Receiver) -> None:
    with receive() as dead:
        make(database, dead, "run.ended", name="dead")
    make(database, receiver, "run.ended", name="alive")
    happen(database, "run.ended")
    allowed = Settings(webhook_allow=f"{receiver.address},{dead.address}")
    assert send_due(database, allowed) == 1
    assert len(receiver.requests) == 1


def test_the_operators_own_address_gets_the_outbox_and_no_webhooks_messages(
    sqlite_database: Database, receiver: Receiver
) -> None:
    with receive() as operator:
        make(sqlite_database, receiver, "run.ended")
        with sqlite_database.write() as conn:
            enqueue(conn, "version.promoted", {"topic": "version.promoted", "model": "m"})
        happen(sqlite_database, "run.ended")
        send_due(sqlite_database, settings(receiver, webhook=operator.url))
        assert [json.loads(body)["topic"] for _, body in operator.requests] == ["version.promoted"]
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("kind", "data", "name", "told"),
    [
        ("model.created", {"description": "d"}, "registered_model.created",
         {"name": "m", "tags": {}, "description": "d"}),
        ("version.tag_set", {"version": 2, "key": "k", "value": "v"}, "model_version_tag.set",
         {"name": "m", "version": "2", "key": "k", "value": "v"}),
        ("version.tag_removed", {"version": 2, "key": "k"}, "model_version_tag.deleted",
         {"name": "m", "version": "2", "key": "k"}),
        ("alias.moved", {"alias": "champion", "to": 3}, "model_version_alias.created",
         {"name": "m", "alias": "champion", "version": "3"}),
        ("alias.moved", {"alias": "champion", "to": None}, "model_version_alias.deleted",
         {"name": "m", "alias": "champion"}),
        ("version.registered", {"version": 1, "run_id": "r", "source": "models:/m-1", "tags": {"a": "b"}},
         "model_version.created",
         {"name": "m", "version": "1", "source": "models:/m-1", "run_id": "r", "tags": {"a": "b"},
          "description": None}),
    ],
)  # fmt: skip
def test_mlflows_events_arrive_in_mlflows_shape(
    sqlite_database: Database, receiver: Receiver, kind: str, data: dict[str, Any], name: str, told: dict[str, Any]
) -> None:
    make(sqlite_database, receiver, name)
    happen(sqlite_database, kind, **data)
    send_due(sqlite_database, settings(receiver))
    body = json.loads(receiver.requests[0][1])
    assert f"{body['entity']}.{body['action']}" == name
    assert body["data"] == told and body["timestamp"].endswith("+00:00")


def test_webhooks_over_http_never_show_the_secret(guarded_on_both: Running) -> None:
    server = guarded_on_both
    admin = server.make_token("boss", permissions=["admin"])
    body = {"name": "hook", "url": "https://hooks.example/x", "events": ["run.*"], "secret": "s3cret"}
    made = server.call("POST", "/api/webhooks", admin, json=body)
    assert made.status_code == 201 and made.json()["signs"] is True
    path = f"/api/webhooks/{made.json()['id']}"
    changed = server.call("PATCH", path, admin, json={"status": "DISABLED", "secret": "other"})
    assert changed.json()["status"] == "DISABLED"
    listed, events = server.call("GET", "/api/webhooks", admin), server.call("GET", "/api/events", admin)
    assert "s3cret" not in made.text + changed.text + listed.text + events.text
    assert server.call("GET", "/api/webhooks", server.make_token()).status_code == 403
    assert server.call("DELETE", path, admin).status_code == 200
    assert server.call("DELETE", path, admin).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ["nonsense"]}, "events"),
        ({"name": "a b"}, "name"),
        ({"url": "ftp://x/y"}, "url"),
        ({"url": "http://127.0.0.1:1/"}, "url"),
        ({"status": "PAUSED"}, "status"),
    ],
)
def test_a_webhook_that_cannot_be_names_the_field(guarded: Running, change: dict[str, Any], field: str) -> None:
    admin = guarded.make_token("boss", permissions=["admin"])
    body = {"name": "hook", "url": "https://hooks.example/x", "events": ["*"]} | change
    answer = guarded.call("POST", "/api/webhooks", admin, json=body)
    assert answer.status_code in {400, 422} and answer.json()["field"] == field


def context_of(database: Database, receiver: Receiver) -> Context:
    return Context(database, BlobStore("memory://x"), SystemClock(), LOCAL, frozenset({receiver.address}))


def test_mlflows_endpoints_create_show_change_try_and_delete(database: Database, receiver: Receiver) -> None:
    context = context_of(database, receiver)
    body = Create(name="hook", url=receiver.url, events=[CREATED], secret=SECRET, description="d")
    made = mlflow_webhooks.create(context, body)["webhook"]
    assert made["events"] == [{"entity": "MODEL_VERSION", "action": "CREATED"}]
    assert made["status"] == "ACTIVE" and "secret" not in made
    by_id = mlflow_webhooks.ById(made["webhook_id"])
    assert mlflow_webhooks.get(context, by_id)["webhook"] == made
    changed = mlflow_webhooks.update(context, mlflow_webhooks.Update(webhook_id=made["webhook_id"], name="other"))
    assert changed["webhook"]["name"] == "other"
    result = mlflow_webhooks.test(context, mlflow_webhooks.Trial(webhook_id=made["webhook_id"]))["result"]
    assert (result.success, result.response_status, result.response_body) == (True, 200, "ok")
    assert json.loads(receiver.requests[0][1])["data"]["name"] == "example_model"
    assert mlflow_webhooks.list_all(context, mlflow_webhooks.List()) == {"webhooks": [changed["webhook"]]}
    mlflow_webhooks.delete(context, by_id)
    with pytest.raises(NotFound):
        mlflow_webhooks.get(context, by_id)


def test_mlflows_list_is_paged_and_leaves_our_own_out(sqlite_database: Database, receiver: Receiver) -> None:
    context = context_of(sqlite_database, receiver)
    for number in range(5):
        make(sqlite_database, receiver, "model_version.created", name=f"h{number}")
    make(sqlite_database, receiver, "run.ended", name="ours")
    names: list[str] = []
    token = ""
    while True:
        page = mlflow_webhooks.list_all(context, mlflow_webhooks.List(max_results=2, page_token=token))
        names += [hook["name"] for hook in page["webhooks"]]
        if not (token := page.get("next_page_token", "")):
            break
    assert names == ["h4", "h3", "h2", "h1", "h0"]


@pytest.mark.parametrize(
    "body",
    [
        Create(name="-x", url="https://a.example", events=[CREATED]),
        Create(name="x", url="http://10.0.0.1", events=[CREATED]),
        Create(name="x", url="https://a.example", events=[WireEvent("MODEL_VERSION", "SET")]),
        Create(name="x", url="https://a.example", events=[WireEvent("RUN", "CREATED")]),
        Create(name="x", url="https://a.example", events=[]),
    ],
)  # fmt: skip
def test_what_mlflow_refuses_is_refused(sqlite_database: Database, receiver: Receiver, body: Any) -> None:
    with pytest.raises(Invalid):
        mlflow_webhooks.create(context_of(sqlite_database, receiver), body)
