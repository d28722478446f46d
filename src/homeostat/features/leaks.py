"""Leaks: what a feature would know about its own example only after the prediction was due."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from homeostat.features.compiled import FeatureSet, ViewPlan
from homeostat.features.naming import check_column, schema_of
from homeostat.features.sources import load_source, read_schema
from homeostat.features.types import Source
from homeostat.ground.errors import Invalid, Refused

FEWEST_UNLABELLED = 20
"""Below this many examples without a label the data says nothing about what they lack."""


def label_columns(expression: str) -> tuple[str, ...]:
    """The columns a label expression (SQL) reads, sorted.

    >>> label_columns("arr_delay_min > 15")
    ('arr_delay_min',)

    Raises:
        Invalid: when the expression cannot be parsed.
    """
    try:
        return tuple(sorted(set(pl.sql_expr(expression).meta.root_names())))
    except pl.exceptions.PolarsError as error:
        raise Invalid(
            f"label {expression!r} is not an expression: {str(error).splitlines()[0]}",
            field="label",
            next_step="write it in SQL, like 'arr_delay_min > 15'",
        ) from error


def check_leaks(feature_set: FeatureSet, label_columns: Sequence[str], examples: Source, root: Path) -> None:
    """Refuse features that use what is only known after the prediction time (the examples' own time).

    `label_columns` are those of the label expression and the label's `known_at` column.

    Raises:
        Refused: naming the column, how it is known to be late, and the mend.
        Invalid: when a label column does not exist.
    """
    schema = schema_of(read_schema(examples, root))
    for name in label_columns:
        check_column(name, schema, where="label", of=f"source {examples.name}")
    rows = load_source(_unfiltered(examples), root, None)
    why_late = partial(_why_late, label_columns=label_columns, examples=examples, rows=rows)
    for column in feature_set.inputs:
        reason = why_late(column.name)
        if reason:
            raise Refused(
                f"{_user_of(feature_set, column.name)} uses {column.name} of the example's own row: {reason}",
                field=column.name,
                next_step=f"use it through a View on {examples.name}.known_at(...), where it counts once it is known,"
                " or remove it",
            )
    for view in feature_set.views:
        _check_view(view, examples, rows, why_late)


def _unfiltered(examples: Source) -> Source:
    return Source(examples.path, key=examples.key, time=examples.time, name=examples.name, later=examples.later)


def _user_of(feature_set: FeatureSet, column: str) -> str:
    for plan in feature_set.functions:
        if column in plan.inputs:
            return f"on-demand function {plan.name}"
    for view in feature_set.views:
        if column in view.request:
            return f"the binding of view {view.name}"
    return "a raw feature"


def _why_late(column: str, *, label_columns: Sequence[str], examples: Source, rows: pl.DataFrame) -> str:
    """How we know that the column is late; empty when nothing says so."""
    if column in label_columns:
        return "the label is made of it"
    for time, late in examples.late_columns.items():
        if column in late or column == time:
            return f"the source declares it later, known at {time}"
    unlabelled = rows.filter(pl.any_horizontal(pl.col(name).is_null() for name in label_columns))
    labelled = len(rows) - len(unlabelled)
    enough = len(unlabelled) >= FEWEST_UNLABELLED
    empty_before = unlabelled[column].null_count() / max(len(unlabelled), 1)
    if enough and labelled:
        missing_after = rows[column].null_count() - unlabelled[column].null_count()
        if empty_before > 0.5 and missing_after / labelled < 0.05:
            return (
                f"it is empty in {empty_before:.0%} of the examples without a label"
                f" and filled in {1 - missing_after / labelled:.0%} of those with one"
            )
    # A schedule lies in the future too, but it is there for examples whose outcome is not: those acquit it.
    scheduled = enough and empty_before < 0.05
    if rows[column].dtype == pl.Datetime and examples.time and column != examples.time and not scheduled:
        later = _share(rows[column] > rows[examples.time])
        if later > 0.5:
            return f"it lies after the prediction time {examples.time} in {later:.0%} of the examples"
    return ""


def _check_view(view: ViewPlan, examples: Source, rows: pl.DataFrame, why_late: Callable[[str], str]) -> None:
    """A view over late columns must count its rows no earlier than they are known."""
    own_table, time = view.source.path == examples.path, view.source.time
    # Counting from a time that is itself no outcome (the schedule, the prediction time) hides nothing.
    too_early = own_table and (time is None or time == examples.time or not why_late(time))
    read = dict.fromkeys([*(column.column for column in view.columns), *_aggregated(view), *_filtered(view)])
    for name in read:
        group = next((time for time, late in view.source.late_columns.items() if name in late), None)
        if group is not None and time != group and _comes_before(time, group, rows if own_table else None):
            raise _view_leak(view, name, f"the source declares it later, known at {group}", group)
        if group is None and too_early and (reason := why_late(name)):
            raise _view_leak(view, name, reason, None)


def _aggregated(view: ViewPlan) -> Iterable[str]:
    return (window.column for window in view.windows if window.column is not None)


def _filtered(view: ViewPlan) -> Iterable[str]:
    return (column for column, _ in view.source.filters)


def _comes_before(time: str | None, group: str, rows: pl.DataFrame | None) -> bool:
    """Whether rows count before the moment at which the column is known; without data, yes."""
    if time is None or rows is None:
        return True
    early = rows[group] > rows[time]
    return early.null_count() == len(early) or _share(early) > 0.01


def _share(mask: pl.Series) -> float:
    """The share of true among what is not missing."""
    return float(mask.sum()) / max(len(mask) - mask.null_count(), 1)


def _view_leak(view: ViewPlan, column: str, reason: str, group: str | None) -> Refused:
    return Refused(
        f"view {view.name} reads {column} of rows that count before it is known: {reason}",
        field=column,
        next_step=f"read it from {view.source.name}.known_at({group!r})"
        if group
        else f"read it from {view.source.name}.known_at(...), the time at which it is known",
    )
