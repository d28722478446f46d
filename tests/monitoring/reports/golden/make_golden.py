# ruff: noqa: ANN001, ANN003, ANN201, BLE001, NPY002  a script for another environment; what a test of theirs cannot do is written down
"""Evidently's own numbers on real data, for `test_evidently_numbers.py`.

Run in an environment with evidently==0.7.23, pandas<3, pyarrow and polars:
python make_golden.py DATA_FOLDER > evidently.json
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from evidently import Report as NewReport
from evidently.legacy.metric_preset import DataDriftPreset as OldPreset
from evidently.legacy.metrics import ColumnDriftMetric
from evidently.legacy.pipeline.column_mapping import ColumnMapping
from evidently.legacy.report import Report as OldReport
from evidently.presets import DataDriftPreset as NewPreset
from frames import CASES, frames

warnings.simplefilter("ignore")
NUMBER_TESTS = ["ks", "wasserstein", "jensenshannon", "psi", "kl_div", "hellinger", "anderson", "cramer_von_mises"]
NUMBER_TESTS += ["ed", "es", "mannw", "t_test"]
CATEGORY_TESTS = ["chisquare", "z", "jensenshannon", "psi", "kl_div", "hellinger", "g_test", "fisher_exact", "TVD"]
TEXT_TESTS = ["perc_text_content_drift", "abs_text_content_drift"]
MOST_LABELS = 30
"""Distributions over more categories than this are not kept."""


def pandas(frame):
    """The frame as both APIs take it."""
    return frame.to_pandas()


def old(reference, current, **options):
    """The older shape."""
    report = OldReport(metrics=[OldPreset(**options)])
    report.run(reference_data=pandas(reference), current_data=pandas(current))
    return report.as_dict()["metrics"]


def one(reference, current, column, test, mapping=None):
    """Score and verdict of one test on one column, at the seed 0 for those that draw without setting one."""
    report = OldReport(metrics=[ColumnDriftMetric(column, stattest=test)])
    np.random.seed(0)
    try:
        report.run(reference_data=pandas(reference), current_data=pandas(current), column_mapping=mapping)
        result = report.as_dict()["metrics"][0]["result"]
    except Exception as error:
        return f"failed: {error}"[:60]
    return [float(result["drift_score"]), bool(result["drift_detected"])]


def new(reference, current, **options):
    """Names and values of the current shape, in its order."""
    found = NewReport([NewPreset(**options)]).run(pandas(current), pandas(reference)).dict()["metrics"]
    return [[metric["metric_name"], metric["value"]] for metric in found]


def shortened(metrics):
    """Without the distributions that are long."""
    for column in metrics[1]["result"]["drift_by_columns"].values():
        for side in ("current", "reference"):
            shape = column[side].get("small_distribution")
            if shape and len(shape["x"]) > MOST_LABELS:
                column[side]["small_distribution"] = "long"
    return metrics


def by_name(reference, current):
    """Each test on the columns that it takes: numbers of many values, strings of few."""
    tests = {}
    for column in [name for name in reference.columns if name not in {"target", "prediction", "words"}]:
        pair = reference.select(column), current.select(column)
        if reference.schema[column].is_numeric() and reference[column].n_unique() > 20:
            wanted = NUMBER_TESTS + (["empirical_mmd"] if reference.height + current.height <= 1_000 else [])
        else:
            wanted = [test for test in CATEGORY_TESTS if test != "z" or reference[column].n_unique() == 2]
            wanted = [test for test in wanted if test != "TVD" or reference.height == 500]
            pair = tuple(frame.select(frame[column].cast(str)).drop_nulls() for frame in pair)
        for test in wanted:
            tests[f"{column} {test}"] = one(*pair, column, test)
    if "words" in reference.columns:
        mapping = ColumnMapping(text_features=["words"])
        for test in TEXT_TESTS:
            tests[f"words {test}"] = one(reference.select("words"), current.select("words"), "words", test, mapping)
    return tests


def main() -> None:
    """Print everything as JSON."""
    golden = {}
    for case in CASES:
        reference, current = frames(Path(sys.argv[1]), case)
        golden[case] = {
            "old": shortened(old(reference, current)),
            "new": new(reference, current),
            "new with options": new(
                reference,
                current,
                num_method="psi",
                cat_threshold=0.2,
                per_column_method={reference.columns[0]: "hellinger"},
                per_column_threshold={reference.columns[1]: 0.3},
            ),
            "tests": by_name(reference, current),
        }
    json.dump(golden, sys.stdout, default=lambda value: value.item() if hasattr(value, "item") else str(value))


if __name__ == "__main__":
    main()
