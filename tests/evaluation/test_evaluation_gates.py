"""Gates: what passes, what fails, and how often by chance."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from homeostat.evaluation.gates import Gate, at_least, at_most, beats_champion, no_slice_worse
from homeostat.evaluation.judge import check_gates, evaluate, judge
from homeostat.evaluation.store import get_evaluation, record_evaluation
from homeostat.ground.errors import Invalid, NotFound
from homeostat.store.database import Database

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_scores(seed: int, rows: int, *, better: float = 0.0) -> Arrays:
    """Labels with a known probability, and two noisy views of it; `better` takes noise from the first."""
    random = np.random.default_rng(seed)
    logit = random.normal(0, 1.5, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    ours, theirs = (logit + random.normal(0, noise, rows) for noise in (1 - better, 1))
    return y, 1 / (1 + np.exp(-ours)), 1 / (1 + np.exp(-theirs))


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "accuracy"])
def test_a_better_challenger_beats_the_champion_and_a_worse_one_does_not(metric: str) -> None:
    y, better, worse = make_scores(1, 2000, better=0.9)
    gate = [beats_champion(metric)]
    (won,) = judge(gate, "binary", y, better, champion_score=worse)
    (lost,) = judge(gate, "binary", y, worse, champion_score=better)
    assert won.passed and won.numbers["upper"] < 0
    assert not lost.passed and lost.value == pytest.approx(-(won.value or 0))


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_an_equal_challenger_passes_as_seldom_as_the_confidence_says(metric: str) -> None:
    wins = 0
    for seed in range(400):
        y, ours, theirs = make_scores(seed, 300)
        wins += judge([beats_champion(metric)], "binary", y, ours, champion_score=theirs)[0].passed
    assert wins / 400 == pytest.approx(0.05, abs=0.035)


def test_a_rival_by_rmse_is_judged_in_the_units_of_rmse() -> None:
    random = np.random.default_rng(0)
    y = random.normal(0, 10, 5000)
    ours, theirs = y + random.normal(0, 1, 5000), y + random.normal(0, 3, 5000)
    small, large = judge(
        [beats_champion("rmse", by=1.5), beats_champion("rmse", by=2.5)], "regression", y, ours, champion_score=theirs
    )
    assert small.value == pytest.approx(-2, abs=0.1)
    assert small.passed and not large.passed


def test_the_bound_by_the_delta_method_covers_as_it_says() -> None:
    covered = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        y = np.zeros(200)
        (found,) = judge(
            [beats_champion("rmse")], "regression", y, random.normal(0, 2, 200), champion_score=random.normal(0, 1, 200)
        )
        covered += found.numbers["upper"] >= 1.0  # the true difference
    assert covered / 400 == pytest.approx(0.95, abs=0.035)


def test_equal_scores_do_not_beat_anything() -> None:
    y, ours, _ = make_scores(0, 200)
    for metric in ("log_loss", "roc_auc"):
        assert not judge([beats_champion(metric)], "binary", y, ours, champion_score=ours)[0].passed


def test_few_rows_do_not_beat_a_champion() -> None:
    (found,) = judge([beats_champion("log_loss")], "binary", [1] * 20, [0.9] * 20, champion_score=[0.1] * 20)
    assert not found.passed and "too few" in found.detail


def test_without_a_champion_a_challenger_passes_with_a_note() -> None:
    y, ours, _ = make_scores(0, 200)
    found = judge([beats_champion("log_loss"), no_slice_worse("c", 0.1)], "binary", y, ours, slices={"c": [1] * 200})
    assert [(one.passed, one.detail) for one in found] == [(True, "no champion yet")] * 2


def test_levels_are_compared_and_printed() -> None:
    y, score = [0, 1, 1, 0], [0.1, 0.8, 0.4, 0.4]
    gates = [at_least("roc_auc", 0.62), at_most("brier", 0.01), at_least("roc_auc", 0.875)]
    found = judge(gates, "binary", y, score)
    assert [one.passed for one in found] == [True, False, True]
    assert found[0].line() == "roc_auc >= 0.62: 0.875 passed"
    assert found[1].line() == "brier <= 0.01: 0.143 failed"


@pytest.mark.parametrize(
    "gate", [at_least("accuracy", 0.0), at_most("log_loss", 99), beats_champion("log_loss"), no_slice_worse("c", 5.0)]
)
@pytest.mark.parametrize("who", ["challenger", "champion"])
def test_a_score_that_is_nan_fails_every_gate_by_name(gate: Gate, who: str) -> None:
    y, ours, theirs = make_scores(0, 200)
    (ours if who == "challenger" else theirs)[7] = np.nan
    (found,) = judge([gate], "binary", y, ours, champion_score=theirs, slices={"c": ["x"] * 200})
    assert not found.passed
    assert found.detail == f"{who}: 1 of 200 scores are NaN or infinite"


def test_no_rows_pass_no_gate() -> None:
    gates = [at_least("accuracy", 0.0), beats_champion("log_loss"), no_slice_worse("c", 1)]
    assert [one.detail for one in judge(gates, "binary", [], [])] == ["no labelled rows"] * 3


def test_one_class_fails_a_gate_on_roc_auc_with_the_reason() -> None:
    (found,) = judge([at_least("roc_auc", 0.5)], "binary", [1, 1], [0.5, 0.6])
    assert (found.passed, found.value, found.detail) == (False, None, "only one class among the labels")


def test_a_slice_that_is_really_worse_fails_and_is_named() -> None:
    y, good, same = make_scores(2, 3000)
    slices = {"origin": ["EWR", "JFK", "LGA"] * 1000}
    spoiled = good.copy()
    spoiled[1::3] = 1 - spoiled[1::3]
    (found,) = judge([no_slice_worse("origin", by=0.03)], "binary", y, spoiled, champion_score=same, slices=slices)
    assert not found.passed and found.detail.startswith("JFK +") and found.numbers["failed"] == 1
    (fine,) = judge([no_slice_worse("origin", by=0.03)], "binary", y, good, champion_score=same, slices=slices)
    assert fine.passed


def test_many_small_slices_seldom_fail_a_challenger_that_is_not_worse() -> None:
    failures = 0
    for seed in range(150):
        y, ours, theirs = make_scores(seed, 1200)
        slices = {"c": [i % 20 for i in range(1200)]}
        failures += not judge([no_slice_worse("c", 0.0)], "binary", y, ours, champion_score=theirs, slices=slices)[
            0
        ].passed
    assert failures / 150 < 0.12  # 20 slices at 5 % each would be 0.64


def test_slices_too_small_to_compare_pass_with_a_note_and_unknown_columns_fail() -> None:
    y, ours, theirs = make_scores(0, 100)
    slices = {"id": list(range(100))}
    small, unknown = judge(
        [no_slice_worse("id", 0), no_slice_worse("origin", 0)], "binary", y, ours, champion_score=theirs, slices=slices
    )
    assert small.passed and "no slice has 50 rows" in small.detail
    assert not unknown.passed and "'origin'; known: id" in unknown.detail


def test_an_evaluation_holds_everyone_and_every_large_slice() -> None:
    y, ours, theirs = make_scores(0, 200)
    slices = {"c": ["a"] * 120 + [None] * 60 + ["b"] * 20}
    found = evaluate(
        "binary", y, ours, champion_score=theirs, baseline_score=0.5, slices=slices, metrics=["log_loss", "roc_auc"]
    )
    assert (found.rows, list(found.challenger), list(found.slices["c"])) == (
        200,
        ["log_loss", "roc_auc"],
        ["a", "null"],
    )
    assert found.baseline == pytest.approx({"log_loss": np.log(2), "roc_auc": 0.5})
    assert found.slices["c"]["a"].rows == 120 and found.slices["c"]["a"].champion is not None
    one_class = evaluate("binary", [1, 1], [0.4, 0.5])
    assert one_class.challenger["roc_auc"] is None
    assert one_class.notes["challenger.roc_auc"] == "only one class among the labels"
    assert msgspec.json.decode(msgspec.json.encode(one_class), type=type(one_class)) == one_class


def test_gates_travel_as_json() -> None:
    gates = [
        at_least("roc_auc", 0.62),
        at_most("brier", 0.3),
        beats_champion("log_loss", 0.01),
        no_slice_worse("c", 0.1),
    ]
    data = msgspec.json.encode(gates)
    assert msgspec.json.decode(data, type=list[Gate]) == gates


@pytest.mark.parametrize(
    "make",
    [
        lambda: at_least("a", float("nan")),
        lambda: beats_champion("a", by=-1),
        lambda: beats_champion("a", confidence=1.0),
        lambda: no_slice_worse("c", by=-0.1),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(make: object) -> None:
    with pytest.raises(Invalid):
        make()  # type: ignore[operator]


def test_a_gate_on_a_metric_of_another_task_is_refused_at_declaration() -> None:
    check_gates([at_least("roc_auc", 0.6), no_slice_worse("c", 0.1)], "binary")
    with pytest.raises(Invalid, match="'rmse'"):
        check_gates([beats_champion("rmse")], "binary")
    with pytest.raises(Invalid, match="neither 0 nor 1"):
        judge([], "binary", [0, 2], [0.5, 0.5])


def test_declaring_gates_needs_no_heavy_library() -> None:
    heavy = "{'numpy', 'polars', 'sqlalchemy'}"
    program = f"import sys, homeostat.evaluation.gates; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_evaluation_is_kept_once_for_a_run(database: Database) -> None:
    y, ours, theirs = make_scores(0, 200)
    found = evaluate("binary", y, ours, champion_score=theirs, slices={"c": ["a"] * 200})
    gates = judge([at_least("roc_auc", 0.5), beats_champion("roc_auc")], "binary", y, ours, champion_score=theirs)
    with database.write() as conn:
        first = record_evaluation(conn, run_id="a" * 32, evaluation=found, gates=gates, at=5, actor="loop")
        again = record_evaluation(conn, run_id="a" * 32, evaluation=found, gates=[], at=6, actor="loop")
        with pytest.raises(NotFound):
            get_evaluation(conn, "b" * 32)
    assert again == first
    assert (first.evaluation, first.gates, first.at) == (found, gates, 5)
