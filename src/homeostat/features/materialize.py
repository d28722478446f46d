"""Filling the feed from source files: what a read at this moment, or up to two days before it, can need."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from sqlalchemy.engine import Connection

from homeostat.features.compiled import FeatureSet, SourceSpec, ViewPlan, merge_specs
from homeostat.features.offline import plain
from homeostat.features.sources import TIME, last_of_each, scan
from homeostat.features.state import LOOK_BACK
from homeostat.features.store import push_rows
from homeostat.features.types import Source

_CHUNK = 20_000


def materialize(conn: Connection, feature_sets: FeatureSet | Sequence[FeatureSet], root: Path, now: int) -> int:
    """Put the source rows known at `now` and still within reach into the feed; says how many were new.

    Doing it again adds nothing. What a row will only know later (times after `now`, and the columns declared
    `later` under them) is left out; the row comes again, complete, once it is known.

    Raises:
        Invalid: when a source cannot be read.
    """
    sets = [feature_sets] if isinstance(feature_sets, FeatureSet) else list(feature_sets)
    specs = merge_specs(spec for feature_set in sets for spec in feature_set.source_specs())
    views = [view for feature_set in sets for view in feature_set.views]
    return sum(
        _fill(conn, spec, [view for view in views if view.source.name == spec.name], root, now) for spec in specs
    )


def _fill(conn: Connection, spec: SourceSpec, views: Sequence[ViewPlan], root: Path, now: int) -> int:
    wanted = [column.name for column in spec.columns]
    frame = last_of_each(scan(views[0].source, root, times=spec.times).select(wanted), views[0].source).collect()
    frame = frame.drop_nulls([*spec.key, *spec.times[:1]])
    needed = frame.filter(pl.any_horizontal(_within_reach(view, now) for view in views))
    rows = _as_known(needed, spec, [view.source for view in views], now)
    accepted = 0
    for start in range(0, len(rows), _CHUNK):
        chunk = rows.slice(start, _CHUNK)
        columns = {name: plain(chunk[name]) for name in chunk.columns}
        # A value that is not there is not sent, so it never blots out one that was pushed.
        records = [
            {name: value for name, value in zip(columns, values, strict=True) if value is not None}
            for values in zip(*columns.values(), strict=True)
        ]
        accepted += push_rows(conn, spec, records).accepted
    return accepted


def _within_reach(view: ViewPlan, now: int) -> pl.Expr:
    """Which rows a read at `now` or up to `LOOK_BACK` before it can touch."""
    time = view.source.time
    counts = pl.all_horizontal(
        pl.lit(value=True), *(pl.col(name).is_in(list(wanted)) for name, wanted in view.source.filters)
    )
    if time is None:
        return counts
    horizon = now - LOOK_BACK
    counts &= (pl.col(time) <= pl.lit(now).cast(TIME)).fill_null(value=False)
    recent = pl.col(time) >= pl.lit(horizon).cast(TIME)
    if view.reach is not None:
        counts &= pl.col(time) >= pl.lit(horizon - view.reach).cast(TIME)
    if view.windows:
        return counts
    # Of the rows before the horizon only the newest of each key can still be the answer.
    before = pl.when(counts & ~recent).then(pl.col(time))
    return counts & (recent | (before == before.max().over(view.key)).fill_null(value=False))


def _as_known(rows: pl.DataFrame, spec: SourceSpec, variants: Sequence[Source], now: int) -> pl.DataFrame:
    """The rows without what they will only know after `now`."""
    late = {time: columns for source in variants for time, columns in source.late_columns.items()}
    hidden: dict[str, pl.Expr] = {}
    for time in dict.fromkeys([*spec.times[1:], *late]):
        known = pl.col(time) <= pl.lit(now).cast(TIME)
        for name in (time, *late.get(time, ())):
            hidden[name] = pl.when(known).then(pl.col(name)).alias(name)
    return rows.with_columns(*hidden.values())
