"""Labels by entity key, labels before their predictions, and the history of labels, on both databases."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, HOUR, MINUTE
from homeostat.ground.errors import Invalid
from homeostat.ground.records import InputColumn, Label, PredictionBatch
from homeostat.monitoring.accuracy import joined, paired
from homeostat.monitoring.keyed import FOREVER, KeyLabel, join_all, join_key_labels, record_key_labels
from homeostat.monitoring.keys import (
    KeySet,
    forget_keys,
    index_batches,
    index_rows,
    key_rows,
    list_key_sets,
    open_key_set,
    set_progress,
)
from homeostat.monitoring.labels import count_waiting, label_high_water, label_history, record_labels, wake_labels
from homeostat.monitoring.record import record_batches
from homeostat.store.database import Database

SHOP = InputColumn(name="shop", dtype="number")
ITEM = InputColumn(name="item", dtype="string")
KEYS = KeySet(model="m", columns=(ITEM, SHOP))


def predict(
    database: Database, requests: Sequence[str], at: int, shop: float = 7, item: str = "tea", *, version: int = 1
) -> None:
    """Take in a prediction as the loop does."""
    rows = len(requests)
    batch = PredictionBatch(
        endpoint="m",
        model="m",
        version=version,
        arm="stable" if version == 1 else "shadow",
        status="ok",
        request_ids=list(requests),
        times=[at] * rows,
        received=at,
        latency_us=1,
        inputs={"shop": [shop] * rows, "item": [item] * rows},
        scores=[0.5] * rows,
    )
    with database.write() as conn:
        record_batches(conn, [batch], bins={}, slow_us={})
        wake_labels(conn, [batch])
        join_key_labels(conn, index_batches(conn, [batch], columns={}))


def label(
    database: Database,
    value: float,
    *,
    at: int = 5 * DAY,
    time: int = FOREVER,
    within: int = DAY,
    shop: float = 7,
    item: str = "tea",
) -> tuple[int, int, int, int]:
    key = KEYS.key([item, shop])
    assert key is not None
    earliest = time - within if time < FOREVER else -(1 << 63)
    sent = KeyLabel(key=key, keys={"item": item, "shop": shop}, value=value, at=at, time=time, earliest=earliest)
    with database.write() as conn:
        open_key_set(conn, "m", KEYS.columns)
        result = record_key_labels(conn, "m", [sent], recorded=17, actor="ci")
    return result.accepted, result.duplicates, result.changed, result.waiting


def truth(database: Database) -> dict[str, float]:
    """What is believed of each request."""
    with database.read() as conn:
        rows = joined(conn, "m", start=-(1 << 62), end=1 << 62, now=1 << 62)
    return dict(zip(rows.request_ids, rows.y.tolist(), strict=True))


def open_keys(database: Database) -> None:
    with database.write() as conn:
        open_key_set(conn, "m", KEYS.columns)


def test_a_label_by_key_and_time_is_for_the_newest_prediction_at_or_before_that_time(database: Database) -> None:
    open_keys(database)
    predict(database, ["early"], 2 * HOUR)
    predict(database, ["right", "twin"], 3 * HOUR)
    predict(database, ["late"], 5 * HOUR)
    predict(database, ["other"], 3 * HOUR, item="milk")
    assert label(database, 1.0, time=4 * HOUR) == (1, 0, 0, 0)
    assert truth(database) == {"right": 1.0, "twin": 1.0}


def test_an_exact_time_is_met_exactly(database: Database) -> None:
    open_keys(database)
    predict(database, ["a"], 3 * HOUR)
    predict(database, ["b"], 3 * HOUR + 1)
    label(database, 1.0, time=3 * HOUR)
    label(database, 0.0, time=3 * HOUR + 1)
    assert truth(database) == {"a": 1.0, "b": 0.0}


def test_a_prediction_from_before_the_window_is_not_meant(database: Database) -> None:
    open_keys(database)
    predict(database, ["old"], HOUR)
    assert label(database, 1.0, time=4 * HOUR, within=2 * HOUR) == (1, 0, 0, 1)
    assert truth(database) == {}
    assert label(database, 1.0, time=3 * HOUR, within=2 * HOUR) == (1, 0, 0, 0)
    assert truth(database) == {"old": 1.0}


def test_a_label_without_time_is_for_all_predictions_past_and_to_come(database: Database) -> None:
    open_keys(database)
    predict(database, ["past"], HOUR)
    label(database, 1.0)
    predict(database, ["to come"], 9 * DAY, shop=7.0)
    predict(database, ["somebody else's"], HOUR, shop=8)
    assert truth(database) == {"past": 1.0, "to come": 1.0}


EVENTS = ("first prediction", "second prediction", "label", "correction")


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=", ".join)
def test_the_order_in_which_predictions_and_labels_come_does_not_matter(
    sqlite_database: Database, order: Sequence[str]
) -> None:
    open_keys(sqlite_database)
    acts = {
        "first prediction": lambda: predict(sqlite_database, ["first"], 2 * HOUR),
        "second prediction": lambda: predict(sqlite_database, ["second"], 3 * HOUR),
        "label": lambda: label(sqlite_database, 1.0, time=3 * HOUR + MINUTE, at=DAY),
        "correction": lambda: label(sqlite_database, 0.0, time=3 * HOUR + MINUTE, at=2 * DAY),
    }
    for event in order:
        acts[event]()
    assert truth(sqlite_database) == {"second": 0.0}
    with sqlite_database.read() as conn:
        assert [one.value for one in label_history(conn, "m", "second")] == [1.0, 0.0]
        assert label_history(conn, "m", "first") == []
        assert count_waiting(conn, "m") == 0


def test_a_better_prediction_that_comes_later_takes_the_label_over_on_both_databases(database: Database) -> None:
    open_keys(database)
    predict(database, ["first"], 2 * HOUR)
    label(database, 1.0, time=4 * HOUR)
    assert truth(database) == {"first": 1.0}
    predict(database, ["second"], 3 * HOUR)
    assert truth(database) == {"second": 1.0}
    predict(database, ["after it"], 5 * HOUR)
    assert truth(database) == {"second": 1.0}


def test_the_same_label_twice_is_kept_once_and_a_contradiction_is_counted(database: Database) -> None:
    open_keys(database)
    predict(database, ["a"], HOUR)
    assert label(database, 1.0, time=HOUR, at=DAY) == (1, 0, 0, 0)
    assert label(database, 1.0, time=HOUR, at=DAY) == (0, 1, 0, 0)
    assert label(database, 0.0, time=HOUR, at=2 * DAY) == (1, 0, 1, 0)
    assert truth(database) == {"a": 0.0}
    with database.read() as conn:
        history = label_history(conn, "m", "a")
    assert [(one.value, one.believed, one.actor, one.recorded, one.time) for one in history] == [
        (1.0, False, "ci", 17, HOUR),
        (0.0, True, "ci", 17, HOUR),
    ]
    assert history[0].keys == {"item": "tea", "shop": 7}


def test_a_label_by_id_and_one_by_key_of_the_same_request_stand_beside_each_other(database: Database) -> None:
    open_keys(database)
    predict(database, ["a"], HOUR)
    with database.write() as conn:
        record_labels(conn, "m", [Label(request_id="a", value=1.0, at=DAY)], recorded=1, actor="x")
    label(database, 1.0, time=2 * HOUR, at=DAY)
    predict(database, ["b"], 2 * HOUR)  # takes over the label by key, and only that
    assert truth(database) == {"a": 1.0, "b": 1.0}


def test_labels_before_their_prediction_wait_and_are_counted(database: Database) -> None:
    early = [Label(request_id=name, value=1.0, at=HOUR) for name in ("a", "b")]
    with database.write() as conn:
        assert record_labels(conn, "m", early, recorded=1).waiting == 2
        assert count_waiting(conn, "m") == 2
    label(database, 1.0, time=2 * HOUR)
    with database.read() as conn:
        assert count_waiting(conn, "m") == 3
    predict(database, ["a"], 2 * HOUR)
    with database.read() as conn:
        assert count_waiting(conn, "m") == 1  # b was never asked
        assert [one.waiting for one in label_history(conn, "m", "b")] == [True]
    with database.write() as conn:
        assert record_labels(conn, "m", [Label(request_id="a", value=0.0, at=3 * HOUR)], recorded=2).waiting == 0


def test_a_label_before_its_prediction_is_evidence_all_the_same(database: Database) -> None:
    with database.write() as conn:
        record_labels(conn, "m", [Label(request_id="a", value=1.0, at=HOUR)], recorded=1)
        passed = label_high_water(conn)
    predict(database, ["a"], 2 * HOUR)
    predict(database, ["a"], 2 * HOUR, version=2)
    with database.read() as conn:
        water = label_high_water(conn)
        pairs = paired(conn, "m", stable=1, candidate=2, after_seq=passed, up_to_seq=water)
        again = paired(conn, "m", stable=1, candidate=2, after_seq=water, up_to_seq=water + 100)
    assert (pairs.y.tolist(), again.y.tolist()) == ([1.0], [])


def test_keys_are_read_from_the_vector_when_only_that_is_logged(database: Database) -> None:
    only_shop = KeySet(model="m", columns=(SHOP,))
    batch = PredictionBatch(
        endpoint="m",
        model="m",
        version=1,
        arm="stable",
        status="ok",
        request_ids=["a", "b", "c"],
        times=[HOUR] * 3,
        received=HOUR,
        latency_us=1,
        vectors=np.array([[1.0, 7.0], [1.0, np.nan], [7.0, 8.0]]).tobytes(),
        scores=[0.1, 0.2, 0.3],
    )
    with database.write() as conn:
        open_key_set(conn, "m", [SHOP])
        found = index_batches(conn, [batch], columns={("m", 1): ("price", "shop")})
    assert found == {"m": [only_shop.key([7]), only_shop.key([8])]}


def test_a_new_key_set_waits_for_its_index_and_joins_what_was_asked_before(database: Database) -> None:
    label(database, 1.0, time=2 * HOUR)
    with database.write() as conn:
        (new,) = list_key_sets(conn, "m")
        assert new.progress == {}
        index_rows(conn, key_rows(new, [["tea"], [7]], [2 * HOUR], ["before"]))
        index_rows(conn, key_rows(new, [["tea"], [7]], [2 * HOUR], ["before"]))
        set_progress(conn, new, None)
        record_batches(conn, [scored("before", 2 * HOUR)], bins={}, slow_us={})
        join_all(conn, "m")
        assert list_key_sets(conn)[0].progress is None
    assert truth(database) == {"before": 1.0}


def scored(request: str, at: int) -> PredictionBatch:
    return PredictionBatch(
        endpoint="m",
        model="m",
        version=1,
        arm="stable",
        status="ok",
        request_ids=[request],
        times=[at],
        received=at,
        latency_us=1,
        scores=[0.5],
    )


def test_a_model_has_a_few_key_sets_at_most(database: Database) -> None:
    def open_set(conn: Connection, name: str) -> None:
        open_key_set(conn, "m", [InputColumn(name=name, dtype="string")])

    with database.write() as conn:
        for name in ("a", "b", "c", "d", "d", "a"):
            open_set(conn, name)
        with pytest.raises(Invalid, match="use one of a; b; c; d"):
            open_set(conn, "e")


def test_index_rows_of_long_ago_are_dropped(database: Database) -> None:
    open_keys(database)
    predict(database, ["old"], HOUR)
    predict(database, ["new"], 3 * HOUR)
    with database.write() as conn:
        assert forget_keys(conn, before=2 * HOUR) == 1
    label(database, 1.0)
    assert truth(database) == {"new": 1.0}
