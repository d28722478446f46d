"""`/metrics` of the control plane, and that the dashboard and the alert rules name what is really there."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from running_server import Running

from homeostat.ground.clock import DAY, HOUR, to_iso
from homeostat.ground.records import PredictionBatch
from homeostat.monitoring.alarms import acknowledge_alarm, open_alarm
from homeostat.monitoring.findings import note_findings, noted_findings
from homeostat.monitoring.types import Finding
from homeostat.server.intake_bodies import MonitorBody, TableBody
from homeostat.serving.metrics import Meters
from homeostat.serving.metrics import exposition as worker_exposition

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "homeostat.rules.yml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "homeostat.rules.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "homeostat-models.json"

Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(text: str) -> Samples:
    """Values by the names that queries have for them."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, []).append((dict(one.labels), one.value))
    return found


def drift(column: str, js: float, status: str = "ok") -> Finding:
    evidence = {"js": js, "p": 0.01, "floor": 0.1, "rows": 5000}
    return Finding(kind="data_drift", subject=column, status=status, evidence=evidence)


def note(server: Running, *found: Finding, model: str = "late") -> None:
    with server.service.database.write() as conn:
        note_findings(conn, model, 4, found, at=server.service.clock.now())


def fill(server: Running, folder: Path) -> None:
    """A home in which there is something of everything."""
    service, now = server.service, server.service.clock.now()
    service.intake.watch(MonitorBody(name="late", task="binary", features=("x",)))
    rows = [{"request_id": f"r{n}", "time": to_iso(now - HOUR), "x": n, "score": 0.5} for n in range(10)]
    server.call("POST", "/predictions", json={"model": "late", "rows": rows}).raise_for_status()
    labels = [{"request_id": f"r{n}", "value": True, "at": to_iso(now - HOUR // 2)} for n in range(5)]
    server.call("POST", "/labels", json={"model": "late", "labels": labels}).raise_for_status()
    window = [to_iso(now - 7 * DAY), to_iso(now)]
    accuracy = {"value": 0.5, "reference": 0.4, "labels": 5, "window": window, "version": 1}
    with service.database.write() as conn:
        found = [
            Finding(kind="accuracy", subject="log_loss", status="alarm", evidence=accuracy),
            Finding(kind="errors", subject="rate", status="insufficient", evidence={}),
            drift("x", 0.4, "alarm"),
            *(drift(f"c{n}", n / 1000) for n in range(40)),
        ]
        note_findings(conn, "late", 1, found, at=now)
        taken = open_alarm(conn, "late", "data_drift", "x", evidence={}, at=now, severity="page")
        open_alarm(conn, "late", "accuracy", "log_loss", evidence={}, at=now)
        acknowledge_alarm(conn, taken.id, at=now, actor="ana")
    service.tables.add("late", TableBody(name="feed", url=str(folder)), actor="me")
    service.tables.read("feed")


def test_what_watching_has_found_is_told(start: Callable[..., Running], tmp_path: Path) -> None:
    server = start(monitor_folders=str(tmp_path))
    fill(server, tmp_path)
    answer = server.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = samples(answer.text)
    by = {"model": "late", "version": "1", "metric": "log_loss"}
    assert found["homeostat_accuracy"] == [(by, 0.5)] and found["homeostat_accuracy_reference"] == [(by, 0.4)]
    assert found["homeostat_label_coverage"] == [(by, 0.5)]
    lateness = {labels["quantile"]: value for labels, value in found["homeostat_label_lateness_seconds"]}
    assert lateness == {"0.5": 1800.0, "0.99": 1800.0}
    alarms = {(labels["severity"], labels["state"]): value for labels, value in found["homeostat_alarms"]}
    assert alarms == {("page", "acknowledged"): 1, ("page", "open"): 0, ("warn", "open"): 1}
    age = found["homeostat_clock_seconds"][0][1] - found["homeostat_newest_prediction_timestamp_seconds"][0][1]
    assert 3600 <= age < 3700
    checks = {(labels["kind"], labels["subject"]): value for labels, value in found["homeostat_check"]}
    assert checks == {("accuracy", "log_loss"): 1.0, ("errors", "rate"): -1.0}


def test_of_columns_only_the_drifted_and_the_worst_are_told(start: Callable[..., Running]) -> None:
    server = start(metrics_columns=3)
    note(server, *(drift(f"c{n}", n / 1000) for n in range(200)), drift("gone", 0.001, "alarm"), drift("", 0.0))
    note(server, *(drift(f"o{n}", 0.2) for n in range(50)), model="other")
    found = samples(server.call("GET", "/metrics").text)
    told = [labels["column"] for labels, _ in found["homeostat_drift_effect"] if labels["model"] == "late"]
    assert told == ["gone", "c199", "c198", "c197"]
    assert len(found["homeostat_drift_p_value"]) == 4 + 3
    assert {labels["model"]: value for labels, value in found["homeostat_drifted_columns"]} == {"late": 1, "other": 0}


def test_a_check_takes_the_place_of_the_one_before(start: Callable[..., Running]) -> None:
    server = start()
    note(server, drift("a", 0.1), drift("b", 0.2))
    note(server, drift("b", 0.3))
    with server.service.database.read() as conn:
        assert [(one.subject, one.evidence["js"]) for one in noted_findings(conn, "late")] == [("b", 0.3)]


def test_metrics_need_a_token_and_keep_to_its_projects(start: Callable[..., Running]) -> None:
    server = start(auth="required")
    note(server, drift("a", 0.1))
    note(server, drift("a", 0.1), model="mine")
    assert server.call("GET", "/metrics").status_code == 401
    token = server.make_token(permissions=["read"], projects=["mine"])
    found = samples(server.call("GET", "/metrics", token).text)
    assert {labels["model"] for labels, _ in found["homeostat_drift_effect"]} == {"mine"}
    assert {labels["model"] for labels, _ in found["homeostat_alarms"]} == {"mine"}


# What is deployed ----------------------------------------------------------------------------------------------------


@pytest.fixture
def names(start: Callable[..., Running], tmp_path: Path) -> set[str]:
    """Every metric that a filled server and a worker tell, and their labels as `name.label`."""
    server = start(monitor_folders=str(tmp_path))
    fill(server, tmp_path)
    meters = Meters()
    batch = PredictionBatch(
        endpoint="late",
        model="late",
        version=1,
        arm="stable",
        status="ok",
        request_ids=["a"],
        times=[1],
        received=1,
        latency_us=10,
    )
    meters.count([batch])
    texts = [server.call("GET", "/metrics").text, worker_exposition([meters.snapshot()])[1].decode()]
    found = set()
    for name, some in [item for text in texts for item in samples(text).items()]:
        found |= {name, *(f"{name}.{label}" for labels, _ in some for label in labels)}
    return found


def expressions() -> list[str]:
    """Every query of the dashboard and the rules."""
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    return asked + [rule["expr"] for rule in rules()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def matched(expression: str) -> Iterable[tuple[str, str]]:
    """Metric names of a query, and the labels that it picks by."""
    for name, inside in re.findall(r"(homeostat_[a-z0-9_]+)(?:\{([^}]*)\})?", expression):
        yield name, ""
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", inside):
            yield name, label


def test_dashboard_and_rules_ask_for_metrics_and_labels_that_there_are(names: set[str]) -> None:
    asked = {f"{name}.{label}" if label else name for one in expressions() for name, label in matched(one)}
    assert len(asked) > 30 and asked - names == set()
    grouped = {
        label.strip()
        for one in expressions()
        for inside in re.findall(r"by \(([^)]*)\)", one)
        for label in inside.split(",")
    }
    assert grouped <= {name.partition(".")[2] for name in names}


def test_every_metric_of_the_control_plane_is_in_the_pages_and_on_the_dashboard(names: set[str]) -> None:
    page = (ROOT / "docs" / "alarms.md").read_text()
    ours = {
        name for name in names if "." not in name and not re.match(r"homeostat_(requests|rows|request_|call_)", name)
    }
    workers = {"homeostat_worker_start_seconds"}
    assert {name for name in ours - workers if name not in page} == set()
    board = DASHBOARD.read_text()
    assert {name for name in ours - workers if name not in board} == set()


def test_rules_have_what_alertmanager_and_people_need() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 8
    for rule in found:
        assert rule["labels"]["severity"] in {"info", "warning", "page"} and rule["annotations"]["summary"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        used = set(re.findall(r"\$labels\.([a-z_]+)", json.dumps(rule["annotations"])))
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
        if kept:
            assert used <= {label.strip() for inside in kept for label in inside.split(",")}, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
    tested = {
        one["alertname"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for one in test["alert_rule_test"]
    }
    assert tested <= {rule["alert"] for rule in found}


def test_promtool_agrees_where_there_is_one() -> None:
    tool = shutil.which("promtool")
    checks = [["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name], ["check", "config", "prometheus.yml"]]
    for words in checks if tool else []:
        done = subprocess.run([str(tool), *words], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_panels_of_the_dashboard_do_not_overlap_and_have_titles() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"] and not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
