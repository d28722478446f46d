"""Accuracy by window: what is said of each, how sure, how final, and what was said of it before."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from test_monitoring_record import batch

from homeostat.evaluation.named import named_metric
from homeostat.ground.clock import DAY, HOUR, MINUTE
from homeostat.ground.records import Label
from homeostat.monitoring.accuracy_windows.intervals import jackknife, wilson
from homeostat.monitoring.accuracy_windows.kept import forget, history, keep, newest
from homeostat.monitoring.accuracy_windows.lateness import counted, usual_lateness
from homeostat.monitoring.accuracy_windows.series import Current, current
from homeostat.monitoring.accuracy_windows.spans import windows_between
from homeostat.monitoring.accuracy_windows.types import Series, Statement
from homeostat.monitoring.labels import record_labels
from homeostat.monitoring.record import record_batches
from homeostat.store.database import Database

DAILY = Series(metric="accuracy", window="day")
RIGHT = named_metric("accuracy", "binary")


def predict(database: Database, ids: Sequence[str], at: int, scores: list[float] | None = None, **kwargs: Any) -> None:
    with database.write() as conn:
        record_batches(conn, [batch(ids, at, scores=scores, **kwargs)], bins={}, slow_us={})


def label(database: Database, *labels: tuple[str, float, int]) -> None:
    with database.write() as conn:
        record_labels(conn, "m", [Label(request_id=i, value=v, at=at) for i, v, at in labels], recorded=0)


def look(database: Database, now: int, *, series: Series = DAILY, measure: Any = RIGHT, days: int = 30) -> Current:
    """What the loop does: read, then keep what is new."""
    windows = windows_between(0, min(now, days * DAY), series.window)
    with database.read() as conn:
        found = current(conn, "m", series, measure, windows=windows, now=now)
    with database.write() as conn:
        keep(conn, "m", series, found.fresh, found.progress)
    return found


def said(database: Database, series: Series = DAILY) -> dict[int, Statement]:
    with database.read() as conn:
        return {start // DAY: one for (start, _), one in newest(conn, "m", series, start=0, end=99 * DAY).items()}


def answer_day(database: Database, day: int, *, count: int = 40, right: float = 0.75, late: int = HOUR) -> list[str]:
    """`count` predictions of a day, an hour apart in part, of which a share comes true after `late`."""
    ids = [f"{day}-{place}" for place in range(count)]
    for place, one in enumerate(ids):
        at = day * DAY + place * (22 * HOUR // count)
        predict(database, [one], at, [0.9])
        label(database, (one, float(place < right * count), at + late))
    return ids


def test_a_window_says_how_many_had_labels_how_late_and_how_good(database: Database) -> None:
    answer_day(database, 0)
    predict(database, ["never"], 5 * HOUR, [0.9])
    (one,) = look(database, 10 * DAY).statements
    assert (one.predictions, one.labels, one.contradicted) == (41, 40, 0)
    assert one.coverage == pytest.approx(40 / 41)
    assert one.value == 0.75 and one.method == "wilson"
    assert (one.low, one.high) == pytest.approx(wilson(30, 40))
    assert one.lateness is not None and one.lateness.median == one.lateness.p99 == HOUR
    assert not one.provisional


def test_predictions_that_are_never_labelled_are_said_so(database: Database) -> None:
    predict(database, ["a", "b"], HOUR)
    (one,) = look(database, 300 * DAY).statements
    assert (one.predictions, one.labels, one.coverage, one.value) == (2, 0, 0.0, None)
    assert (one.reason, one.provisional, one.lateness) == ("no label has come yet", True, None)


def test_a_window_is_provisional_until_99_percent_of_labels_come_in_time(database: Database) -> None:
    for day in range(6):
        answer_day(database, day, late=12 * HOUR)
    young = look(database, 6 * DAY + HOUR).statements
    assert [one.provisional for one in young] == [False] * 5 + [True]
    with database.read() as conn:
        later = current(conn, "m", DAILY, RIGHT, windows=windows_between(0, 6 * DAY, "day"), now=7 * DAY)
    assert [one.provisional for one in later.statements] == [False] * 6
    assert later.usual_lateness == pytest.approx(12 * HOUR, rel=0.13)


def test_a_late_label_reopens_its_window_and_what_was_said_before_is_kept(database: Database) -> None:
    answer_day(database, 0)
    answer_day(database, 1)
    predict(database, ["late"], 3 * HOUR, [0.9])
    look(database, 5 * DAY)
    label(database, ("late", 1.0, 20 * DAY))
    look(database, 21 * DAY)
    with database.read() as conn:
        kept = history(conn, "m", DAILY, start=0, end=DAY)[0, ""]
    assert [(one.revision, one.labels, one.at // DAY, one.reopened) for one in kept] == [(1, 40, 5, 0), (2, 41, 21, 1)]
    assert kept[0].value == 0.75 and kept[1].value == 31 / 41
    assert said(database)[1].revision == 1


def test_the_last_of_contradicting_labels_wins_and_the_correction_is_counted(database: Database) -> None:
    answer_day(database, 0, count=10, right=1.0)
    look(database, 3 * DAY)
    label(database, ("0-0", 0.0, 4 * DAY))
    (one,) = look(database, 5 * DAY).statements
    assert (one.value, one.labels, one.contradicted, one.reopened) == (0.9, 10, 1, 1)
    assert one.lateness is not None and one.lateness.p99 == HOUR  # a correction makes nobody late
    label(database, ("0-0", 1.0, 3 * DAY))  # an older one that came later still is not believed
    assert look(database, 6 * DAY).statements[0].value == 0.9


def test_the_same_label_twice_and_labels_of_unknown_requests_change_nothing(database: Database) -> None:
    answer_day(database, 0, count=10)
    before = look(database, 3 * DAY).statements
    label(database, ("0-0", 1.0, HOUR), ("nobody", 1.0, HOUR))
    found = look(database, 4 * DAY)
    assert found.statements == before and found.fresh == []


def test_only_windows_that_changed_are_read(sqlite_database: Database) -> None:
    for day in range(20):
        answer_day(sqlite_database, day, count=5)
    predict(sqlite_database, ["late"], 3 * DAY + HOUR, [0.9])
    look(sqlite_database, 25 * DAY)
    label(sqlite_database, ("late", 1.0, 25 * DAY))
    asked: list[tuple[Any, ...]] = []
    with sqlite_database.read() as conn:
        sa.event.listen(conn, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
        found = current(conn, "m", DAILY, RIGHT, windows=windows_between(0, 25 * DAY, "day"), now=26 * DAY)
    assert [one.start // DAY for one in found.fresh] == [3]
    spans = [values for text, values in asked if "outcomes.score IS NOT NULL" in text]
    assert len(spans) == 2 and all(3 * DAY in values and 4 * DAY in values for values in spans)


def test_a_provisional_window_is_replaced_and_kept_a_tenth_of_the_labels_apart(database: Database) -> None:
    ids = [f"r{place}" for place in range(100)]
    for place, one in enumerate(ids):
        predict(database, [one], place * 10 * MINUTE, [0.9])
    for place, one in enumerate(ids):  # one label an hour, and the loop looks each time
        label(database, (one, 1.0, DAY + place * HOUR))
        look(database, DAY + place * HOUR)
    with database.read() as conn:
        kept = history(conn, "m", DAILY, start=0, end=DAY)[0, ""]
    assert 5 <= len(kept) <= 13
    assert [one.labels for one in kept] == sorted(one.labels for one in kept)
    assert kept[-1].labels == 100 and all(one.at >= one.begun for one in kept)


def test_predictions_that_come_in_later_open_their_window_too(database: Database) -> None:
    answer_day(database, 0)
    look(database, 3 * DAY)
    predict(database, ["x"], 5 * HOUR, [0.9])
    (one,) = look(database, 4 * DAY).statements
    assert (one.predictions, one.revision, one.reopened) == (41, 2, 1)


def test_labels_of_the_future_wait_until_it_is_their_time(database: Database) -> None:
    predict(database, ["a", "b"], HOUR, [0.9, 0.9])
    label(database, ("a", 1.0, 9 * DAY), ("b", 1.0, 2 * DAY))
    assert [look(database, now * DAY).statements[0].labels for now in (1, 3, 8, 10)] == [0, 1, 1, 2]


def test_all_one_class_has_no_auc_and_says_why(sqlite_database: Database) -> None:
    answer_day(sqlite_database, 0, right=1.0)
    series = Series(metric="roc_auc", window="day")
    (one,) = look(sqlite_database, 3 * DAY, series=series, measure=named_metric("roc_auc", "binary")).statements
    assert (one.value, one.low, one.reason, one.labels) == (None, None, "only one class among the labels", 40)


def test_labels_of_one_moment_give_a_value_without_an_interval(sqlite_database: Database) -> None:
    predict(sqlite_database, ["a", "b"], HOUR, [0.9, 0.2])
    label(sqlite_database, ("a", 1.0, HOUR), ("b", 0.0, HOUR))
    series = Series(metric="log_loss", window="day")
    (one,) = look(sqlite_database, DAY, series=series, measure=named_metric("log_loss", "binary")).statements
    assert one.value is not None and one.low is None and "too few moments" in one.reason


def test_shadows_and_answers_that_are_no_numbers_are_not_counted(database: Database) -> None:
    predict(database, ["a"], HOUR, [0.9])
    predict(database, ["a"], HOUR, [0.1], version=2, arm="shadow")
    predict(database, ["b"], HOUR, [float("nan")])
    label(database, ("a", 1.0, HOUR), ("b", 1.0, HOUR))
    (one,) = look(database, DAY).statements
    assert (one.predictions, one.labels, one.value) == (1, 1, 1.0)


def test_a_series_can_be_forgotten(database: Database) -> None:
    answer_day(database, 0, count=3)
    look(database, 2 * DAY)
    with database.write() as conn:
        forget(conn, "m", [DAILY.key])
    assert said(database) == {}


@pytest.mark.parametrize(("share", "rows"), [(0.1, 50), (0.5, 30), (0.9, 200)])
def test_the_interval_of_a_share_holds_the_truth_19_times_in_20(share: float, rows: int) -> None:
    rng = np.random.default_rng(1)
    ends = [wilson(int(good), rows) for good in rng.binomial(rows, share, 2_000)]
    assert 0.925 <= np.mean([low <= share <= high for low, high in ends]) <= 0.985


def test_the_jackknife_holds_the_truth_though_spans_share_their_weather() -> None:
    """Twelve spans of unequal size, each with an offset of its own; an interval over rows would often miss it."""
    rng, held, by_rows = np.random.default_rng(2), [], []
    for _ in range(600):
        sizes = rng.integers(20, 120, 12)
        spans = [rng.normal(rng.normal(0.0, 0.3), 1.0, size) for size in sizes]
        rows = np.concatenate(spans)
        ends = sizes.cumsum().tolist()
        without = [
            float(np.delete(rows, np.s_[end - len(span) : end]).mean()) for span, end in zip(spans, ends, strict=True)
        ]
        low, high = jackknife(float(rows.mean()), without, sizes.tolist())
        held.append(low <= 0 <= high)
        by_rows.append(abs(rows.mean()) <= 1.96 * rows.std() / len(rows) ** 0.5)
    assert 0.92 <= np.mean(held) <= 0.98
    assert np.mean(by_rows) < 0.75


def test_the_usual_lateness_is_that_of_windows_that_are_through() -> None:
    """Young windows hold the quick labels only: with them the 99 % would look like an hour."""
    slow = np.full(300, 5 * DAY)
    windows = [(DAY, counted(slow)), (30 * DAY, counted(np.full(30_000, HOUR)))]
    assert usual_lateness(windows, 30 * DAY) == pytest.approx(5 * DAY, rel=0.13)
    mixed = [(day * DAY, counted(np.concatenate([np.full(97, HOUR), np.full(3, 5 * DAY)]))) for day in range(20)]
    young = [(day * DAY, counted(np.full(400, HOUR))) for day in range(20, 25)]
    assert usual_lateness(mixed + young, 25 * DAY) == pytest.approx(5 * DAY, rel=0.13)
    assert usual_lateness([], DAY) is None
