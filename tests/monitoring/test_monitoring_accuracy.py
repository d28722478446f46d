from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_monitoring_record import batch

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.records import Label
from homeostat.monitoring.accuracy import counts, joined, paired, window_accuracy
from homeostat.monitoring.labels import label_high_water, record_labels
from homeostat.monitoring.record import record_batches
from homeostat.monitoring.store import labels as labels_table
from homeostat.monitoring.store import outcomes
from homeostat.store.database import Database


def predict(database: Database, ids: Sequence[str], at: int, **kwargs: Any) -> None:
    with database.write() as conn:
        record_batches(conn, [batch(ids, at, **kwargs)], bins={}, slow_us={})


def label(database: Database, *labels: tuple[str, float, int]) -> None:
    with database.write() as conn:
        record_labels(conn, "m", [Label(request_id=i, value=v, at=at) for i, v, at in labels], recorded=0)


def share_right(y: Any, score: Any) -> dict[str, float]:
    return {"accuracy": float(((score > 0.5) == (y == 1)).mean())}


def test_only_labels_known_by_now_count(database: Database) -> None:
    predict(database, ["a", "b", "c", "d"], HOUR, scores=[0.9, 0.9, 0.1, 0.1])
    label(database, ("a", 1.0, 2 * HOUR), ("b", 1.0, 5 * HOUR))
    with database.read() as conn:
        early = window_accuracy(conn, "m", start=0, end=2 * HOUR, now=3 * HOUR, metrics_fn=share_right)
        late = window_accuracy(conn, "m", start=0, end=2 * HOUR, now=DAY, metrics_fn=share_right)
    assert (early.predictions, early.labelled, early.coverage) == (4, 1, 0.25)
    assert early.metrics == {"accuracy": 1.0}
    assert (late.labelled, late.coverage) == (2, 0.5)
    assert not late.provisional


def test_a_window_younger_than_the_usual_delay_is_provisional(database: Database) -> None:
    for hour in range(20):
        predict(database, [f"r{hour}"], hour * HOUR)
        label(database, (f"r{hour}", 1.0, (hour + 4) * HOUR))
    with database.read() as conn:
        ask = {"start": 10 * HOUR, "end": 20 * HOUR, "metrics_fn": share_right}
        assert window_accuracy(conn, "m", now=22 * HOUR, **ask).provisional
        assert not window_accuracy(conn, "m", now=25 * HOUR, **ask).provisional


def test_without_predictions_or_labels_there_is_no_metric(database: Database) -> None:
    with database.read() as conn:
        window = window_accuracy(conn, "m", start=0, end=DAY, now=DAY, metrics_fn=share_right)
    assert (window.predictions, window.coverage, window.metrics, window.provisional) == (0, 0.0, {}, True)


def test_the_latest_known_label_is_believed_as_of_each_moment(database: Database) -> None:
    predict(database, ["a"], HOUR)
    label(database, ("a", 1.0, 2 * HOUR))
    label(database, ("a", 0.0, 4 * HOUR))
    label(database, ("a", 1.0, 3 * HOUR))  # an older one that came late
    with database.read() as conn:
        seen = [joined(conn, "m", start=0, end=DAY, now=now * HOUR).y.tolist() for now in (1, 2, 3, 4, 9)]
        assert counts(conn, "m") == {"predictions": 1, "labels": 1, "joined": 1}
    assert seen == [[], [1.0], [1.0], [0.0], [0.0]]


def test_shadows_are_not_served_answers(database: Database) -> None:
    predict(database, ["a"], HOUR, scores=[0.2])
    predict(database, ["a"], HOUR, scores=[0.8], version=2, arm="shadow")
    label(database, ("a", 1.0, 2 * HOUR))
    with database.read() as conn:
        assert joined(conn, "m", start=0, end=DAY, now=DAY).score.tolist() == [0.2]
        assert joined(conn, "m", start=0, end=DAY, now=DAY, arms=("shadow",)).score.tolist() == [0.8]
        assert joined(conn, "m", version=2, start=0, end=DAY, now=DAY).score.tolist() == []


def test_answers_that_are_no_numbers_are_in_no_accuracy(database: Database) -> None:
    predict(database, ["a", "b"], HOUR, scores=[0.9, float("nan")])
    label(database, ("a", 1.0, HOUR), ("b", 1.0, HOUR))
    with database.read() as conn:
        assert joined(conn, "m", start=0, end=DAY, now=DAY).request_ids == ["a"]


def test_pairs_come_in_the_order_of_their_labels_each_request_once(database: Database) -> None:
    predict(database, ["a", "b", "c", "d"], HOUR, scores=[0.1, 0.2, 0.3, 0.4])
    predict(database, ["a", "b", "c"], HOUR, scores=[0.5, 0.6, 0.7], version=2, arm="shadow")
    label(database, ("c", 1.0, 2 * HOUR))
    label(database, ("a", 0.0, 3 * HOUR), ("d", 0.0, 3 * HOUR))
    with database.read() as conn:
        first = label_high_water(conn)
        pairs = paired(conn, "m", stable=1, candidate=2, after_seq=0, up_to_seq=first)
    assert (pairs.y.tolist(), pairs.score_stable.tolist(), pairs.score_candidate.tolist()) == (
        [1.0, 0.0],
        [0.3, 0.1],
        [0.7, 0.5],
    )
    label(database, ("a", 1.0, 5 * HOUR), ("b", 1.0, 5 * HOUR))  # a correction of a, and something new
    with database.read() as conn:
        later = paired(conn, "m", stable=1, candidate=2, after_seq=first, up_to_seq=label_high_water(conn))
        again = paired(conn, "m", stable=1, candidate=2, after_seq=first, up_to_seq=first)
    assert (later.score_stable.tolist(), later.label_at.tolist()) == ([0.2], [5 * HOUR])
    assert len(again.y) == 0


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([0.0, 1.0]), st.integers(0, 6), st.sampled_from("pl")),
    max_size=30,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, now=st.integers(0, 6))
def test_the_join_agrees_with_a_dictionary(
    sqlite_database: Database, rows: list[tuple[str, float, int, str]], now: int
) -> None:
    with sqlite_database.write() as conn:
        conn.execute(outcomes.delete())
        conn.execute(labels_table.delete())
    predicted: dict[str, float] = {}
    known: dict[str, tuple[int, int, float]] = {}
    sent: set[tuple[str, float, int]] = set()
    for order, (request, value, at, kind) in enumerate(rows):
        if kind == "p":
            predict(sqlite_database, [request], at, scores=[value / 2])
            predicted.setdefault(request, value / 2)
            continue
        label(sqlite_database, (request, value, at))
        if at <= now and (request, value, at) not in sent and (at, order) > known.get(request, (-1, -1, 0.0))[:2]:
            known[request] = (at, order, value)
        sent.add((request, value, at))
    with sqlite_database.read() as conn:
        rows_joined = joined(conn, "m", start=0, end=100, now=now)
    found = {i: (s, y) for i, s, y in zip(rows_joined.request_ids, rows_joined.score, rows_joined.y, strict=True)}
    assert found == {i: (score, known[i][2]) for i, score in predicted.items() if i in known}


def test_pairs_are_read_from_the_new_labels_only(sqlite_database: Database) -> None:
    """Looks happen often; each must cost what is new, not all labels there ever were."""
    with sqlite_database.read() as conn:
        recorded = []
        sa.event.listen(conn, "before_cursor_execute", lambda *args: recorded.append(args[2:4]))
        paired(conn, "m", stable=1, candidate=2, after_seq=10, up_to_seq=20)
        statement, parameters = recorded[-1]
        plan = [row[3] for row in conn.exec_driver_sql("explain query plan " + statement, parameters)]
    assert any("first USING INTEGER PRIMARY KEY (rowid>" in step for step in plan), plan


def test_coverage_and_metrics_of_many_rows(sqlite_database: Database) -> None:
    rng = np.random.default_rng(0)
    ids = [f"r{i}" for i in range(2000)]
    y = rng.integers(0, 2, 2000)
    predict(sqlite_database, ids, HOUR, vectors=np.zeros((2000, 2)), scores=(0.25 + 0.5 * y).tolist())
    label(sqlite_database, *((ids[i], float(y[i]), 2 * HOUR) for i in range(0, 2000, 2)))
    with sqlite_database.read() as conn:
        window = window_accuracy(conn, "m", start=0, end=DAY, now=DAY, version=1, metrics_fn=share_right)
    assert window.coverage == pytest.approx(0.5)
    assert window.metrics == {"accuracy": 1.0}
