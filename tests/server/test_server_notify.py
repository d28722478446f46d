"""Messages on their way: to a plain URL and by apprise, into no private network, again when they did not arrive."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from receiver import Receiver, receive
from running_server import Running

from homeostat.ground.settings import Settings
from homeostat.loop.notifying import deliver_news, note_news, send_trial
from homeostat.monitoring.alarms import open_alarm
from homeostat.monitoring.notify.channels import create_channel
from homeostat.monitoring.notify.sending import GUARDED, Job
from homeostat.monitoring.notify.wants import Wants
from homeostat.server.webhooks import send_due
from homeostat.store.database import Database
from homeostat.store.outbox import count_messages, outbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as listening:
        yield listening


def allow(receiver: Receiver) -> frozenset[str]:
    return frozenset({receiver.address})


def prepare(database: Database, url: str, receiver: Receiver | None = None, *, alarms: int = 1) -> None:
    """A channel, and alarms that it has not heard of."""
    with database.write() as conn:
        allowed = allow(receiver) if receiver else frozenset()
        create_channel(conn, "ops", url, wants=Wants(), allowed=allowed, at=0, actor="me")
        for number in range(alarms):
            open_alarm(conn, "late", "data_drift", f"x{number}", evidence={"js": 0.31}, at=1)


def state(database: Database) -> tuple[str, str]:
    with database.read() as conn:
        row = conn.execute(outbox.select()).one()
    return row.state, row.error


def test_a_plain_url_gets_the_alarm_as_json_once(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url, receiver)
    for now in (1, 2):
        note_news(database, now)
        deliver_news(database, allowed=allow(receiver))
    (headers, body), *more = receiver.requests
    told = json.loads(body)
    assert not more and headers["x-homeostat-delivery-id"] == told["id"]
    assert told["title"] == "[warn] late: data_drift x0 opened" and told["text"].startswith(told["title"])
    assert told["alarms"][0]["evidence"] == {"js": 0.31} and told["alarms"][0]["changes"] == ["opened"]
    assert "homeostat alarms ack" in told["body"]


def test_apprise_gets_it_there_and_a_second_look_says_nothing(database: Database, receiver: Receiver) -> None:
    prepare(database, f"json://{receiver.address}/hook", receiver)
    for now in (1, 2):
        note_news(database, now)
        deliver_news(database, allowed=allow(receiver))
    ((_, body),) = receiver.requests
    told = json.loads(body)
    assert (told["title"], told["type"]) == ("[warn] late: data_drift x0 opened", "warning")
    assert state(database) == ("sent", "")


def test_a_receiver_that_fails_gets_the_same_message_again(sqlite_database: Database, receiver: Receiver) -> None:
    prepare(sqlite_database, f"json://{receiver.address}/hook", receiver)
    receiver.answer = (500, {})
    note_news(sqlite_database, 1)
    assert deliver_news(sqlite_database, allowed=allow(receiver)) == 0
    assert state(sqlite_database) == (
        "waiting",
        f"Unavailable: json://{receiver.address}/*** did not take the message; check the URL and the service",
    )
    with sqlite_database.write() as conn:
        conn.execute(outbox.update().values(due=0.0))
    receiver.answer = (200, {})
    note_news(sqlite_database, 2)
    assert deliver_news(sqlite_database, allowed=allow(receiver)) == 1
    assert len(receiver.requests) == 2 and state(sqlite_database)[0] == "sent"


def test_several_servers_of_one_home_send_a_message_once(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url, receiver, alarms=4)
    note_news(database, 1)

    def look(_: int) -> int:
        return note_news(database, 1) + deliver_news(database, allowed=allow(receiver))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(look, range(8))) == 4
    assert len({json.loads(body)["id"] for _, body in receiver.requests}) == len(receiver.requests) == 4


def test_apprise_reaches_no_private_network_that_is_not_allowed(sqlite_database: Database, receiver: Receiver) -> None:
    prepare(sqlite_database, f"json://{receiver.address}/hook")
    note_news(sqlite_database, 1)
    assert deliver_news(sqlite_database, allowed=frozenset()) == 0
    assert receiver.requests == []
    assert "private network" in state(sqlite_database)[1]


def test_a_redirect_of_a_receiver_leads_apprise_nowhere_private(sqlite_database: Database, receiver: Receiver) -> None:
    with receive() as inner:
        receiver.answer = (307, {"Location": inner.url})
        prepare(sqlite_database, f"json://{receiver.address}/hook")
        note_news(sqlite_database, 1)
        deliver_news(sqlite_database, allowed=allow(receiver))
        assert len(receiver.requests) == 1 and inner.requests == []


@pytest.mark.parametrize("attempt", ["import os; os.system('true')", "import subprocess; subprocess.run(['true'])"])
def test_a_service_starts_no_program(tmp_path: Path, attempt: str) -> None:
    (tmp_path / "apprise.py").write_text(f"class Apprise:\n    def instantiate(url, **_):\n        {attempt}\n")
    job = Job(url="x://y", title="t", body="b", severity="warn", allowed=())
    command = [sys.executable, "-m", "homeostat.monitoring.notify.apprise_child"]
    done = subprocess.run(
        command,
        input=msgspec.json.encode(job),
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == GUARDED, done.stderr


def test_a_url_that_apprise_does_not_know_is_said_without_the_url(sqlite_database: Database) -> None:
    prepare(sqlite_database, "carrierpigeon://secret-loft")
    trial = send_trial(sqlite_database, "ops", allowed=frozenset())
    assert not trial.success and "apprise cannot read" in trial.error and "secret-loft" not in trial.error


def test_a_trial_says_what_came_of_it(sqlite_database: Database, receiver: Receiver) -> None:
    prepare(sqlite_database, receiver.url, receiver)
    assert send_trial(sqlite_database, "ops", allowed=allow(receiver)).success
    receiver.answer = (410, {})
    assert "answered 410" in send_trial(sqlite_database, "ops", allowed=allow(receiver)).error
    assert json.loads(receiver.requests[0][1])["title"] == "[info] a trial of channel ops"


def test_alarms_of_channels_do_not_go_to_the_operators_address(sqlite_database: Database, receiver: Receiver) -> None:
    with receive() as operator:
        prepare(sqlite_database, receiver.url, receiver)
        note_news(sqlite_database, 1)
        send_due(sqlite_database, Settings(webhook=operator.url, webhook_allow=receiver.address))
        assert operator.requests == [] and receiver.requests == []
        with sqlite_database.read() as conn:
            assert count_messages(conn, "notify:") == {"waiting": 1}


def test_channels_are_an_admins_and_their_urls_are_never_in_an_answer(
    start: Callable[..., Running], receiver: Receiver
) -> None:
    server = start(auth="required", webhook_allow=receiver.address)
    admin, writer = (server.make_token(name, permissions=[name]) for name in ("admin", "write"))
    body: dict[str, Any] = {"name": "ops", "url": f"{receiver.url}?token=s3cret", "severity": "page", "after": "30min"}
    assert server.call("POST", "/api/channels", writer, json=body).status_code == 403
    made = server.call("POST", "/api/channels", admin, json=body)
    assert made.status_code == 201, made.text
    assert made.json()["target"] == f"http://{receiver.address}/***"
    assert made.json()["wants"]["after"] == 30 * 60 * 1_000_000
    listed = server.call("GET", "/api/channels", admin)
    events = server.call("GET", "/api/events", admin)
    assert "s3cret" not in made.text + listed.text + events.text and len(listed.json()) == 1
    assert server.call("POST", "/api/channels/ops/test", admin).json() == {"success": True, "error": ""}
    for wrong, field in (
        ({"url": "http://169.254.169.254/x"}, "url"),
        ({"after": "soon"}, "after"),
        ({"zone": "x"}, "zone"),
        ({"name": "a b"}, "name"),
    ):
        answer = server.call("POST", "/api/channels", admin, json=body | {"name": "other"} | wrong)
        assert answer.status_code in {400, 422} and answer.json()["field"] == field, answer.text
    assert server.call("DELETE", "/api/channels/ops", admin).json()["name"] == "ops"
    assert server.call("DELETE", "/api/channels/ops", admin).status_code == 404
