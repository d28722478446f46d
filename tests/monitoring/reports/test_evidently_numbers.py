"""mode="evidently" gives that tool's numbers; `golden/make_golden.py` wrote them down (Evidently 0.7.23)."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homeostat import DataDriftPreset, Report

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "evidently.json").read_text())
FILES = {
    "elec2": "elec2.parquet",
    "bike": "bike_sharing_hourly.parquet",
    "noaa": "noaa_bellevue_daily.parquet",
}


SHARED = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")


@pytest.fixture(scope="module")
def shared() -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(SHARED / file) for name, file in FILES.items()}


def frames(shared: dict[str, pl.DataFrame], case: str, columns: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    name, reference, current = case.split()
    frame = shared[name].select(columns)
    whole = [column for column in columns if frame[column].dtype.is_integer()]
    frame = frame.with_columns(pl.col(column).cast(pl.Int64) for column in whole)
    return frame.head(int(reference)), frame.tail(int(current))


@pytest.mark.parametrize("case", GOLDEN)
def test_the_older_shape_is_the_same_to_the_key(shared: dict[str, pl.DataFrame], case: str) -> None:
    wanted = GOLDEN[case]["old"]
    columns = list(wanted[1]["result"]["drift_by_columns"])
    reference, current = frames(shared, case, columns)
    report = Report(metrics=[DataDriftPreset()], mode="evidently")
    report.run(reference_data=reference, current_data=current)
    found = json.loads(json.dumps(report.as_dict()))["metrics"]
    assert [entry["metric"] for entry in found] == ["DatasetDriftMetric", "DataDriftTable"]
    for entry, other in zip(found, wanted, strict=True):
        assert list(entry["result"]) == list(other["result"])
    for key, value in wanted[0]["result"].items():
        assert found[0]["result"][key] == pytest.approx(value), key
    for name, other in wanted[1]["result"]["drift_by_columns"].items():
        one = found[1]["result"]["drift_by_columns"][name]
        assert list(one) == list(other)
        assert (one["column_type"], one["stattest_name"]) == (other["column_type"], other["stattest_name"])
        assert one["drift_score"] == pytest.approx(other["drift_score"], rel=1e-6, abs=1e-12), name
        assert one["drift_detected"] == other["drift_detected"]
        for side in ("current", "reference"):
            for axis in ("x", "y"):
                mine, theirs = (shape[side]["small_distribution"][axis] for shape in (one, other))
                if other["column_type"] == "num":
                    assert mine == pytest.approx(theirs)
                else:
                    assert sorted(map(str, mine)) == sorted(map(str, theirs))


@pytest.mark.parametrize("case", GOLDEN)
def test_the_current_shape_has_the_same_metrics_and_values(shared: dict[str, pl.DataFrame], case: str) -> None:
    wanted = dict(GOLDEN[case]["new"])
    columns = [re.search(r"column=([^,]+),", name)[1] for name in wanted if name.startswith("ValueDrift")]  # type: ignore[index]
    reference, current = frames(shared, case, columns)
    found = Report([DataDriftPreset()], mode="evidently").run(current, reference).dict()["metrics"]
    values = {metric["metric_name"]: metric["value"] for metric in found}
    assert set(values) == set(wanted)
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value, rel=1e-6, abs=1e-12), name


@pytest.mark.parametrize(
    ("case", "test"), [(case, test) for case, found in GOLDEN.items() for test in found["tests"]], ids=str
)
def test_a_test_by_name_gives_the_same_score(shared: dict[str, pl.DataFrame], case: str, test: str) -> None:
    wanted = GOLDEN[case]["tests"][test]
    if isinstance(wanted, str):
        pytest.fail(f"the golden file holds no numbers: {wanted}")
    kind, name = test.split()
    reference, current = frames(shared, case, list(wanted))
    if kind == "cat":
        reference, current = (frame.cast(pl.String) for frame in (reference, current))
    preset = DataDriftPreset(num_method=name if kind == "num" else None, cat_method=name if kind == "cat" else None)
    report = Report([preset], mode="evidently")
    report.run(current, reference)
    table = report.as_dict()["metrics"][1]["result"]["drift_by_columns"]
    for column, (score, drifted) in wanted.items():
        tolerance = 1e-4 if name in {"anderson", "cramer_von_mises"} else 1e-6  # scipy versions differ there
        assert table[column]["drift_score"] == pytest.approx(score, rel=tolerance, abs=1e-9), column
        assert table[column]["drift_detected"] == drifted
