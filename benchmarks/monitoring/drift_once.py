# ruff: noqa: ANN001, ANN201, ANN202  a script that also runs in the peer's environment
"""One drift report in this process: `python drift_once.py TOOL REFERENCE CURRENT`; prints what it cost as JSON.

TOOL is ours, ours-pandas, ours-calibrated, ours-stored, evidently or evidently-legacy. For ours-stored, which reads
column by column while it computes, reading the files is counted; for the others reading the files and importing are not
counted; CPU seconds are those of all threads.
"""

import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    """Run it and print CPU seconds, wall seconds, peak memory and what it was before, in MiB."""
    tool, reference_path, current_path = sys.argv[1:]
    warnings.simplefilter("ignore")
    run = {
        "ours": ours,
        "ours-pandas": ours_pandas,
        "ours-calibrated": ours_calibrated,
        "ours-stored": ours_stored,
        "evidently": evidently,
        "evidently-legacy": evidently_legacy,
    }[tool]
    work = run(reference_path, current_path)
    before = peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak(), "before": before, "drifted": result}))


def peak() -> float:
    """Peak resident memory so far, MiB; `getrusage` would tell that of the process that started this one, too."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def ours(reference, current, *, mode="evidently", read="polars"):
    """Our report on Polars frames, by the tests that Evidently takes."""
    from homeostat import DataDriftPreset, Report

    if read == "polars":
        import polars as pl

        frames = pl.read_parquet(reference), pl.read_parquet(current)
    else:
        import pandas as pd

        frames = pd.read_parquet(reference), pd.read_parquet(current)
    import scipy.special  # noqa: F401  the peer has imported it, too

    def work():
        report = Report([DataDriftPreset()], mode=mode)
        report.run(reference_data=frames[0], current_data=frames[1])
        return report.as_dict()["metrics"][0]["result"]["number_of_drifted_columns"]

    return work


def ours_pandas(reference, current):
    """The same on pandas frames."""
    return ours(reference, current, read="pandas")


def ours_calibrated(reference, current):
    """Our own decision."""
    return ours(reference, current, mode="calibrated")


def ours_stored(reference, current):
    """Our own decision on Parquet files that are larger than what memory is wanted for."""
    import scipy.special  # noqa: F401

    from homeostat import DataDriftPreset, Report

    def work():
        found = Report([DataDriftPreset()]).run(current, reference)
        return int(found.dict()["metrics"][0]["value"]["count"])

    return work


def evidently(reference, current):
    """The current API of Evidently."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    frames = pd.read_parquet(reference), pd.read_parquet(current)

    def work():
        found = Report([DataDriftPreset()]).run(frames[1], frames[0]).dict()
        return int(found["metrics"][0]["value"]["count"])

    return work


def evidently_legacy(reference, current):
    """The older API of Evidently."""
    import pandas as pd
    from evidently.legacy.metric_preset import DataDriftPreset
    from evidently.legacy.report import Report

    frames = pd.read_parquet(reference), pd.read_parquet(current)

    def work():
        report = Report(metrics=[DataDriftPreset()])
        report.run(reference_data=frames[0], current_data=frames[1])
        return report.as_dict()["metrics"][0]["result"]["number_of_drifted_columns"]

    return work


if __name__ == "__main__":
    main()
