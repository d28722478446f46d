"""Monitoring beside Evidently: the same frames, the same tests, in turns, each run in a process of its own.

`make bench SUITE=monitoring` runs every case; `SUITE=monitoring:hundred` the named ones.
"""

from collections.abc import Callable, Iterator

from benchmarks.lines import Line
from benchmarks.monitoring import drift_report, drift_stored

CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "hundred": drift_report.hundred_thousand,
    "million": drift_report.million,
    "page": drift_report.page,
    "stored": drift_stored.run,
}


def run(*cases: str) -> Iterator[Line]:
    """The named cases, or all."""
    for name in cases or CASES:
        yield from CASES[name]()
