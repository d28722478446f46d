"""What rollouts read of monitoring: labels of either arm's own rows, what is slow for a version, what is no answer."""

import time
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from test_monitoring_accuracy import label, predict
from test_monitoring_record import batch, record

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import UserCodeFailed
from homeostat.ground.ports import Served
from homeostat.ground.records import Signature
from homeostat.monitoring.arms import arm_labels
from homeostat.monitoring.health import BUCKET_EDGES, traffic
from homeostat.monitoring.labels import label_high_water
from homeostat.monitoring.slowness import limit_of, own_limit
from homeostat.monitoring.store import labels, outcomes
from homeostat.serving.scoring import logged_status, score_matrix
from homeostat.store.database import Database


def test_labels_count_for_the_arm_that_answered_and_once(database: Database) -> None:
    predict(database, ["before"], HOUR)
    predict(database, ["ours", "late"], 3 * HOUR, scores=[0.2, 0.3])
    predict(database, ["theirs"], 3 * HOUR, version=2, arm="canary", scores=[0.9])
    predict(database, ["ours", "other"], 3 * HOUR, version=2, arm="shadow")
    label(database, *((name, 1.0, 5 * HOUR) for name in ("before", "theirs", "ours", "other", "nobody")))
    label(database, ("theirs", 0.0, 6 * HOUR))  # a correction
    with database.read() as conn:
        ask = {"stable": 1, "candidate": 2, "since": 2 * HOUR}
        water = label_high_water(conn)
        found = arm_labels(conn, "m", **ask, after_seq=0, up_to_seq=water)
        assert arm_labels(conn, "m", **ask, after_seq=water, up_to_seq=water + 9).y.tolist() == []
        assert arm_labels(conn, "elsewhere", **ask, after_seq=0, up_to_seq=water).y.tolist() == []
    assert found.score.tolist() == [0.9, 0.2]
    assert found.is_candidate.tolist() == [True, False]
    assert (found.y.tolist(), found.label_at.tolist()) == ([1.0, 1.0], [5 * HOUR, 5 * HOUR])


def test_a_look_at_new_labels_does_not_cost_by_what_was_asked_before(sqlite_database: Database) -> None:
    count = 20_000
    with sqlite_database.write() as conn:
        rows = [
            {"request_id": f"r{i}", "model": "m", "version": 1 + i % 2, "at": i, "score": 0.5}
            | {"arm": "canary" if i % 2 else "stable"}
            for i in range(count)
        ]
        conn.execute(outcomes.insert(), rows)
        known = [column.name for column in labels.columns]
        told = {"model": "m", "value": 1.0, "recorded": 0, "actor": "", "key_label": 0, "waiting": False}
        told = {name: value for name, value in told.items() if name in known}
        conn.execute(labels.insert(), [told | {"request_id": f"r{i}", "at": i} for i in range(count)])
    with sqlite_database.read() as conn:
        began = time.perf_counter()
        ask = {"stable": 1, "candidate": 2, "since": 1}
        assert len(arm_labels(conn, "m", **ask, after_seq=count - 500, up_to_seq=count).y) == 500
        assert time.perf_counter() - began < 0.5  # 2 s when every label walks all requests


def test_what_hardly_any_answer_of_its_own_took_is_slow_for_a_version(database: Database) -> None:
    record(database, [batch([f"old{i}"], HOUR, latency_us=90_000) for i in range(60)])
    record(database, [batch([f"new{i}"], 30 * HOUR, latency_us=1_000 if i < 99 else 50_000) for i in range(100)])
    record(database, [batch([f"c{i}"], 30 * HOUR, version=2, arm="canary") for i in range(60)])
    with database.read() as conn:
        found = own_limit(conn, "m", 1, now=30 * HOUR + 1)
        assert found is not None and found.us == pytest.approx(1_000)
        assert own_limit(conn, "m", 1, now=2 * HOUR).us > 90_000  # type: ignore[union-attr]
        assert own_limit(conn, "m", 1, now=60 * DAY) is None
        assert own_limit(conn, "m", 2, now=30 * HOUR) is None  # it never was the stable arm
        [ours] = traffic(conn, "m", start=30 * HOUR, version=1)
    assert sum(ours.latency[found.bucket + 1 :]) == 1
    assert limit_of([0] * 65 + [10]).us == BUCKET_EDGES[-1]


@pytest.mark.parametrize(
    ("batches", "counts"),
    [
        ([batch(["a"], HOUR, scores=[1.5])], (0, 1)),
        ([batch(["a"], HOUR, scores=[-0.01])], (0, 1)),
        ([batch(["a"], HOUR, scores=[1.0])], (0, 0)),
        ([batch(["a"], HOUR, status="error")], (1, 0)),
        ([batch(["a"], HOUR, status="invalid")], (0, 1)),
    ],
)
def test_a_probability_beyond_0_and_1_is_no_answer(
    sqlite_database: Database, batches: list[object], counts: tuple[int, int]
) -> None:
    record(sqlite_database, batches, probabilities={("m", 1)})  # type: ignore[arg-type]
    with sqlite_database.read() as conn:
        [one] = traffic(conn, "m", start=0)
    assert (one.errors, one.invalid) == counts


class Nowhere:
    """A scorer that gives no numbers."""

    def score(self, matrix: Any) -> Any:
        return np.full(len(matrix), np.nan)


def test_what_serving_logs_of_a_score_that_is_no_number_is_invalid_and_no_error(sqlite_database: Database) -> None:
    signature = Signature(task="binary", inputs=(), columns=(), feature_hash="")
    served = Served(model="m", version=1, signature=signature, scorer=Nowhere(), features=None)
    with pytest.raises(UserCodeFailed) as caught:
        score_matrix(served, np.zeros((1, 2)))
    record(sqlite_database, [batch(["a"], HOUR, status=logged_status(caught.value))])
    with sqlite_database.read() as conn:
        [one] = traffic(conn, "m", start=0)
        assert conn.execute(sa.select(sa.func.count()).select_from(outcomes)).scalar_one() == 0
    assert (one.errors, one.invalid, one.requests) == (0, 1, 1)
