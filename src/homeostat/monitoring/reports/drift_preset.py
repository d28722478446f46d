"""Drift of all columns: which have drifted, and whether the data have as a whole."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.conditions import Check, Condition, check
from homeostat.monitoring.reports.data import Compared
from homeostat.monitoring.reports.drift import EVIDENTLY, Choice, ColumnResult, compare_columns, left_out
from homeostat.monitoring.reports.drift_metrics import column_check, notes_of, value_drift
from homeostat.monitoring.reports.drift_older import as_older, dataset_entry, table_entry
from homeostat.monitoring.reports.drift_options import read_options
from homeostat.monitoring.reports.drift_view import drift_blocks
from homeostat.monitoring.reports.section import MetricResult, Section

_NAMED = {f"{kind}{what}" for kind in ("", "cat_", "num_", "text_") for what in ("method", "threshold")}
"""Options that are part of a metric's name when they are given."""


class DataDriftPreset:
    """Which columns have drifted, and whether the data have as a whole.

    In mode 'calibrated' (the report's default) all columns are judged together: the chance that any of them is called
    drifted without drift is at most `alpha`, and none is whose change is smaller than `effect` (0 to 1: the distance
    of the distribution functions, or of the shares); the data have drifted when any column has. In mode 'evidently'
    tests, thresholds and numbers are that tool's defaults, and the data have drifted when the share `drift_share` of
    the columns has.

    `method` names a test for all columns instead, `num_method`, `cat_method` and `text_method` for a kind, and
    `per_column_method` for single ones; `threshold`, ... are their limits. A method is a name of docs/drift-tests.md,
    or a function (reference, current, kind, threshold) -> (score, drifted). Older names (`stattest`,
    `num_stattest_threshold`, ...) mean the same.

    Raises:
        Invalid: for options that are none.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        drift_share: float = 0.5,
        *,
        tests: Sequence[Condition] = (),
        **options: Any,
    ) -> None:
        if not 0 < drift_share <= 1:
            raise Invalid(f"drift_share is {drift_share}", field="drift_share", next_step="give a share, such as 0.5")
        self.drift_share = drift_share
        self.share_tests = tuple(tests)
        self.count_tests: tuple[Condition, ...] = ()
        self.options = read_options(type(self).__name__, columns, options)

    def compute(self, data: Compared) -> Section:
        """Judge the columns."""
        choice = self.options.in_mode(data.mode)
        results = compare_columns(data, choice, kinds=data.kinds)
        older = as_older(data, choice, results)
        drifted, older_drifted = (_is_drift(choice, found, self.drift_share) for found in (results, older))
        is_known = any(result.is_known for result in results)
        count = self._count(choice, results, is_drift=drifted)
        return Section(
            title="Data drift",
            results=(count, *(value_drift(result) for result in results)),
            legacy=(
                dataset_entry(older, self.drift_share, is_drift=older_drifted),
                table_entry(older, is_drift=older_drifted),
            ),
            blocks=drift_blocks(
                results,
                rows=(len(data.needs_reference("drift")), len(data.current)),
                verdict="drift" if drifted else "no drift" if is_known else "too little data",
                rule=_rule(choice, self.drift_share),
            ),
            checks=self._checks(data, choice, results, count),
            status="alarm" if drifted else "ok" if is_known else "insufficient",
            notes=(*left_out(data, choice), *notes_of(results)),
        )

    def _count(self, choice: Choice, results: Sequence[ColumnResult], *, is_drift: bool) -> MetricResult:
        named = {name: value for name, value in self.options.given.items() if name in _NAMED}
        extra: dict[str, Any] = {"dataset_drift": is_drift, "mode": choice.mode}
        if unknown := [result.name for result in results if not result.is_known]:
            extra["insufficient"] = unknown
        return MetricResult(
            kind="DriftedColumnsCount",
            params={"drift_share": self.drift_share} | {name: _printed(value) for name, value in named.items()},
            value={"count": float(sum(result.drifted for result in results)), "share": _share(results)},
            extra=extra,
        )

    def _checks(
        self, data: Compared, choice: Choice, results: Sequence[ColumnResult], count: MetricResult
    ) -> tuple[Check, ...]:
        share_tests = self.share_tests
        if data.include_tests and not share_tests and not self.count_tests:
            share_tests = (_share_condition(self.drift_share, choice),)
        asked = (
            ("share", "Share of Drifted Columns", share_tests),
            ("count", "Count of Drifted Columns", self.count_tests),
        )
        checks = [
            check(condition, count.value[key], metric=count.name, what=what)
            for key, what, conditions in asked
            for condition in conditions
        ]
        if data.include_tests:
            checks += [column_check(result) for result in results]
        return tuple(checks)


class DriftedColumnsCount(DataDriftPreset):
    """How many columns have drifted; `tests` are held against their number, `share_tests` against their share."""

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        drift_share: float = 0.5,
        *,
        tests: Sequence[Condition] = (),
        share_tests: Sequence[Condition] = (),
        **options: Any,
    ) -> None:
        super().__init__(columns, drift_share, tests=share_tests, **options)
        self.count_tests = tuple(tests)

    def compute(self, data: Compared) -> Section:
        """Judge the columns."""
        whole = super().compute(data)
        name = whole.results[0].name
        return msgspec.structs.replace(
            whole,
            title="Dataset drift",
            results=whole.results[:1],
            legacy=whole.legacy[:1],
            blocks=whole.blocks[:1],
            checks=tuple(one for one in whole.checks if one.metric == name),
        )


class DatasetDriftMetric(DriftedColumnsCount):
    """The verdict on all columns alone, by its older name."""


class DataDriftTable(DataDriftPreset):
    """The columns without the verdict, by its older name."""

    def compute(self, data: Compared) -> Section:
        """Judge the columns."""
        whole = super().compute(data)
        return msgspec.structs.replace(whole, title="Drift by column", legacy=whole.legacy[1:])


def _share(results: Sequence[ColumnResult]) -> float:
    return sum(result.drifted for result in results) / len(results) if results else 0.0


def _is_drift(choice: Choice, results: Sequence[ColumnResult], drift_share: float) -> bool:
    if choice.mode == EVIDENTLY:
        return bool(results) and _share(results) >= drift_share
    return any(result.drifted for result in results)


def _rule(choice: Choice, drift_share: float) -> str:
    if choice.mode == EVIDENTLY:
        return f"drift from {drift_share:.0%} of the columns on"
    return f"at most {choice.alpha:.0%} false alarms, all columns together"


def _share_condition(drift_share: float, choice: Choice) -> Condition:
    return Condition(op="lt", bound=drift_share) if choice.mode == EVIDENTLY else Condition(op="lte", bound=0.0)


def _printed(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else getattr(value, "name", None) or value.__name__
