"""Drift presets: what is looked at and in what order, options old and new, texts, files, what cannot be compared."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import homeostat as hs
from homeostat.ground.errors import Invalid

ROWS = 800
WORDS = np.array(["red", "blue", "green", "cat", "dog", "house", "tree", "sun", "rain", "road", "late", "price"])


def frame(seed: int, *, shift: float = 0.0, rows: int = ROWS, topics: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    weights = np.array([1 + topics * 5, *[1.0] * 11])
    return pl.DataFrame(
        {
            "city": rng.choice(["Oslo", "Rome", "Lima"], size=rows),
            "x": rng.normal(size=rows) + shift,
            "review": [
                " ".join(rng.choice(WORDS, 9, p=weights / weights.sum())) + f" {number}" for number in range(rows)
            ],
            "n": rng.integers(0, 50, size=rows),
            "target": rng.integers(0, 2, size=rows),
            "prediction": rng.uniform(size=rows),
        }
    )


REFERENCE, SAME, MOVED = frame(1), frame(2), frame(3, shift=1.0)


def drifted(snapshot: hs.Snapshot) -> list[str]:
    metrics = snapshot.dict()["metrics"]
    return [metric["config"]["column"] for metric in metrics[1:] if metric["homeostat"]["drifted"]]


def test_numbers_come_first_then_categories_then_texts() -> None:
    snapshot = hs.Report([hs.DataDriftPreset()]).run(SAME, REFERENCE)
    columns = [metric["config"]["column"] for metric in snapshot.dict()["metrics"][1:]]
    assert columns == ["x", "n", "prediction", "city", "target", "review"]
    first = snapshot.as_dict()["metrics"][0]
    assert first["metric"] == "DatasetDriftMetric"
    assert list(first["result"]) == [
        "drift_share",
        "number_of_columns",
        "number_of_drifted_columns",
        "share_of_drifted_columns",
        "dataset_drift",
    ]


def test_calibrated_extras_are_under_a_key_of_their_own() -> None:
    snapshot = hs.Report([hs.DataDriftPreset()]).run(MOVED, REFERENCE)
    table = json.loads(json.dumps(snapshot.as_dict()))["metrics"][1]["result"]["drift_by_columns"]
    assert list(table["x"])[-1] == "homeostat"
    assert set(table["x"]["homeostat"]) == {"effect", "effect_is", "p_raw", "p_by_test"}
    assert table["x"]["stattest_name"] == "calibrated p_value"
    assert table["x"]["stattest_threshold"] == 0.05
    assert len(table["x"]["current"]["small_distribution"]["x"]) == 11
    assert len(table["x"]["current"]["small_distribution"]["y"]) == 10
    assert drifted(snapshot) == ["x"]
    assert "homeostat" not in table["city"] or "note" not in table["city"]["homeostat"]


def test_new_words_are_drift_of_a_text_and_are_named() -> None:
    snapshot = hs.Report([hs.DataDriftPreset()]).run(frame(4, topics=1.0), REFERENCE)
    assert drifted(snapshot) == ["review"]
    extra = snapshot.dict()["metrics"][-1]["homeostat"]
    assert extra["words"]["current"][0] == "red"
    assert extra["effect"] > 0.1
    assert "red" in snapshot.html()


def test_texts_take_their_part_of_alpha_and_false_alarms_stay_few() -> None:
    alarms = 0
    for seed in range(60):
        pair = frame(1_000 + seed, rows=150), frame(5_000 + seed, rows=150)
        alarms += bool(hs.Report([hs.DataDriftPreset(effect=0.0)]).run(*pair).dataset_drift)
    assert alarms <= 8  # 5 % of 60, and three sigmas


def test_a_text_that_goes_missing_has_drifted() -> None:
    gone = SAME.with_columns(pl.when(pl.col("n") > 25).then(pl.col("review")).alias("review"))
    snapshot = hs.Report([hs.DataDriftPreset(columns=["review"])]).run(gone, REFERENCE)
    assert drifted(snapshot) == ["review"]
    assert snapshot.dict()["metrics"][1]["homeostat"]["effect_is"] == "missing"


OLD_AND_NEW: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"stattest": "psi"}, {"method": "psi"}),
    ({"num_stattest": "ks", "num_stattest_threshold": 0.01}, {"num_method": "ks", "num_threshold": 0.01}),
    ({"cat_stattest": "TVD", "cat_stattest_threshold": 0.2}, {"cat_method": "TVD", "cat_threshold": 0.2}),
    ({"text_stattest": "abs_text_content_drift"}, {"text_method": "abs_text_content_drift"}),
    (
        {"per_column_stattest": {"x": "anderson"}, "per_column_stattest_threshold": {"x": 0.002}},
        {"per_column_method": {"x": "anderson"}, "per_column_threshold": {"x": 0.002}},
    ),
]


@pytest.mark.parametrize("mode", ["calibrated", "evidently"])
@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW, ids=[next(iter(old)) for old, _ in OLD_AND_NEW])
def test_older_option_names_mean_the_same(old: dict[str, Any], new: dict[str, Any], mode: str) -> None:
    numbers = [name for name in REFERENCE.columns if name != "review"] if "stattest" in old else None
    found = [
        hs.Report([hs.DataDriftPreset(numbers, mode=mode, **options)]).run(MOVED, REFERENCE).dict()
        for options in (old, new)
    ]
    assert found[0] == found[1]
    given = {name for name in new.values() if isinstance(name, str)}
    assert all(any(name in metric["metric_name"] for metric in found[0]["metrics"]) for name in given)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: hs.DataDriftPreset(alpha=0), "alpha"),
        (lambda: hs.DataDriftPreset(effect=1), "effect"),
        (lambda: hs.DataDriftPreset(mode="loud"), "mode"),
        (lambda: hs.ValueDrift("x", treshold=0.1), "treshold"),
        (lambda: hs.TargetDriftPreset(stat_test="ks"), "stat_test"),
        (lambda: hs.Report([hs.ValueDrift("x", method=7)]).run(SAME, REFERENCE), "method"),
        (lambda: hs.Report([hs.ValueDrift("x", method="perc_text_content_drift")]).run(SAME, REFERENCE), "method"),
        (lambda: hs.Report([hs.ValueDrift("gone")]).run(SAME, REFERENCE), "gone"),
    ],
)
def test_a_wrong_option_is_named(make: Any, field: str) -> None:
    with pytest.raises(Invalid) as error:
        make()
    assert error.value.field == field
    assert error.value.next_step


def test_a_report_s_mode_holds_unless_a_metric_has_its_own() -> None:
    snapshot = hs.Report([hs.ValueDrift("x"), hs.ValueDrift("x", mode="calibrated")], mode="evidently").run(
        SAME, REFERENCE
    )
    assert [metric["config"]["method"] for metric in snapshot.dict()["metrics"]] == [
        "K-S p_value",
        "calibrated p_value",
    ]


def test_a_function_judges_a_column() -> None:
    def farther(reference: Any, current: Any, kind: str, threshold: float) -> tuple[float, bool]:
        assert kind == "num"
        apart = abs(float(reference.mean() - current.mean()))
        return apart, apart > threshold

    report = hs.Report([hs.DataDriftPreset(["x"], per_column_method={"x": farther}, threshold=0.5)])
    [_, metric] = report.run(MOVED, REFERENCE).dict()["metrics"]
    assert metric["config"] == {
        "type": "evidently:metric_v2:ValueDrift",
        "column": "x",
        "method": "custom function 'farther'",
        "threshold": 0.5,
    }
    assert metric["value"] == pytest.approx(1.0, abs=0.2)


def test_counts_and_shares_have_conditions_of_their_own() -> None:
    counted = hs.DriftedColumnsCount(tests=[hs.lt(1)], share_tests=[hs.lt(0.5)])
    snapshot = hs.Report([counted]).run(MOVED, REFERENCE)
    assert [(check["value"], check["status"]) for check in snapshot.tests_results] == [
        (pytest.approx(1 / 6), "SUCCESS"),
        (1.0, "FAIL"),
    ]
    assert len(snapshot.dict()["metrics"]) == 1
    older = hs.Report([hs.DatasetDriftMetric(), hs.DataDriftTable()]).run(MOVED, REFERENCE).as_dict()["metrics"]
    assert [entry["metric"] for entry in older] == ["DatasetDriftMetric", "DataDriftTable"]


def test_target_and_prediction_are_looked_at_by_their_names_or_the_mapping_s() -> None:
    worse = SAME.with_columns(target=pl.lit(1), score=pl.col("prediction") ** 2)
    report = hs.Report([hs.TargetDriftPreset()])
    assert [m["result"]["column_name"] for m in report.run(worse, REFERENCE).as_dict()["metrics"]] == [
        "target",
        "prediction",
    ]
    mapping = hs.ColumnMapping(target="city", prediction="score")
    found = report.run(worse, REFERENCE.with_columns(score=pl.col("prediction")), column_mapping=mapping)
    assert [m["result"]["column_name"] for m in found.as_dict()["metrics"]] == ["city", "score"]
    assert [m["result"]["drift_detected"] for m in found.as_dict()["metrics"]] == [False, True]


def test_files_give_what_frames_give(tmp_path: Path) -> None:
    paths = [tmp_path / "reference.parquet", tmp_path / "current.parquet"]
    REFERENCE.write_parquet(paths[0])
    MOVED.write_parquet(paths[1], row_group_size=100)
    for mode in ("calibrated", "evidently"):
        report = hs.Report([hs.DataDriftPreset(), hs.TargetDriftPreset()], mode=mode)
        stored = report.run(paths[1], str(paths[0]))
        held = report.run(MOVED, REFERENCE)
        assert stored.dict() == held.dict()
        assert stored.as_dict() == held.as_dict()
        assert (stored.current_rows, stored.reference_rows) == (ROWS, ROWS)
    with pytest.raises(Invalid, match="no file"):
        report.run(tmp_path / "nowhere.parquet", REFERENCE)
    (tmp_path / "torn.parquet").write_bytes(paths[0].read_bytes()[:500])
    with pytest.raises(Invalid, match="cannot be read"):
        report.run(tmp_path / "torn.parquet", REFERENCE)


ONE_REPORT = """
import sys
from homeostat import DataDriftPreset, Report
def peak():  # of this process alone, which getrusage would not tell
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
import polars, scipy.special
before = peak()
found = Report([DataDriftPreset()]).run(sys.argv[2], sys.argv[1])
print(found.dataset_drift, (peak() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux' /proc")
def test_a_file_is_read_column_by_column(tmp_path: Path) -> None:
    rows, columns = 400_000, 40
    rng = np.random.default_rng(0)
    paths = [tmp_path / "reference.parquet", tmp_path / "current.parquet"]
    for path in paths:
        pl.DataFrame({f"x{number}": rng.normal(size=rows) for number in range(columns)}).write_parquet(path)
    done = subprocess.run(
        [sys.executable, "-c", ONE_REPORT, *map(str, paths)], capture_output=True, text=True, check=True
    )
    verdict, grown = done.stdout.split()
    assert verdict == "False"
    assert int(grown) < 170  # MiB; both frames together would be 244


def test_types_that_differ_between_the_sides_are_read_as_what_they_share() -> None:
    reference = pl.DataFrame({"code": [1, 2, 3] * 50, "label": pl.Series(["a", "b"] * 75, dtype=pl.Categorical)})
    current = pl.DataFrame({"code": [1.0, 2.0, 3.0] * 40, "label": ["a", "b"] * 60})
    snapshot = hs.Report([hs.DataDriftPreset()]).run(current, reference)
    assert drifted(snapshot) == []
    assert snapshot.status == "ok"
    texts = pl.DataFrame({"code": ["1", "2", "3"] * 40, "label": ["a", "b"] * 60})
    retyped = hs.Report([hs.DataDriftPreset()]).run(texts, reference)
    assert drifted(retyped) == []
    assert retyped.sections[0].notes == (
        "code: the reference holds Int64 and the current data String: compared as they print",
    )


def test_evidently_s_mode_says_what_it_could_not_compute() -> None:
    data = pl.DataFrame({"x": [1.0] * 50, "c": ["a", "b", "c", "d", "e"] * 10})
    preset = hs.DataDriftPreset(num_method="anderson", cat_method="fisher_exact", mode="evidently")
    snapshot = hs.Report([preset]).run(data, data)
    assert [metric["value"] for metric in snapshot.dict()["metrics"][1:]] == [None, None]
    assert snapshot.status == "insufficient"
    notes = " | ".join(snapshot.sections[0].notes)
    assert "anderson is not defined on these values: it needs values that differ" in notes
    assert "fisher_exact is not defined on these values: it needs at most two categories" in notes


def test_a_column_of_a_million_names_is_told_in_seconds_and_listed_in_part() -> None:
    names = [f"user {number}" for number in range(1_200_000)]
    reference, current = pl.DataFrame({"id": names[:800_000]}), pl.DataFrame({"id": names[400_000:]})
    definition = hs.DataDefinition(categorical_columns=("id",))
    report = hs.Report([hs.DataDriftPreset()])
    snapshot = report.run(current, reference, data_definition=definition)
    table = snapshot.as_dict()["metrics"][1]["result"]["drift_by_columns"]
    assert len(table["id"]["current"]["small_distribution"]["x"]) == 10_000
    assert len(snapshot.html()) < 300_000
