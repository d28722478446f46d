import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.records import FeatureColumn, Label, PredictionBatch
from homeostat.monitoring import store
from homeostat.monitoring.accuracy import counts
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.drift import first_day, profile
from homeostat.monitoring.health import error_rate, latency_quantile, slower_than, traffic, traffic_since
from homeostat.monitoring.labels import label_high_water, record_labels
from homeostat.monitoring.record import record_batches
from homeostat.store.database import Database

COLUMNS = (
    FeatureColumn(name="x", kind="number"),
    FeatureColumn(name="carrier", kind="category", categories=("UA", "AA")),
)
TRAINING = np.column_stack([np.arange(1000.0), np.tile([0.0, 1.0], 500)])
BINS = fit_bins(COLUMNS, TRAINING, scores=np.linspace(0, 1, 1000))


def batch(
    ids: Sequence[str],
    at: int,
    *,
    vectors: Any = None,
    scores: list[float] | None = None,
    version: int = 1,
    arm: str = "stable",
    status: str = "ok",
    latency_us: int = 500,
) -> PredictionBatch:
    rows = len(ids)
    vectors = TRAINING[:rows] if vectors is None else vectors
    return PredictionBatch(
        endpoint="m",
        model="m",
        version=version,
        arm=arm,
        status=status,
        request_ids=list(ids),
        times=[at] * rows,
        received=at + 17,
        latency_us=latency_us,
        vectors=np.ascontiguousarray(vectors, dtype="<f8").tobytes() if status == "ok" else b"",
        scores=[0.5] * rows if scores is None and status == "ok" else scores or [],
    )


def record(database: Database, batches: list[PredictionBatch], **kwargs: Any) -> int:
    with database.write() as conn:
        return record_batches(conn, batches, bins={("m", 1): BINS}, slow_us={"m": 1000}, **kwargs)


def test_rows_that_come_twice_are_kept_once(database: Database) -> None:
    first = [batch(["a", "b"], 5 * HOUR), batch(["a", "b"], 5 * HOUR, version=2, arm="shadow")]
    assert record(database, first) == 4
    assert record(database, [batch(["b", "c"], 5 * HOUR, scores=[0.9, 0.1])]) == 1
    with database.read() as conn:
        kept = conn.execute(sa.select(store.outcomes).order_by(store.outcomes.c.request_id)).all()
        assert counts(conn, "m") == {"predictions": 3, "labels": 0, "joined": 0}
    assert [(row.request_id, row.version, row.score) for row in kept if row.version == 1] == [
        ("a", 1, 0.5),
        ("b", 1, 0.5),
        ("c", 1, 0.1),
    ]


def test_traffic_adds_up_by_event_hour_version_and_arm(database: Database) -> None:
    for _ in range(2):
        record(
            database,
            [
                batch(["a"], 5 * HOUR + 1),
                batch(["b", "c"], 5 * HOUR + 2, latency_us=2000),
                batch(["d"], 6 * HOUR, scores=[float("nan")]),
                batch([], 0, status="rejected"),
                batch(["e"], 6 * HOUR, status="error"),
                batch(["a"], 5 * HOUR, version=2, arm="canary"),
            ],
        )
    with database.read() as conn:
        stable, canary = traffic(conn, "m", start=0, end=DAY)
        later = traffic_since(conn, "m", start=6 * HOUR + 30)[(1, "stable")]
        assert error_rate(conn, "m", start=0, end=DAY, version=1) == pytest.approx(4 / 8)
        assert error_rate(conn, "other", start=0, end=DAY) is None
    assert (stable.requests, stable.rows, stable.slow, stable.invalid) == (10, 10, 2, 2)
    assert (stable.errors, stable.rejected, stable.error_rate) == (2, 2, pytest.approx(0.5))
    assert (canary.version, canary.arm, canary.requests, canary.errors) == (2, "canary", 2, 0)
    assert sum(stable.latency) == 6  # only calls that were answered
    assert later.requests == 6  # the refused call, which has no times, counts at its neighbour's


def test_a_refused_call_alone_counts_at_the_time_it_came(database: Database) -> None:
    record(database, [batch([], 7 * HOUR, status="rejected")])
    with database.read() as conn:
        assert traffic(conn, "m", start=7 * HOUR, end=8 * HOUR)[0].rejected == 1


def test_profiles_count_every_row_of_every_column_by_day(database: Database) -> None:
    vectors = np.array([[-5.0, 0.0], [500.0, np.nan], [5000.0, 1.0]])
    record(database, [batch(["a", "b", "c"], DAY + HOUR, vectors=vectors)])
    record(database, [batch(["d"], 2 * DAY, vectors=[[np.nan, 1.0]], scores=[float("nan")])])
    with database.read() as conn:
        x, carrier, score = profile(conn, "m", 1, BINS, start=DAY, end=3 * DAY)
        only = profile(conn, "m", 1, BINS, start=2 * DAY, end=3 * DAY)
        assert first_day(conn, "m", 1) == DAY
        assert first_day(conn, "m", 2) is None
    assert (x[0], x[-2], x[-1], x.sum()) == (1, 1, 1, 4)
    assert carrier.tolist() == [1, 2, 0, 1]
    assert (score.sum(), score[-1]) == (4, 1)
    assert [column.sum() for column in only] == [1, 1, 1]


def test_vectors_that_do_not_fit_the_version_are_counted_as_invalid_and_stop_nothing(database: Database) -> None:
    assert record(database, [batch(["a"], HOUR, vectors=[[1.0, 0.0, 7.0]]), batch(["b"], HOUR)]) == 2
    with database.read() as conn:
        assert traffic(conn, "m", start=0)[0].invalid == 1
        assert [int(column.sum()) for column in profile(conn, "m", 1, BINS, start=0, end=DAY)] == [1, 1, 2]


def test_a_version_without_bins_is_recorded_without_a_profile(database: Database) -> None:
    record(database, [batch(["a"], HOUR, version=9)])
    with database.read() as conn:
        assert counts(conn, "m")["predictions"] == 1
        assert first_day(conn, "m", 9) is None


def test_nothing_to_record_is_fine(database: Database) -> None:
    assert record(database, []) == 0


def test_the_latency_quantile_is_right_to_a_bucket(sqlite_database: Database) -> None:
    rng = np.random.default_rng(3)
    latencies = rng.lognormal(np.log(2000), 0.5, 3000).astype(int)
    record(sqlite_database, [batch([f"r{i}"], HOUR, latency_us=int(us)) for i, us in enumerate(latencies)])
    with sqlite_database.read() as conn:
        one = traffic(conn, "m", start=0)[0]
    assert one.p99_us == pytest.approx(np.quantile(latencies, 0.99), rel=0.13)
    assert slower_than(one.latency, 4000) == pytest.approx((latencies > 4000).sum(), rel=0.1)
    assert latency_quantile([], 0.99) is None
    assert slower_than(one.latency, 1e9) == 0


def test_labels_are_kept_once_and_corrections_on_top(database: Database) -> None:
    labels = [Label(request_id="a", value=1.0, at=10), Label(request_id="b", value=0.0, at=11)]
    with database.write() as conn:
        assert label_high_water(conn) == 0
        assert record_labels(conn, "m", labels, recorded=1).accepted == 2
    with database.write() as conn:
        again = record_labels(conn, "m", [*labels, Label(request_id="a", value=0.0, at=12)], recorded=2)
        assert (again.accepted, again.duplicates) == (1, 2)
        assert conn.execute(sa.select(sa.func.count()).select_from(store.labels)).scalar() == 3
        assert label_high_water(conn) >= 3
        assert counts(conn, "m")["labels"] == 2


def test_the_same_label_twice_in_one_call_is_a_duplicate(database: Database) -> None:
    label = Label(request_id="a", value=1.0, at=10)
    with database.write() as conn:
        result = record_labels(conn, "m", [label, label], recorded=1)
    assert (result.accepted, result.duplicates) == (1, 1)


def test_five_thousand_rows_are_taken_in_quickly(sqlite_database: Database) -> None:
    columns = tuple(FeatureColumn(name=f"c{i}", kind="number") for i in range(20))
    rng = np.random.default_rng(0)
    bins = {("m", 1): fit_bins(columns, rng.normal(size=(2000, 20)), scores=rng.uniform(size=2000))}
    batches = [
        batch([f"request-{i}-{j}" for j in range(50)], i * HOUR, vectors=rng.normal(size=(50, 20))) for i in range(100)
    ]
    started = time.perf_counter()
    with sqlite_database.write() as conn:
        assert record_batches(conn, batches, bins=bins, slow_us={}) == 5000
    # About 7 us a row when the machine is idle; the bound only catches a change of order.
    assert (time.perf_counter() - started) / 5000 < 100e-6
