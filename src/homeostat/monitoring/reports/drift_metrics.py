"""Metrics and presets of drift, with the options and result shapes that people know."""

from collections.abc import Mapping, Sequence
from typing import Any

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated.columns import REPORT_FLOOR
from homeostat.monitoring.reports.blocks import Block, Text
from homeostat.monitoring.reports.conditions import Check, Condition, check
from homeostat.monitoring.reports.data import CATEGORY, NUMBER, Compared
from homeostat.monitoring.reports.drift import (
    CALIBRATED,
    EVIDENTLY,
    Choice,
    ColumnResult,
    compare_columns,
    left_out,
    small_distribution,
)
from homeostat.monitoring.reports.drift_view import distribution, drift_blocks
from homeostat.monitoring.reports.section import MetricResult, Section

_OLD_NAMES = {
    "stattest": "method",
    "cat_stattest": "cat_method",
    "num_stattest": "num_method",
    "per_column_stattest": "per_column_method",
    "stattest_threshold": "threshold",
    "cat_stattest_threshold": "cat_threshold",
    "num_stattest_threshold": "num_threshold",
    "per_column_stattest_threshold": "per_column_threshold",
}
_MEANINGLESS_HERE = {"embeddings", "embeddings_drift_method", "text_method", "text_threshold", "text_stattest"}


class DataDriftPreset:
    """Which columns have drifted, and whether the data have as a whole.

    In mode 'calibrated' (the report's default) all columns are judged together: the chance that any of them is called
    drifted without drift is at most `alpha`, and none is whose change is smaller than `effect` (0 to 1: the distance
    of the distribution functions, or of the shares); the data have drifted when any column has. In mode 'evidently'
    tests, thresholds and numbers are that tool's defaults, and the data have drifted when the share `drift_share` of
    the columns has. `method` (or `num_method`, `cat_method`, `per_column_method`) names a test for columns instead:
    see docs/drift-tests.md.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        drift_share: float = 0.5,
        *,
        method: str | None = None,
        num_method: str | None = None,
        cat_method: str | None = None,
        per_column_method: Mapping[str, str] | None = None,
        threshold: float | None = None,
        num_threshold: float | None = None,
        cat_threshold: float | None = None,
        per_column_threshold: Mapping[str, float] | None = None,
        mode: str | None = None,
        alpha: float = 0.05,
        effect: float = REPORT_FLOOR,
        tests: Sequence[Condition] = (),
        **older: Any,
    ) -> None:
        given = {_OLD_NAMES[name]: value for name, value in older.items() if name in _OLD_NAMES}
        if unknown := [name for name in older if name not in _OLD_NAMES and name not in _MEANINGLESS_HERE]:
            raise Invalid(
                f"DataDriftPreset has no option {unknown[0]!r}", field=unknown[0], next_step="see docs/reports.md"
            )
        if mode not in {None, CALIBRATED, EVIDENTLY}:
            raise Invalid(f"mode is {mode!r}", field="mode", next_step=f"give {CALIBRATED!r} or {EVIDENTLY!r}")
        if not 0 < drift_share <= 1:
            raise Invalid(f"drift_share is {drift_share}", field="drift_share", next_step="give a share, such as 0.5")
        method = given.get("method", method)
        threshold = given.get("threshold", threshold)
        self.drift_share = drift_share
        self.mode = mode
        self.tests = tuple(tests)
        self._choice = Choice(
            columns=None if columns is None else tuple(columns),
            methods={
                NUMBER: given.get("num_method", num_method) or method,
                CATEGORY: given.get("cat_method", cat_method) or method,
            },
            thresholds={
                NUMBER: _first(given.get("num_threshold", num_threshold), threshold),
                CATEGORY: _first(given.get("cat_threshold", cat_threshold), threshold),
            },
            column_methods=dict(given.get("per_column_method", per_column_method) or {}),
            column_thresholds=dict(given.get("per_column_threshold", per_column_threshold) or {}),
            alpha=alpha,
            effect=effect,
        )

    def compute(self, data: Compared) -> Section:
        """Judge the columns."""
        choice = _in_mode(self._choice, self.mode or data.mode)
        results = compare_columns(data, choice, kinds=data.kinds)
        older = _as_older(data, choice, results)
        share = _share(results)
        drifted = _is_drift(choice, results, self.drift_share)
        count = MetricResult(
            kind="DriftedColumnsCount",
            params={"drift_share": self.drift_share},
            value={"count": float(sum(result.drifted for result in results)), "share": share},
            extra={
                "dataset_drift": drifted,
                "mode": choice.mode,
                "insufficient": [r.name for r in results if not r.is_known],
            },
        )
        return Section(
            title="Data drift",
            results=(count, *(_value_drift(result) for result in results)),
            legacy=_legacy(older, self.drift_share, is_drift=_is_drift(choice, older, self.drift_share)),
            blocks=drift_blocks(
                results,
                rows=(len(data.needs_reference("drift")), len(data.current)),
                verdict="drift" if drifted else "no drift" if _knows(results) else "too little data",
                rule=_rule(choice, self.drift_share),
            ),
            checks=self._checks(data, choice, results, count),
            status="alarm" if drifted else "ok" if _knows(results) else "insufficient",
            notes=(*left_out(data, choice), *_notes(results)),
        )

    def _checks(
        self, data: Compared, choice: Choice, results: Sequence[ColumnResult], count: MetricResult
    ) -> tuple[Check, ...]:
        conditions = self.tests or ((_share_condition(self.drift_share, choice),) if data.include_tests else ())
        checks = [
            check(condition, count.value["share"], metric=count.name, what="share of drifted columns")
            for condition in conditions
        ]
        if data.include_tests:
            checks += [_column_check(result) for result in results]
        return tuple(checks)


class ValueDrift:
    """Drift of one column; `method` names a test, and `threshold` its limit."""

    def __init__(
        self,
        column: str,
        *,
        method: str | None = None,
        threshold: float | None = None,
        mode: str | None = None,
        alpha: float = 0.05,
        effect: float = REPORT_FLOOR,
        tests: Sequence[Condition] = (),
    ) -> None:
        self.column = column
        self.mode = mode
        self.tests = tuple(tests)
        self._choice = Choice(
            columns=(column,),
            column_methods={column: method} if method else {},
            column_thresholds={column: threshold} if threshold is not None else {},
            alpha=alpha,
            effect=effect,
        )

    def compute(self, data: Compared) -> Section:
        """Judge the column."""
        choice = _in_mode(self._choice, self.mode or data.mode)
        [result] = compare_columns(data, choice, kinds=data.kinds)
        found = _value_drift(result)
        checks = [check(one, result.score, metric=found.name, what=f"Drift of {self.column}") for one in self.tests]
        if data.include_tests and not self.tests:
            checks.append(_column_check(result))
        blocks: list[Block] = [Text(text=_said(result), tone="bad" if result.drifted else "plain")]
        if (shown := distribution(result)) is not None:
            blocks.append(shown)
        return Section(
            title=f"Drift of {self.column}",
            results=(found,),
            legacy=({"metric": "ColumnDriftMetric", "result": _older_column(result)},),
            blocks=tuple(blocks),
            checks=tuple(checks),
            status="alarm" if result.drifted else "ok" if result.is_known else "insufficient",
            notes=_notes([result]),
        )


class ColumnDriftMetric(ValueDrift):
    """`ValueDrift` by its older name and options."""

    def __init__(self, column_name: str, stattest: str | None = None, stattest_threshold: float | None = None) -> None:
        super().__init__(column_name, method=stattest, threshold=stattest_threshold)


class DatasetDriftMetric(DataDriftPreset):
    """The verdict on all columns alone, by its older name."""

    def compute(self, data: Compared) -> Section:
        """Judge the columns."""
        whole = super().compute(data)
        return Section(
            title="Dataset drift",
            results=whole.results[:1],
            legacy=whole.legacy[:1],
            blocks=whole.blocks[:1],
            checks=whole.checks[:1],
            status=whole.status,
            notes=whole.notes,
        )


class DriftedColumnsCount(DatasetDriftMetric):
    """How many columns have drifted."""


class TargetDriftPreset:
    """Drift of the target and of the prediction: the columns of a `ColumnMapping` or definition, else these names."""

    def __init__(self, columns: Sequence[str] | None = None, **options: Any) -> None:
        self.columns = columns
        self._options = options

    def compute(self, data: Compared) -> Section:
        """Judge the columns.

        Raises:
            Invalid: when there is no such column.
        """
        defined = (data.definition.target or "target", data.definition.prediction or "prediction")
        there = data.needs_reference("drift").columns
        names = list(self.columns) if self.columns is not None else [name for name in defined if name in there]
        if not names:
            raise Invalid(
                f"there is no column {defined[0]!r} and no column {defined[1]!r}",
                field="target",
                next_step="name them: ColumnMapping(target=..., prediction=...)",
            )
        parts = [ValueDrift(name, **self._options).compute(data) for name in names]
        statuses = [part.status for part in parts]
        return Section(
            title="Target and prediction drift",
            results=tuple(result for part in parts for result in part.results),
            legacy=tuple(entry for part in parts for entry in part.legacy),
            blocks=tuple(block for part in parts for block in part.blocks),
            checks=tuple(one for part in parts for one in part.checks),
            status="alarm" if "alarm" in statuses else "insufficient" if "insufficient" in statuses else "ok",
            notes=tuple(note for part in parts for note in part.notes),
        )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _in_mode(choice: Choice, mode: str) -> Choice:
    import msgspec

    return msgspec.structs.replace(choice, mode=mode)


def _share(results: Sequence[ColumnResult]) -> float:
    return sum(result.drifted for result in results) / len(results) if results else 0.0


def _knows(results: Sequence[ColumnResult]) -> bool:
    return any(result.is_known for result in results)


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


def _said(result: ColumnResult) -> str:
    if result.score is None:
        return result.note or "nothing can be said"
    word = "Drift" if result.drifted else "No drift"
    return f"{word}: {result.title} is {_shown(result.score)}, the limit {result.threshold:.4g}."


def _shown(score: float) -> str:
    return "below 1e-15" if 0 <= score < 1e-15 else f"{score:.4g}"


def _notes(results: Sequence[ColumnResult]) -> tuple[str, ...]:
    return tuple(f"{result.name}: {result.note}" for result in results if result.note)


def _value_drift(result: ColumnResult) -> MetricResult:
    extra: dict[str, Any] = {"drifted": result.drifted}
    if result.verdict is not None:
        verdict = result.verdict
        extra |= {
            "effect": verdict.effect,
            "effect_is": verdict.measure,
            "p_raw": verdict.p_raw,
            "parts": verdict.parts,
        }
    if result.note:
        extra["note"] = result.note
    return MetricResult(
        kind="ValueDrift",
        params={"column": result.name, "method": result.title, "threshold": result.threshold},
        value=result.score,
        extra=extra,
    )


def _column_check(result: ColumnResult) -> Check:
    status = "FAIL" if result.drifted else "SUCCESS" if result.score is not None else "SKIPPED"
    return Check(
        op="drift",
        name=f"Value Drift for column {result.name}",
        description=f"{result.name}: {_said(result)}",
        status=status,
        metric=_value_drift(result).name,
        params={"column": result.name},
        value=result.score,
        bound=result.threshold,
    )


# The older shape -----------------------------------------------------------------------------------------------------


def _as_older(data: Compared, choice: Choice, results: Sequence[ColumnResult]) -> list[ColumnResult]:
    """The results as Evidently's older API has them: there, whole numbers are numbers, however few."""
    if choice.mode != EVIDENTLY:
        return list(results)
    reference = data.needs_reference("drift")
    declared = data.definition.declared_kinds()
    numbers = [
        result.name
        for result in results
        if result.kind == CATEGORY
        and result.name not in declared
        and reference.column(result.name).dtype.is_integer()
        and result.pair is not None
    ]
    if not numbers:
        return list(results)
    import msgspec

    again = compare_columns(
        data,
        msgspec.structs.replace(choice, columns=tuple(numbers)),
        kinds=data.kinds | dict.fromkeys(numbers, NUMBER),
    )
    by_name = {result.name: result for result in again}
    return [by_name.get(result.name, result) for result in results]


def _legacy(results: Sequence[ColumnResult], drift_share: float, *, is_drift: bool) -> tuple[dict[str, Any], ...]:
    drifted = sum(result.drifted for result in results)
    counts = {
        "number_of_columns": len(results),
        "number_of_drifted_columns": drifted,
        "share_of_drifted_columns": _share(results),
        "dataset_drift": is_drift,
    }
    table = counts | {
        "drift_by_columns": {result.name: _older_column(result) for result in results},
        "current_fi": None,
        "reference_fi": None,
    }
    return (
        {"metric": "DatasetDriftMetric", "result": {"drift_share": drift_share} | counts},
        {"metric": "DataDriftTable", "result": table},
    )


def _older_column(result: ColumnResult) -> dict[str, Any]:
    current, reference = _small(result, 1), _small(result, 0)
    column = {
        "column_name": result.name,
        "column_type": result.kind,
        "stattest_name": result.title,
        "stattest_threshold": result.threshold,
        "drift_score": result.score,
        "drift_detected": result.drifted,
        "current": {"small_distribution": current},
        "reference": {"small_distribution": reference},
    }
    if result.verdict is not None:
        column["effect"] = result.verdict.effect
    return column


def _small(result: ColumnResult, side: int) -> dict[str, Any] | None:
    if result.pair is None:
        return None
    if result.kind == NUMBER:
        return small_distribution(result.pair.numbers[side])
    labels, *counts = result.pair.table
    return {"x": list(labels), "y": counts[side].tolist()}
