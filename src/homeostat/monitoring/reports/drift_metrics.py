"""Drift of single columns, and of the target and the prediction."""

from collections.abc import Sequence
from typing import Any

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.blocks import Block, Text
from homeostat.monitoring.reports.conditions import Check, Condition, check
from homeostat.monitoring.reports.data import Compared
from homeostat.monitoring.reports.drift import ColumnResult, compare_columns
from homeostat.monitoring.reports.drift_older import column_entry, extra_of
from homeostat.monitoring.reports.drift_options import read_options
from homeostat.monitoring.reports.drift_view import details, said
from homeostat.monitoring.reports.section import MetricResult, Section


class ValueDrift:
    """Drift of one column; `method` names a test, and `threshold` its limit (see `DataDriftPreset`)."""

    def __init__(self, column: str, *, tests: Sequence[Condition] = (), **options: Any) -> None:
        self.column = column
        self.tests = tuple(tests)
        self.options = read_options(type(self).__name__, (column,), options)

    def compute(self, data: Compared) -> Section:
        """Judge the column.

        Raises:
            Invalid: when the reference does not have it.
        """
        [result] = compare_columns(data, self.options.in_mode(data.mode), kinds=data.kinds)
        found = value_drift(result)
        checks = [check(one, result.score, metric=found.name, what=f"Drift of {self.column}") for one in self.tests]
        if data.include_tests and not self.tests:
            checks.append(column_check(result))
        verdict = "Drift. " if result.drifted else "No drift. " if result.is_known else ""
        blocks: list[Block] = [Text(text=verdict + said(result), tone="bad" if result.drifted else "plain")]
        blocks += [block for block in details(result) if not isinstance(block, Text) or block.text != result.note]
        return Section(
            title=f"Drift of {self.column}",
            results=(found,),
            legacy=(column_entry(result),),
            blocks=tuple(blocks),
            checks=tuple(checks),
            status="alarm" if result.drifted else "ok" if result.is_known else "insufficient",
            notes=notes_of([result]),
        )


class ColumnDriftMetric(ValueDrift):
    """`ValueDrift` by its older name and options."""

    def __init__(self, column_name: str, stattest: Any = None, stattest_threshold: float | None = None) -> None:
        super().__init__(column_name, method=stattest, threshold=stattest_threshold)


class TargetDriftPreset:
    """Drift of the target and of the prediction: the columns of a `ColumnMapping` or definition, else these names."""

    def __init__(self, columns: Sequence[str] | None = None, **options: Any) -> None:
        read_options(type(self).__name__, columns, options)
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


def value_drift(result: ColumnResult) -> MetricResult:
    """A column's result in the current shape; what was given comes before what was found out, as the peer has it."""
    given = {"column": result.name, "method": result.method, "threshold": result.given_threshold}
    params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    params |= {"method": result.method or result.title, "threshold": result.threshold}
    return MetricResult(
        kind="ValueDrift", params=params, value=result.score, extra={"drifted": result.drifted} | extra_of(result)
    )


def column_check(result: ColumnResult) -> Check:
    """The check that `include_tests` makes of a column."""
    status = "FAIL" if result.drifted else "SUCCESS" if result.score is not None else "SKIPPED"
    return Check(
        op="drift",
        name=f"Value Drift for column {result.name}",
        description=said(result),
        status=status,
        metric=value_drift(result).name,
        params={"column": result.name},
        value=result.score,
        bound=result.threshold,
    )


def notes_of(results: Sequence[ColumnResult]) -> tuple[str, ...]:
    """What is to be said of single columns."""
    return tuple(f"{result.name}: {result.note}" for result in results if result.note)
