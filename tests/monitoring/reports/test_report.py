"""`Report` as users call it: frames of any kind, both result shapes, bad data stated and never a traceback."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import homeostat as hs
from homeostat.ground.errors import Conflict, Invalid

ROWS = 600


def frame(seed: int, *, shift: float = 0.0, rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=rows) + shift,
        "n": rng.integers(0, 50, size=rows),
        "city": rng.choice(["Oslo", "Rome", "Lima"], size=rows).tolist(),
        "flag": rng.uniform(size=rows) < 0.3,
    }


SAME, MOVED = frame(2), frame(3, shift=1.5)
MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table, "dict": dict}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_the_snippet_runs_on_every_kind_of_frame(make: Any) -> None:
    from homeostat import DataDriftPreset, Report

    report = Report(metrics=[DataDriftPreset()])
    report.run(reference_data=make(frame(1)), current_data=make(MOVED))
    result = report.as_dict()["metrics"][0]["result"]
    assert result["dataset_drift"] is True
    assert (result["number_of_columns"], result["number_of_drifted_columns"]) == (4, 1)
    report.run(reference_data=make(frame(1)), current_data=make(SAME))
    assert report.as_dict()["metrics"][0]["result"]["dataset_drift"] is False


def test_both_shapes_are_plain_json_and_positions_are_current_then_reference() -> None:
    report = hs.Report([hs.DataDriftPreset()])
    snapshot = report.run(MOVED, frame(1))
    assert (snapshot.current_rows, snapshot.reference_rows) == (ROWS, ROWS)
    assert json.loads(json.dumps(snapshot.dict())) == json.loads(snapshot.json())
    assert json.loads(json.dumps(report.as_dict()))["metrics"] == json.loads(report.json())["metrics"]
    assert {"version", "timestamp"} <= set(json.loads(report.json()))
    first, *others = snapshot.dict()["metrics"]
    assert first["metric_name"] == "DriftedColumnsCount(drift_share=0.5)"
    assert first["value"] == {"count": 1.0, "share": 0.25}
    assert [metric["config"]["column"] for metric in others] == ["x", "n", "city", "flag"]
    assert report.run(frame(1), MOVED).dataset_drift is True


def test_a_saved_snapshot_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    snapshot = hs.Report([hs.DataDriftPreset()], include_tests=True).run(MOVED, frame(1))
    snapshot.save(tmp_path / "week.json")
    again = hs.Snapshot.load(tmp_path / "week.json")
    assert (again.dict(), again.as_dict(), again.status) == (snapshot.dict(), snapshot.as_dict(), "alarm")
    assert again.html() == snapshot.html()
    with pytest.raises(Invalid, match="no saved snapshot"):
        hs.Snapshot.loads("{}")


def test_a_report_asked_before_it_ran_says_so() -> None:
    with pytest.raises(Conflict, match="has not been run"):
        hs.Report([hs.DataDriftPreset()]).as_dict()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "current_data"),
        ({"current_data": SAME}, "reference_data"),
        ({"current_data": 7, "reference_data": SAME}, "current_data"),
        ({"current_data": "nowhere.parquet", "reference_data": SAME}, "current_data"),
        ({"current_data": SAME, "reference_data": SAME, "colum_mapping": 1}, "colum_mapping"),
        ({"current_data": pd.DataFrame([[1, 2]], columns=["a", "a"]), "reference_data": SAME}, "a"),
    ],
)
def test_what_cannot_be_run_is_said_with_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        hs.Report([hs.DataDriftPreset()]).run(**given)
    assert error.value.field == field and error.value.next_step


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: hs.Report([]), "metrics"),
        (lambda: hs.Report([hs.DataDriftPreset]), "metrics"),
        (lambda: hs.Report([hs.DataDriftPreset()], mode="loud"), "mode"),
        (lambda: hs.DataDriftPreset(drift_share=0), "drift_share"),
        (lambda: hs.DataDriftPreset(per_colum_method={}), "per_colum_method"),
        (lambda: hs.Report([hs.DataDriftPreset(method="guess")]).run(SAME, SAME), "method"),
        (lambda: hs.Report([hs.DataDriftPreset(cat_method="ks")]).run(SAME, SAME), "method"),
        (lambda: hs.Report([hs.DataDriftPreset(columns=["y"])]).run(SAME, SAME), "y"),
        (lambda: hs.Report([hs.TargetDriftPreset()]).run(SAME, SAME), "target"),
    ],
)
def test_a_wrong_option_is_named(make: Any, field: str) -> None:
    with pytest.raises(Invalid) as error:
        make()
    assert error.value.field == field and error.value.next_step


def verdict(reference: Any, current: Any, *, mode: str = "calibrated", **options: Any) -> hs.Snapshot:
    snapshot = hs.Report([hs.DataDriftPreset(**options)], mode=mode).run(current, reference)
    json.dumps([snapshot.dict(), snapshot.as_dict()], allow_nan=False)
    assert len(snapshot.html()) < 300_000
    return snapshot


NOTHING = [None] * 50
CASES = {
    "no rows": ({"x": []}, {"x": [1.0]}),
    "no rows on either side": ({"x": []}, {"x": []}),
    "one row": ({"x": [1.0], "c": ["a"]}, {"x": [2.0], "c": ["b"]}),
    "nothing but nulls": ({"x": NOTHING, "c": NOTHING}, {"x": NOTHING, "c": NOTHING}),
    "ten rows": ({"x": list(range(10))}, {"x": list(range(5, 15))}),
}


@pytest.mark.parametrize("mode", ["calibrated", "evidently"])
@pytest.mark.parametrize("case", CASES)
def test_too_little_data_is_insufficient_and_never_no_drift(case: str, mode: str) -> None:
    reference, current = CASES[case]
    snapshot = verdict(reference, current, mode=mode)
    if mode == "calibrated":
        assert snapshot.status == "insufficient"
        assert all(metric["value"] is None for metric in snapshot.dict()["metrics"][1:])
        assert any("too few" in note for section in snapshot.sections for note in section.notes)


def test_nulls_infinities_and_constants_are_columns_like_others() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    holes = np.where(rng.uniform(size=400) < 0.3, np.nan, x)
    reference = {"x": x, "still": np.full(400, 7.0), "gone": x, "wild": x}
    current = {
        "x": x,
        "still": np.full(400, 7.0) + rng.normal(size=400),
        "gone": holes,
        "wild": np.where(x > 0, np.inf, x),
    }
    found = verdict(reference, current).as_dict()["metrics"][1]["result"]["drift_by_columns"]
    assert {name: column["drift_detected"] for name, column in found.items()} == {
        "x": False,
        "still": True,  # a constant that starts to vary
        "gone": True,
        "wild": True,
    }
    verdict(reference, current, mode="evidently")


def test_missing_new_and_changed_columns_are_stated() -> None:
    reference = {"x": SAME["x"], "gone": SAME["x"], "kind": SAME["x"]}
    current = {"x": SAME["x"], "new": SAME["x"], "kind": ["a"] * ROWS}
    for mode in ("calibrated", "evidently"):
        snapshot = verdict(reference, current, mode=mode)
        [section] = snapshot.sections
        notes = " | ".join(section.notes)
        assert "gone: the current data do not have this column" in notes
        assert "only the current data have: new" in notes
        assert "kind: the current data hold String where numbers are expected" in notes
        assert snapshot.dict()["metrics"][0]["value"]["count"] == 2.0


def test_mixed_types_time_zones_and_huge_vocabularies_are_read() -> None:
    times = pd.date_range("2026-01-01", periods=ROWS, freq="h", tz="Europe/Berlin")
    mixed: list[Any] = [1, "two", 3.5, None, datetime(2026, 1, 1, tzinfo=UTC)] * (ROWS // 5)
    given = pd.DataFrame(
        {
            "when": times,
            "mixed": pd.Series(mixed, dtype=object),
            "id": [f"user {number}" for number in range(ROWS)],
            "small": pd.array([1, None, 2] * (ROWS // 3), dtype="Int64"),
            "kind": pd.Categorical(["a", "b", None] * (ROWS // 3)),
        }
    )
    snapshot = verdict(given, given)
    columns = [metric["config"]["column"] for metric in snapshot.dict()["metrics"][1:]]
    assert columns == ["small", "mixed", "kind", "id"]
    assert snapshot.status == "ok"
    assert any("times are not compared here: when" in note for note in snapshot.sections[0].notes)


def test_conditions_and_default_checks_have_their_say() -> None:
    quiet = hs.Report([hs.DataDriftPreset(tests=[hs.lt(0.5)])]).run(MOVED, frame(1))
    assert [check["status"] for check in quiet.tests_results] == ["SUCCESS"]
    checked = hs.Report([hs.ValueDrift("x"), hs.ValueDrift("n")], include_tests=True).run(MOVED, frame(1))
    assert [check["status"] for check in checked.dict()["tests"]] == ["FAIL", "SUCCESS"]
    own = hs.Report([hs.ValueDrift("x", method="ks", tests=[hs.gt(0.01), hs.between(0, 1)])]).run(SAME, frame(1))
    assert [check["status"] for check in own.tests_results] == ["SUCCESS", "SUCCESS"]
    assert own.status == "ok"


def test_a_mapping_says_what_columns_are_and_per_column_options_hold() -> None:
    mapping = hs.ColumnMapping(numerical_features=["x"], categorical_features=["n"], id="city")
    report = hs.Report([hs.DataDriftPreset(per_column_stattest={"x": "psi"}, stattest_threshold=0.2)])
    report.run(reference_data=frame(1), current_data=MOVED, column_mapping=mapping)
    table = report.as_dict()["metrics"][1]["result"]["drift_by_columns"]
    assert list(table) == ["x", "n", "flag"]
    assert (table["x"]["stattest_name"], table["x"]["stattest_threshold"]) == ("PSI", 0.2)
    assert table["n"]["column_type"] == "cat"


def test_a_page_holds_nothing_that_a_name_could_break_out_of() -> None:
    bad = "</script><script>alert(1)</script>"
    data = {bad: SAME["x"], "c": [bad, "<b>"] * (ROWS // 2)}
    page = hs.Report([hs.DataDriftPreset()], name=bad).run(data, data).html()
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 2 and "<b>" not in page
    assert "default-src 'none'" in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    framed = hs.Report([hs.DataDriftPreset()]).run(data, data)._repr_html_()
    assert framed.startswith("<iframe srcdoc=") and "<script" not in framed


def test_metrics_become_a_frame_and_a_dataset_is_a_frame() -> None:
    dataset = hs.Dataset.from_pandas(pd.DataFrame(SAME), data_definition=hs.DataDefinition(text_columns=("city",)))
    rows = hs.Report([hs.DataDriftPreset()]).run(dataset, dataset).as_dataframe()
    assert list(rows["metric"])[:2] == ["DriftedColumnsCount", "DriftedColumnsCount"]
    assert set(rows[rows["metric"] == "ValueDrift"]["params"].str.extract("column=([a-z]+)")[0]) == set(SAME)
