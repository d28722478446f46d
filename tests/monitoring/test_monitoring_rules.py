from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from test_monitoring_record import batch

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid
from homeostat.ground.records import FeatureColumn, Label
from homeostat.monitoring.alarms import list_alarms, open_alarm
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.labels import record_labels
from homeostat.monitoring.record import record_batches
from homeostat.monitoring.rules import check_watch
from homeostat.monitoring.types import Finding, Watch, accuracy, data_drift, errors, latency, skew
from homeostat.store.database import Database
from homeostat.store.events import list_events

COLUMNS = tuple(FeatureColumn(name=name, kind="number") for name in ("x", "y"))
RNG = np.random.default_rng(0)
BINS = fit_bins(COLUMNS, RNG.normal(size=(5000, 2)))


def loss(y: Any, score: Any) -> dict[str, float | None]:
    if not len(y):
        return {"log_loss": None, "accuracy": None}
    p = np.clip(score, 1e-6, 1 - 1e-6)
    return {
        "log_loss": float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()),
        "accuracy": float(((score > 0.5) == (y == 1)).mean()),
    }


def check(
    database: Database, rule: Watch, now: int, reference_metrics: dict[str, float | None] | None = None
) -> list[Finding]:
    with database.write() as conn:
        return check_watch(
            conn,
            [rule],
            model="m",
            version=1,
            reference=BINS,
            reference_metrics=reference_metrics or {},
            metrics_fn=loss,
            now=now,
        )


def serve(database: Database, day: int, vectors: Any, scores: list[float] | None = None, **kwargs: Any) -> list[str]:
    ids = [f"{day}-{index}" for index in range(len(vectors))]
    with database.write() as conn:
        frame = batch(ids, day * DAY + HOUR, vectors=vectors, scores=scores, **kwargs)
        record_batches(conn, [frame], bins={("m", 1): BINS}, slow_us={})
    return ids


def call(database: Database, name: str, times: int, **kwargs: Any) -> None:
    frames = [batch([f"{name}{index}"], HOUR, **kwargs) for index in range(times)]
    with database.write() as conn:
        record_batches(conn, frames, bins={}, slow_us={})


def answer_days(database: Database, days: range, rng: np.random.Generator, *, honest: bool) -> None:
    """A day of 100 answers: probabilities that come true (honest) or have nothing to do with the label."""
    for day in days:
        score = rng.uniform(0.05, 0.95, 100)
        y = rng.uniform(size=100) < (score if honest else rng.permutation(score))
        ids = serve(database, day, np.zeros((100, 2)), scores=score.tolist())
        with database.write() as conn:
            labels = [Label(request_id=i, value=float(v), at=day * DAY + 2 * HOUR) for i, v in zip(ids, y, strict=True)]
            record_labels(conn, "m", labels, recorded=0)


def test_a_worse_metric_alarms_and_a_good_week_closes_it(database: Database) -> None:
    rng = np.random.default_rng(1)
    rule, reference = accuracy("log_loss"), {"log_loss": 0.55}
    answer_days(database, range(7), rng, honest=False)
    (bad,) = check(database, rule, 7 * DAY, reference)
    assert (bad.status, bad.evidence["labels"], bad.evidence["reference"]) == ("alarm", 700, 0.55)
    assert bad.evidence["worse_by"] > 0.1
    check(database, rule, 7 * DAY, reference)  # still open: no second alarm
    answer_days(database, range(7, 14), rng, honest=True)
    (good,) = check(database, rule, 14 * DAY, reference)
    assert good.status == "ok"
    with database.read() as conn:
        (alarm,) = list_alarms(conn, "m")
        told = [(event.kind, event.data["evidence"]["labels"]) for event in list_events(conn, subject="m")]
    assert (alarm.kind, alarm.subject, alarm.opened_at, alarm.closed_at) == ("accuracy", "log_loss", 7 * DAY, 14 * DAY)
    assert told == [("alarm.opened", 700), ("alarm.closed", 700)]


def test_a_metric_that_should_be_high_alarms_when_it_falls(sqlite_database: Database) -> None:
    answer_days(sqlite_database, range(7), np.random.default_rng(1), honest=False)
    (finding,) = check(sqlite_database, accuracy("accuracy"), 7 * DAY, {"accuracy": 0.75})
    assert finding.status == "alarm"
    (finding,) = check(sqlite_database, accuracy("accuracy"), 7 * DAY, {"accuracy": 0.3})
    assert finding.status == "ok"


def test_a_metric_on_few_labels_or_without_a_reference_is_insufficient(sqlite_database: Database) -> None:
    answer_days(sqlite_database, range(1), np.random.default_rng(1), honest=False)
    (few,) = check(sqlite_database, accuracy("log_loss"), 7 * DAY, {"log_loss": 0.1})
    answer_days(sqlite_database, range(1, 7), np.random.default_rng(1), honest=False)
    (unknown,) = check(sqlite_database, accuracy("log_loss"), 7 * DAY, {"log_loss": None})
    assert (few.status, unknown.status) == ("insufficient", "insufficient")
    with sqlite_database.read() as conn:
        assert list_alarms(conn) == []


def test_drift_alarms_at_the_first_full_window_and_lasts_from_the_next(database: Database) -> None:
    rule = data_drift(window="2d")
    rng = np.random.default_rng(2)
    for day in range(8):
        serve(database, day, rng.normal(loc=(0.0, 1.0 if day >= 4 else 0.0), size=(300, 2)))
    found = {}
    for now in (1, 4, 6, 7, 8):
        found[now] = {finding.subject: finding for finding in check(database, rule, now * DAY + HOUR)}
    statuses = {now: {subject: finding.status for subject, finding in at.items()} for now, at in found.items()}
    assert statuses[1] == statuses[4] == {"x": "ok", "y": "ok"}
    assert statuses[6] == statuses[7] == statuses[8] == {"x": "ok", "y": "alarm"}
    assert [found[now]["y"].evidence.get("lasting", False) for now in (6, 7, 8)] == [False, False, True]
    assert found[8]["y"].evidence["effect"] > 0.3 and found[8]["y"].evidence["js"] > 0.1
    with database.read() as conn:
        assert [(alarm.kind, alarm.subject) for alarm in list_alarms(conn, "m", is_open=True)] == [("data_drift", "y")]


def test_a_lasting_change_does_not_become_usual_while_its_alarm_is_open(sqlite_database: Database) -> None:
    rule = data_drift(window="1d")
    rng = np.random.default_rng(3)
    bases, statuses = {}, {}
    for day in range(70):
        serve(sqlite_database, day, rng.normal(loc=(0.0, 0.6 if 25 <= day < 60 else 0.0), size=(300, 2)))
        found = {finding.subject: finding for finding in check(sqlite_database, rule, (day + 1) * DAY)}
        bases[day] = (found["y"].evidence["basis"], found["y"].evidence["windows"])
        statuses[day] = found["y"].status
    assert (bases[3], bases[10], bases[25], bases[59]) == (("reference", 3), ("both", 10), ("past", 25), ("past", 25))
    assert [day for day, status in statuses.items() if status == "alarm"] == list(range(25, 60))


def test_days_of_a_week_are_compared_with_their_like(sqlite_database: Database) -> None:
    rng = np.random.default_rng(4)
    plain, seasonal = data_drift(window="1d"), data_drift(window="1d", season="day_of_week")
    for day in range(21 * 7):
        serve(sqlite_database, day, rng.normal(loc=1.0 if day % 7 >= 5 else 0.0, size=(250, 2)))
    (early, *_) = check(sqlite_database, seasonal, 15 * DAY)
    assert (early.status, early.evidence["reason"]) == (
        "insufficient",
        "2 comparable past windows (day_of_week), wanted are 5",
    )
    (wider, *_) = check(sqlite_database, seasonal, 30 * DAY)
    assert (wider.status, wider.evidence["basis"], wider.evidence["windows"]) == ("ok", "day_kind", 21)
    late = check(sqlite_database, seasonal, 21 * 7 * DAY)
    assert {finding.status for finding in late} == {"ok"}
    assert {finding.evidence["basis"] for finding in late} == {"day_of_week"}
    assert late[0].evidence["windows"] == 20
    assert {finding.status for finding in check(sqlite_database, plain, 4 * DAY)} == {"ok"}


def test_drift_without_rows_is_insufficient_and_leaves_the_alarm_open(sqlite_database: Database) -> None:
    with sqlite_database.write() as conn:
        open_alarm(conn, "m", "data_drift", "y", evidence={}, at=1)
    (finding,) = check(sqlite_database, data_drift(), 90 * DAY)
    assert finding.status == "insufficient"
    with sqlite_database.read() as conn:
        assert len(list_alarms(conn, "m", is_open=True)) == 1


@pytest.mark.parametrize(("change", "alarmed"), [("none", []), ("nulls", ["y"]), ("stuck", ["y"]), ("season", [])])
def test_skew_tells_a_broken_feature_from_a_season(sqlite_database: Database, change: str, alarmed: list[str]) -> None:
    rng = np.random.default_rng(3)
    for day in range(10, 18):
        vectors = rng.normal(size=(200, 2))
        match change:
            case "nulls":
                vectors[:20, 1] = np.nan
            case "stuck":
                vectors[:, 1] = 0.25
            case "season":
                vectors[:, 1] += 0.8
        serve(sqlite_database, day, vectors)
    (early,) = check(sqlite_database, skew(), 16 * DAY)
    assert early.status == "insufficient"
    findings = check(sqlite_database, skew(), 18 * DAY)
    assert [finding.subject for finding in findings if finding.status == "alarm"] == alarmed


def test_latency_alarms_when_surely_more_than_one_in_a_hundred_is_slow(sqlite_database: Database) -> None:
    rule = latency(p99="50ms")
    (nothing,) = check(sqlite_database, rule, DAY)
    call(sqlite_database, "quick", 297, latency_us=900)
    call(sqlite_database, "slow", 3, latency_us=90_000)
    (fine,) = check(sqlite_database, rule, DAY)
    call(sqlite_database, "slower", 20, latency_us=90_000)
    (slow,) = check(sqlite_database, rule, DAY)
    assert (nothing.status, fine.status, slow.status) == ("insufficient", "ok", "alarm")
    assert slow.evidence["slower"] == 23 and slow.evidence["p99_us"] > 50_000


def test_errors_alarm_at_once_when_everything_fails_and_are_insufficient_when_few_succeed(
    sqlite_database: Database,
) -> None:
    (nothing,) = check(sqlite_database, errors(below=0.01), DAY)
    call(sqlite_database, "broken", 3, status="error")
    (failing,) = check(sqlite_database, errors(below=0.01), DAY)
    call(sqlite_database, "fine", 2000)
    (fine,) = check(sqlite_database, errors(below=0.01), DAY)
    assert (nothing.status, failing.status, fine.status) == ("insufficient", "alarm", "ok")
    assert failing.evidence == {"failed": 3, "requests": 3, "limit": 0.01, "rate": 1.0}


def test_an_alarm_about_something_no_longer_watched_is_closed(sqlite_database: Database) -> None:
    with sqlite_database.write() as conn:
        open_alarm(conn, "m", "latency", "p99", evidence={}, at=1)
    check(sqlite_database, errors(), DAY)
    with sqlite_database.read() as conn:
        assert list_alarms(conn, "m", is_open=True) == []


def test_rules_survive_json() -> None:
    rules = (accuracy("log_loss", window="3d"), skew(), data_drift(0.5), latency(p99="50ms"), errors(below=0.02))
    assert msgspec.json.decode(msgspec.json.encode(rules), type=tuple[Watch, ...]) == rules
    assert [str(rule) for rule in rules][:2] == [
        "log_loss worse by 10% over 3d",
        "training-serving skew in the first 7d",
    ]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: accuracy("log_loss", window="90min"), "window"),
        (lambda: accuracy("log_loss", worse_by=0), "worse_by"),
        (lambda: data_drift(100), "alarms_per_month"),
        (lambda: data_drift(season="hour_of_week"), "season"),
        (lambda: data_drift(season="day_of_week"), "window"),
        (lambda: skew(floor=0), "floor"),
        (lambda: latency(p99="fast"), "p99"),
        (lambda: errors(below=1), "below"),
    ],
)
def test_a_wrong_rule_names_its_field(make: Callable[[], object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        make()
    assert caught.value.field == field and caught.value.next_step
