"""mode="evidently" gives that tool's numbers; `golden/make_golden.py` wrote them down (Evidently 0.7.23)."""

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homeostat import ColumnMapping, DataDriftPreset, Report, ValueDrift

HERE = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((HERE / "evidently.json").read_text())
SHARED = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
EXACT: dict[str, Any] = {"rel": 1e-6, "abs": 1e-9}
TESTS = [(case, *test.split()) for case, found in GOLDEN.items() for test in found["tests"]]

READ = runpy.run_path(str(HERE / "frames.py"))["frames"]  # a file that Evidently's environment runs, too


@cache
def frames(case: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    found: tuple[pl.DataFrame, pl.DataFrame] = READ(SHARED, case)
    return found


@pytest.mark.parametrize("case", GOLDEN)
def test_the_older_shape_is_the_same_to_the_key_and_its_place(case: str) -> None:
    wanted = GOLDEN[case]["old"]
    reference, current = frames(case)
    report = Report(metrics=[DataDriftPreset()], mode="evidently")
    report.run(reference_data=reference, current_data=current)
    found = json.loads(json.dumps(report.as_dict()))["metrics"]
    assert [entry["metric"] for entry in found] == ["DatasetDriftMetric", "DataDriftTable"]
    assert [list(entry["result"]) for entry in found] == [list(entry["result"]) for entry in wanted]
    assert found[0]["result"] == pytest.approx(wanted[0]["result"])
    columns, theirs = (metrics[1]["result"]["drift_by_columns"] for metrics in (found, wanted))
    assert list(columns) == list(theirs)
    for name, other in theirs.items():
        one = columns[name]
        assert list(one) == list(other)
        for key in ("column_name", "column_type", "stattest_name", "stattest_threshold", "drift_detected"):
            assert one[key] == other[key], (name, key)
        assert one["drift_score"] == pytest.approx(other["drift_score"], **EXACT), name
        for side in ("current", "reference"):
            shape, wanted_shape = one[side]["small_distribution"], other[side]["small_distribution"]
            if wanted_shape != "long":
                assert shape["y"] == pytest.approx(wanted_shape["y"])
                is_number = other["column_type"] == "num"
                assert shape["x"] == (pytest.approx(wanted_shape["x"]) if is_number else wanted_shape["x"])


@pytest.mark.parametrize("case", GOLDEN)
@pytest.mark.parametrize("given", ["new", "new with options"])
def test_the_current_shape_has_the_same_metrics_and_values(case: str, given: str) -> None:
    reference, current = frames(case)
    options: dict[str, Any] = {
        "num_method": "psi",
        "cat_threshold": 0.2,
        "per_column_method": {reference.columns[0]: "hellinger"},
        "per_column_threshold": {reference.columns[1]: 0.3},
    }
    preset = DataDriftPreset(**options) if given == "new with options" else DataDriftPreset()
    found = Report([preset], mode="evidently").run(current, reference).dict()["metrics"]
    assert [metric["metric_name"] for metric in found] == [name for name, _ in GOLDEN[case][given]]
    for metric, (name, value) in zip(found, GOLDEN[case][given], strict=True):
        assert metric["value"] == pytest.approx(value, **EXACT), name


@pytest.mark.parametrize(("case", "column", "test"), TESTS, ids=[" ".join(test) for test in TESTS])
def test_a_test_by_name_gives_the_same_score_and_verdict(case: str, column: str, test: str) -> None:
    wanted = GOLDEN[case]["tests"][f"{column} {test}"]
    reference, current = (frame.select(column) for frame in frames(case))
    is_number = reference[column].dtype.is_numeric() and reference[column].n_unique() > 20
    mapping = ColumnMapping(text_features=["words"]) if column == "words" else None
    if not is_number:
        reference, current = (frame.cast(pl.String).drop_nulls() for frame in (reference, current))
        mapping = mapping or ColumnMapping(categorical_features=[column])
    report = Report([ValueDrift(column, method=test)], mode="evidently")
    report.run(current, reference, column_mapping=mapping)
    result = report.as_dict()["metrics"][0]["result"]
    if isinstance(wanted, str):  # they raise: of unlike sizes, of more than two categories
        assert test in {"fisher_exact", "g_test"}
        assert result["drift_score"] is None or "equal len" in wanted
        return
    score, drifted = wanted
    # Where distances tie, theirs count by the order of a set, which is another one in each process.
    tolerance: dict[str, Any] = {"abs": 0.06} if test == "TVD" and reference[column].n_unique() > 2 else EXACT
    assert result["drift_score"] == pytest.approx(score, **tolerance)
    assert result["drift_detected"] == drifted
