"""Drift calls for a cycle when the window after it has it too, and not at the first alarm."""

import numpy as np
import numpy.typing as npt
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.records import FeatureColumn, InputColumn, PredictionBatch, Signature
from homeostat.loop.declaration import Declaration
from homeostat.loop.triggers import drifted, when
from homeostat.loop.watch import due_cause
from homeostat.monitoring.alarms import list_alarms
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.record import record_batches
from homeostat.monitoring.rules import check_watch
from homeostat.monitoring.types import data_drift
from homeostat.registry.aliases import set_alias
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import register_version
from homeostat.rollout.types import shadow
from homeostat.store.database import Database

Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)
COLUMNS = (FeatureColumn(name="weight", kind="number"), FeatureColumn(name="height", kind="number"))
INPUTS = (InputColumn(name="weight", dtype="number"), InputColumn(name="height", dtype="number"))
BINS = fit_bins(COLUMNS, RNG.normal(size=(4_000, 2)))
PARCEL = Declaration(
    model="parcel",
    task="binary",
    examples="parcels",
    label="late",
    known_at="arrived",
    features=("weight", "height"),
    feature_hash="",
    inputs=INPUTS,
    sources=(),
    gate=(),
    rollout=shadow(),
    watch=(data_drift(window="2d"),),
    retrain=when(drifted()),
    train_window=70 * DAY,
    evaluation_window=7 * DAY,
    train_timeout=None,
    sticky=None,
    file_digest="",
    file_name="parcels.py",
    root=".",
)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    with sqlite_database.write() as conn:
        create_model(conn, "parcel", at=0, actor="test")
        register_version(
            conn,
            model="parcel",
            run_id=None,
            package=StoredPackage("onnx", {}, None),
            signature=Signature(task="binary", inputs=INPUTS, columns=COLUMNS, feature_hash=""),
            bins=BINS,
            evaluation={},
            at=0,
            actor="test",
        )
        set_alias(conn, "parcel", "champion", 1, at=0, actor="test")
    return sqlite_database


def serve(database: Database, day: int, vectors: Floats) -> None:
    rows = len(vectors)
    batch = PredictionBatch(
        endpoint="parcel",
        model="parcel",
        version=1,
        arm="stable",
        status="ok",
        request_ids=[f"{day}-{row}" for row in range(rows)],
        times=[day * DAY + HOUR] * rows,
        received=day * DAY + HOUR,
        latency_us=900,
        vectors=vectors.astype("<f8").tobytes(),
        scores=[0.5] * rows,
    )
    with database.write() as conn:
        record_batches(conn, [batch], bins={("parcel", 1): BINS}, slow_us={})


def after(database: Database, day: int) -> tuple[list[str], str]:
    """Subjects of open alarms, and the cause of a cycle, when the day has begun."""
    with database.write() as conn:
        check_watch(
            conn,
            PARCEL.watch,
            model="parcel",
            version=1,
            reference=BINS,
            reference_metrics={},
            metrics_fn=lambda _y, _score: {},
            now=day * DAY,
        )
        cause = due_cause(conn, PARCEL, now=day * DAY)
        open_alarms = [alarm.subject for alarm in list_alarms(conn, "parcel", is_open=True)]
    return open_alarms, "" if cause is None else cause.text


def test_drift_calls_for_a_cycle_when_the_next_window_has_it_too(database: Database) -> None:
    said = {}
    for day in range(14):
        serve(database, day, RNG.normal(loc=(0.0, 1.0 if day >= 8 else 0.0), size=(300, 2)))
        said[day + 1] = after(database, day + 1)
    assert [day for day, (alarms, _) in said.items() if alarms] == [9, 10, 11, 12, 13, 14]
    assert [day for day, (_, cause) in said.items() if cause] == [11, 12, 13, 14]
    assert said[14] == (["height"], "data drift: height")


def test_drift_that_is_over_with_the_next_window_calls_for_nothing(database: Database) -> None:
    causes, alarmed = set(), set()
    for day in range(14):
        serve(database, day, RNG.normal(loc=(0.0, 1.0 if day == 8 else 0.0), size=(300, 2)))
        alarms, cause = after(database, day + 1)
        causes.add(cause)
        alarmed.update(alarms)
    assert (causes, alarmed) == ({""}, {"height"})
