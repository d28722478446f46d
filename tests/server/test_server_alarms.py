"""Alarms over HTTP, from the command line and from Python: who may see and do what."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from running_server import Running

import homeostat as hs
from homeostat.cli.main import cli
from homeostat.monitoring.alarms import Alarm, open_alarm


def find(server: Running, model: str = "late", subject: str = "x", *, severity: str = "warn") -> Alarm:
    with server.service.database.write() as conn:
        at = server.service.clock.now()
        return open_alarm(conn, model, "data_drift", subject, evidence={"js": 0.3}, at=at, severity=severity)


def test_an_alarm_is_listed_acknowledged_muted_and_closed_over_http(start: Callable[..., Running]) -> None:
    server = start()
    alarm = find(server)
    listed = server.call("GET", "/api/alarms").json()
    assert [(one["id"], one["state"], one["count"]) for one in listed] == [(alarm.id, "open", 1)]
    said = server.call("POST", f"/api/alarms/{alarm.id}/ack", json={"comment": "on it", "actor": "ana"}).json()
    assert (said["state"], said["acknowledged_by"], said["comment"]) == ("acknowledged", "ana", "on it")
    muted = server.call("POST", f"/api/alarms/{alarm.id}/mute", json={"until": "7d", "reason": "known"}).json()
    assert muted["state"] == "muted"
    assert server.call("POST", f"/api/alarms/{alarm.id}/unmute", json={}).json()["state"] == "acknowledged"
    closed = server.call("POST", f"/api/alarms/{alarm.id}/close", json={"reason": "fixed"}).json()
    assert closed["state"] == "closed" and server.call("GET", "/api/alarms").json() == []
    again = server.call("POST", f"/api/alarms/{alarm.id}/ack", json={})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    whole = server.call("GET", f"/api/alarms/{alarm.id[:20]}").json()
    assert (whole["closed_by"], whole["told"], whole["evidence"]) == ("person", [], {"js": 0.3})
    kinds = [event["kind"] for event in server.call("GET", "/api/events").json()]
    assert kinds == [f"alarm.{what}" for what in ("opened", "acknowledged", "muted", "unmuted", "closed")]


def test_the_list_is_narrowed_by_model_state_and_severity(start: Callable[..., Running]) -> None:
    server = start()
    find(server, "a")
    find(server, "b", severity="page")
    gone = find(server, "b", "y", severity="info")
    server.call("POST", f"/api/alarms/{gone.id}/close", json={})

    def models(**query: Any) -> list[str]:
        return [one["model"] for one in server.call("GET", "/api/alarms", params=query).json()]

    assert models() == ["b", "a"] and models(model="a") == ["a"] and models(severity="page") == ["b"]
    assert models(state="closed") == ["b"] and models(state="all") == ["b", "b", "a"] and models(limit=1) == ["b"]
    for query, field in (({"state": "odd"}, "state"), ({"severity": "odd"}, "severity"), ({"limit": 0}, "limit")):
        answer = server.call("GET", "/api/alarms", params=query)
        assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_a_token_of_one_project_reaches_its_own_alarms_only_and_a_reader_acknowledges_nothing(
    guarded_on_both: Running,
) -> None:
    server = guarded_on_both
    mine, theirs = find(server, "mine"), find(server, "theirs")
    token = server.make_token(projects=["mine"])
    assert [one["model"] for one in server.call("GET", "/api/alarms", token).json()] == ["mine"]
    assert server.call("GET", "/api/alarms?model=theirs", token).status_code == 403
    for method, path in (("GET", ""), ("POST", "/ack"), ("POST", "/close"), ("POST", "/unmute")):
        body = {} if method == "POST" else None
        assert server.call(method, f"/api/alarms/{theirs.id}{path}", token, json=body).status_code == 403, path
    said = server.call("POST", f"/api/alarms/{mine.id}/ack", token, json={"actor": "somebody else"})
    assert said.json()["acknowledged_by"] == "ci"
    reader = server.make_token("reader", permissions=["read"])
    assert server.call("GET", f"/api/alarms/{theirs.id}", reader).status_code == 200
    assert server.call("POST", f"/api/alarms/{theirs.id}/ack", reader, json={}).status_code == 403


@pytest.mark.parametrize("over", ["folder", "http"])
def test_python_and_the_command_line_say_the_same(start: Callable[..., Running], over: str) -> None:
    server = start()
    alarm = find(server)
    home = str(server.service.settings.home_path)
    client = hs.connect(url=server.url) if over == "http" else hs.connect(home)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--home", home], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert "data_drift x" in run("alarms", "list")
    bare = CliRunner().invoke(cli, ["alarms"], env={"HOMEOSTAT_HOME": home}, catch_exceptions=False)
    assert bare.exit_code == 0 and "data_drift x" in bare.output
    assert run("alarms", "ack", alarm.id, "-m", "on it") == "late: data_drift x is acknowledged\n"
    assert "is muted until" in run("alarms", "mute", alarm.id, "--for", "2d")
    run("alarms", "unmute", alarm.id)
    assert client.alarms.get(alarm.id)["comment"] == "on it"
    assert "comment" in run("alarms", "show", alarm.id)
    assert client.alarms.close(alarm.id, reason="over")["state"] == "closed"
    assert run("alarms", "list") == "No alarms.\n"
    made = json.loads(run("notify", "add", "ops", "slack://a/b/c", "--model", "late*", "--after", "30min", "--json"))
    assert (made["target"], made["wants"]["model"]) == ("slack://***", "late*")
    assert "30 min" in run("notify", "ls")
    assert [one["name"] for one in client.channels.list()] == ["ops"]
    assert "ops is removed" in run("notify", "rm", "ops")
    client.close()


def test_why_shows_what_became_of_an_alarm(start: Callable[..., Running]) -> None:
    server = start()
    server.call("POST", "/api/models", json={"name": "late"})
    alarm = find(server)
    server.call("POST", f"/api/alarms/{alarm.id}/ack", json={"comment": "the new feed", "actor": "ana"})
    home = str(server.service.settings.home_path)
    done = CliRunner().invoke(cli, ["why", "late", "--home", home], catch_exceptions=False)
    assert "alarm.acknowledged" in done.output and "the new feed" in done.output and "ana" in done.output
