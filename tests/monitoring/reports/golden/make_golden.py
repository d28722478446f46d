# ruff: noqa: ANN001, ANN003, ANN201, BLE001  a script for another environment; what a test of theirs cannot do is written down
"""Evidently's own numbers on real data, for `test_evidently_numbers.py`.

Run in an environment with evidently==0.7.23, pandas<3 and polars: python make_golden.py DATA_FOLDER > evidently.json
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd
from evidently import Report as NewReport
from evidently.legacy.metric_preset import DataDriftPreset as OldPreset
from evidently.legacy.report import Report as OldReport
from evidently.presets import DataDriftPreset as NewPreset

warnings.simplefilter("ignore")
NUMBER_TESTS = ["ks", "wasserstein", "jensenshannon", "psi", "kl_div", "hellinger", "anderson", "cramer_von_mises"]
NUMBER_TESTS += ["ed", "es", "mannw", "t_test"]
CATEGORY_TESTS = ["chisquare", "z", "jensenshannon", "psi", "kl_div", "hellinger"]
FRAMES = {
    "elec2": ("elec2.parquet", ["iso_weekday", "half_hour", "nsw_price", "nsw_demand", "vic_price", "price_up"]),
    "bike": ("bike_sharing_hourly.parquet", ["season", "hour", "weather_code", "temp_norm", "humidity", "total_count"]),
    "noaa": ("noaa_bellevue_daily.parquet", ["temp_f", "visibility_mi", "wind_speed_kn", "rain"]),
}
SIZES = [(500, 500), (900, 5_000), (5_000, 700)]


def frames(folder: Path):
    """Each data set's first rows and its last, in three sizes."""
    for name, (file, columns) in FRAMES.items():
        frame = pd.read_parquet(folder / file)[columns]
        frame = frame.astype({column: "int64" for column in columns if frame[column].dtype.kind in "iub"})
        for reference, current in SIZES:
            yield f"{name} {reference} {current}", frame.head(reference), frame.tail(current)


def old(reference, current, **options):
    """The older shape, without its distributions where a test was named."""
    report = OldReport(metrics=[OldPreset(**options)])
    report.run(reference_data=reference.copy(), current_data=current.copy())
    return report.as_dict()["metrics"]


def new(reference, current):
    """Score by column in the current shape."""
    found = NewReport([NewPreset()]).run(current.copy(), reference.copy()).dict()["metrics"]
    return {metric["metric_name"]: metric["value"] for metric in found}


def scores(metrics):
    """Score and verdict by column."""
    table = metrics[1]["result"]["drift_by_columns"]
    return {name: [float(one["drift_score"]), bool(one["drift_detected"])] for name, one in table.items()}


def main() -> None:
    """Print everything as JSON."""
    golden = {}
    for name, reference, current in frames(Path(sys.argv[1])):
        case = {"old": old(reference, current), "new": new(reference, current), "tests": {}}
        columns = list(reference.columns)
        numbers = [column for column in columns if reference[column].nunique() > 20]
        categories = [column for column in columns if column not in numbers]
        for test in NUMBER_TESTS:
            try:
                case["tests"][f"num {test}"] = scores(old(reference[numbers], current[numbers], num_stattest=test))
            except Exception as error:
                case["tests"][f"num {test}"] = f"failed: {error}"[:80]
        for test in CATEGORY_TESTS:
            some = categories if test != "z" else [c for c in categories if reference[c].nunique() == 2]
            if not some:
                continue
            texts = reference[some].astype(str), current[some].astype(str)
            try:
                case["tests"][f"cat {test}"] = scores(old(*texts, cat_stattest=test))
            except Exception as error:
                case["tests"][f"cat {test}"] = f"failed: {error}"[:80]
        golden[name] = case
    json.dump(golden, sys.stdout, default=lambda value: value.item() if hasattr(value, "item") else str(value))


if __name__ == "__main__":
    main()
