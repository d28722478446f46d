"""Drift in the older result shape: which columns it looks at, as what, in what order, and its entries."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from homeostat.monitoring.reports.data import (
    CATEGORY,
    NUMBER,
    TEXT,
    TIME,
    Compared,
    DataDefinition,
    Frame,
)
from homeostat.monitoring.reports.drift import EVIDENTLY, Choice, ColumnResult, compare_columns

FEW_NUMBERS = 5
"""A target of fewer distinct numbers than this is a class."""


def as_older(data: Compared, choice: Choice, results: Sequence[ColumnResult]) -> list[ColumnResult]:
    """The results as Evidently's older API has them.

    There whole numbers are numbers, however few, and strings that nobody declared to be texts are categories; first
    come target and prediction, then numbers, categories and texts, by name. Columns of which that makes something else
    are compared once more. In mode 'calibrated' a column is what it is in the current shape.
    """
    by_name = {result.name: result for result in results}
    if choice.mode != EVIDENTLY:
        return list(results)
    reference = data.needs_reference("drift")
    kinds = _older_kinds(reference, data.definition)
    names = list(choice.columns) if choice.columns is not None else list(kinds)
    other = [name for name in names if name not in by_name or by_name[name].kind != kinds.get(name)]
    other = [name for name in other if name in kinds and (name not in by_name or by_name[name].shape is not None)]
    if other:
        again = compare_columns(
            data, msgspec.structs.replace(choice, columns=tuple(other)), kinds=data.kinds | {n: kinds[n] for n in other}
        )
        by_name |= {result.name: result for result in again}
    return [by_name[name] for name in names if name in by_name]


def dataset_entry(results: Sequence[ColumnResult], drift_share: float, *, is_drift: bool) -> dict[str, Any]:
    """`DatasetDriftMetric`."""
    return {
        "metric": "DatasetDriftMetric",
        "result": {"drift_share": drift_share} | _counts(results, is_drift=is_drift),
    }


def table_entry(results: Sequence[ColumnResult], *, is_drift: bool) -> dict[str, Any]:
    """`DataDriftTable`."""
    table = _counts(results, is_drift=is_drift) | {
        "drift_by_columns": {result.name: column_result(result) for result in results},
        "current_fi": None,
        "reference_fi": None,
    }
    return {"metric": "DataDriftTable", "result": table}


def column_entry(result: ColumnResult) -> dict[str, Any]:
    """`ColumnDriftMetric`."""
    return {"metric": "ColumnDriftMetric", "result": column_result(result)}


def column_result(result: ColumnResult) -> dict[str, Any]:
    """One column; what we say beyond the shape is under 'homeostat'."""
    reference, current = (None, None) if result.shape is None else result.shape.small
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
    return column | ({"homeostat": extra} if (extra := extra_of(result)) else {})


def extra_of(result: ColumnResult) -> dict[str, Any]:
    """What the peers' shapes have no place for: effect, p-values, notes."""
    extra: dict[str, Any] = {}
    if result.verdict is not None:
        verdict = result.verdict
        extra = {
            "effect": verdict.effect,
            "effect_is": verdict.measure,
            "p_raw": verdict.p_raw,
            "p_by_test": verdict.parts,
        }
    if any(result.words):
        extra["words"] = {"reference": list(result.words[0]), "current": list(result.words[1])}
    if result.note:
        extra["note"] = result.note
    return extra


def _counts(results: Sequence[ColumnResult], *, is_drift: bool) -> dict[str, Any]:
    drifted = sum(result.drifted for result in results)
    return {
        "number_of_columns": len(results),
        "number_of_drifted_columns": drifted,
        "share_of_drifted_columns": drifted / len(results) if results else 0.0,
        "dataset_drift": is_drift,
    }


# What columns are there ----------------------------------------------------------------------------------------------


def _older_kinds(reference: Frame, definition: DataDefinition) -> dict[str, str]:
    """Kind by column in the older API's order; times, ids and what nothing can be made of are left out."""
    target, prediction = definition.target or "target", definition.prediction or "prediction"
    task = _task(reference, definition, target)
    kinds = {}
    if target in reference.columns:
        kinds[target] = NUMBER if _is_quantity(reference, target, task) else CATEGORY
    if prediction in reference.columns:
        is_number = _is_quantity(reference, prediction, task) or _is_probability(reference, prediction)
        kinds[prediction] = NUMBER if is_number else CATEGORY
    declared = definition.declared_kinds()
    apart = {target, prediction, definition.id_column, definition.timestamp}
    others = {name: _feature_kind(reference, name, declared) for name in reference.columns if name not in apart}
    for kind in (NUMBER, CATEGORY, TEXT):
        of_kind = [name for name, its in others.items() if its == kind]
        kinds |= dict.fromkeys(of_kind if kind == TEXT else sorted(of_kind), kind)
    return kinds


def _feature_kind(reference: Frame, name: str, declared: Mapping[str, str]) -> str:
    if name in declared:
        return declared[name]
    dtype = reference.dtype(name)
    if dtype.is_numeric() or dtype in (pl.Duration, pl.Null):
        return NUMBER
    return TIME if dtype.is_temporal() else CATEGORY


def _task(reference: Frame, definition: DataDefinition, target: str) -> str | None:
    """'regression' or 'classification', as told, or as the target has it; None where there is none."""
    if definition.task in {"regression", "classification"}:
        return definition.task
    if target not in reference.columns:
        return None
    is_number = reference.dtype(target).is_numeric()
    return "regression" if is_number and _distinct(reference, target) >= FEW_NUMBERS else "classification"


def _is_quantity(reference: Frame, name: str, task: str | None) -> bool:
    if task is not None or not reference.dtype(name).is_numeric():
        return task == "regression"
    return _distinct(reference, name) > FEW_NUMBERS


def _is_probability(reference: Frame, name: str) -> bool:
    if not reference.dtype(name).is_float():
        return False
    least, most = (
        reference.column(name)
        .cast(pl.Float64)
        .drop_nans()
        .to_frame()
        .select(low=pl.all().min(), high=pl.all().max())
        .row(0)
    )
    return least is not None and least >= 0 and most <= 1


def _distinct(reference: Frame, name: str) -> int:
    return reference.column(name).drop_nulls().n_unique()
