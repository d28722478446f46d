"""The training frame: every feature as of each example's own time.

Rules (the online store follows the same): backward, `<=`, ttl inclusive; one output row for each input row, in input
order; a null or unknown key gives missing values; a row is its source key and the source's own time, and when it comes
twice the last in file order holds; among different rows that become known at the same moment the one with the greatest
source key is the newest (file order is not the order of arrival, so it cannot decide); the newest row's null is not
filled from an older one; integers stay nullable integers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from homeostat.features.compiled import FeatureSet, ViewPlan
from homeostat.features.ondemand import run_functions
from homeostat.features.sources import TIME, load_source, request_frame
from homeostat.features.windows import Ints, aggregate, newest
from homeostat.ground.errors import Invalid


def training_frame(
    feature_set: FeatureSet, examples: pl.DataFrame, *, times: str | pl.Series, root: Path
) -> pl.DataFrame:
    """One row per example in input order, one column per feature in `feature_set.names`.

    `times` is the moment of each example: a column of `examples`, or a series (timestamps, or microseconds).

    Raises:
        Invalid: when a request column is missing or of another type, or a source cannot be read.
    """
    moments = moments_of(examples, times)
    request = request_frame(feature_set.inputs, examples)
    columns = {name: request[name] for name in feature_set.raw}
    for plan in feature_set.views:
        columns |= view_columns(plan, request, moments, root)
    columns |= _function_columns(feature_set, columns | {name: request[name] for name in request.columns}, len(moments))
    return pl.DataFrame([columns[name].alias(name) for name in feature_set.names])


def moments_of(examples: pl.DataFrame, times: str | pl.Series) -> pl.Series:
    """Microseconds of each example; a missing time stays missing and matches nothing."""
    if isinstance(times, str) and times not in examples.columns:
        raise Invalid(f"column {times} is missing", field=times, next_step="name the column that holds the time")
    series = examples[times] if isinstance(times, str) else times
    if isinstance(series.dtype, pl.Datetime):
        zoned = series if series.dtype.time_zone else series.dt.replace_time_zone("UTC")
        series = zoned.dt.cast_time_unit("us")
    elif series.dtype == pl.Date:
        series = series.cast(TIME)
    elif not series.dtype.is_integer():
        raise Invalid(f"times hold {series.dtype}", field="times", next_step="give timestamps or microseconds")
    return series.cast(pl.Int64)


def view_columns(plan: ViewPlan, request: pl.DataFrame, moments: pl.Series, root: Path) -> dict[str, pl.Series]:
    """What one view yields for each request row as of its moment, by feature name."""
    rows = view_rows(plan, root, until=_highest(moments), since=_lowest_needed(plan, moments))
    rows, codes, asked_codes = _coded(plan, rows, request.select(*plan.request))
    asked_codes = np.where(moments.is_null().to_numpy(), -1, asked_codes)
    asked = moments.fill_null(0).to_numpy()
    known = _times(plan, rows)
    if not plan.windows:
        asked = asked if plan.source.time else np.zeros_like(asked)
        found = newest(codes, known, asked_codes, asked, ttl=plan.ttl)
        places = pl.Series(found).replace(-1, None)
        return {column.feature: rows[column.column].gather(places) for column in plan.columns}
    values = {
        window.column: rows[window.column].cast(pl.Float64).to_numpy() for window in plan.windows if window.column
    }
    answers = aggregate(codes, known, values, asked_codes, asked, hop=plan.hop, windows=plan.windows)
    return {feature: pl.Series(feature, answer).fill_nan(None) for feature, answer in answers.items()}


def view_rows(plan: ViewPlan, root: Path, *, until: int | None, since: int | None = None) -> pl.DataFrame:
    """The rows a view counts: those that have the source's key and the view's."""
    rows = load_source(plan.source, root, until, since=since, columns=plan.reads)
    return rows.drop_nulls([*plan.source.keys, *plan.key])


def _highest(moments: pl.Series) -> int | None:
    highest = moments.max()
    return None if highest is None else int(highest)  # type: ignore[arg-type]  # Int64 by moments_of


def _lowest_needed(plan: ViewPlan, moments: pl.Series) -> int | None:
    lowest = moments.min()
    if plan.reach is None or plan.source.time is None or lowest is None:
        return None
    return int(lowest) - plan.reach - 1  # type: ignore[arg-type]  # Int64 by moments_of


def _coded(plan: ViewPlan, rows: pl.DataFrame, asked: pl.DataFrame) -> tuple[pl.DataFrame, Ints, Ints]:
    """Rows sorted by key, time and source key, with an integer for each key; asked keys in the same integers."""
    names = [f"_key_{position}" for position in range(len(plan.key))]
    row_keys, asked_keys = _keys(rows, plan.key, names), _keys(asked, plan.request, names)
    wider = [
        pl.col(name).cast(pl.Float64)
        for name in names
        if {row_keys[name].dtype, asked_keys[name].dtype} == {pl.Int64, pl.Float64}
    ]
    row_keys, asked_keys = row_keys.with_columns(wider), asked_keys.with_columns(wider)
    codebook = row_keys.unique(maintain_order=True).with_row_index("_code").cast({"_code": pl.Int64})
    rows = rows.with_columns(row_keys.join(codebook, on=names, how="left", maintain_order="left")["_code"])
    by = ["_code", *([plan.source.time] if plan.source.time else []), *plan.source.keys]
    by += [plan.source.event_time] if plan.source.event_time else []
    rows = rows.sort(list(dict.fromkeys(by)), maintain_order=True)
    codes = asked_keys.join(codebook, on=names, how="left", maintain_order="left")["_code"].fill_null(-1)
    return rows, rows["_code"].to_numpy(), codes.to_numpy()


def _keys(frame: pl.DataFrame, columns: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """Whole numbers of every width as one type, fractions as another, so that keys from two tables meet."""
    keys = []
    for column, name in zip(columns, names, strict=True):
        values = frame[column]
        wide = pl.Int64() if values.dtype.is_integer() else pl.Float64() if values.dtype.is_float() else values.dtype
        keys.append(values.cast(wide).alias(name))
    return pl.DataFrame(keys)


def _times(plan: ViewPlan, rows: pl.DataFrame) -> Ints:
    if plan.source.time is None:
        return np.zeros(len(rows), dtype=np.int64)
    return rows[plan.source.time].cast(pl.Int64).to_numpy()


def _function_columns(feature_set: FeatureSet, columns: dict[str, pl.Series], rows: int) -> dict[str, pl.Series]:
    outputs = {feature for plan in feature_set.functions for feature in plan.features}
    needed = {name for plan in feature_set.functions for name in plan.inputs} - outputs
    answers = run_functions(feature_set.functions, {name: plain(columns[name]) for name in needed}, rows=rows)
    kinds = dict(zip(feature_set.names, feature_set.kinds, strict=True))
    return {
        name: pl.Series(name, values, dtype=pl.String if kinds.get(name) == "category" else pl.Float64, strict=False)
        for name, values in answers.items()
    }


def plain(values: pl.Series) -> Sequence[Any]:
    """Python values as serving sees them: times are microseconds."""
    return (values.cast(pl.Int64) if values.dtype == TIME else values).to_list()
