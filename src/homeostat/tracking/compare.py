"""Runs beside each other as data: which params differ, every metric, what changed in code, environment and data."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.tracking import store
from homeostat.tracking.inputs import inputs_of
from homeostat.tracking.lookup import no_run
from homeostat.tracking.search.pages import Columns, fill
from homeostat.tracking.types import DatasetInput, Metric, Run

Value = TypeVar("Value")

MOST = 1000
"""Runs that are compared at once."""
_PATCH_LINES = 2_000


class CodeDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a run's code differs from the first run's."""

    commit: str | None
    same_commit: bool
    same_patch: bool
    patch_diff: list[str]
    """Unified diff between the two uncommitted patches; empty when they are the same."""


class EnvironmentDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a run's environment differs from the first run's: name to (first run's, this run's); None: not there."""

    packages: dict[str, tuple[str | None, str | None]]
    rest: dict[str, tuple[Any, Any]]


class DataDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How the data that a run read differ from the first run's."""

    added: list[str]
    removed: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Rows are names, columns are the runs in the order asked for; None: the run has no such value."""

    runs: list[Run]
    params: dict[str, list[str | None]]
    params_that_differ: list[str]
    metrics: dict[str, list[Metric | None]]
    tags: dict[str, list[str | None]]
    code: list[CodeDiff]
    environment: list[EnvironmentDiff]
    data: list[DataDiff]


def compare_runs(conn: Connection, run_ids: Sequence[str]) -> Comparison:
    """Some runs beside each other; the first one is what the others' code, environment and data are held against.

    Raises:
        Invalid: for fewer than one or more than MOST runs.
        NotFound: naming the run that is not there.
    """
    if not 1 <= len(run_ids) <= MOST:
        raise Invalid(f"{len(run_ids)} runs to compare", field="runs", next_step=f"name 1 to {MOST}")
    numbers = _numbers(conn, run_ids)
    found = fill(conn, numbers, Columns())
    params = _rows([item.params for item in found])
    code, environment = _snapshots(conn, numbers)
    return Comparison(
        runs=[item.run for item in found],
        params=params,
        params_that_differ=[key for key, values in params.items() if len(set(values)) > 1],
        metrics=_rows([{metric.key: metric for metric in item.metrics} for item in found]),
        tags=_rows([item.tags for item in found]),
        code=[_code_diff(code[0], other) for other in code],
        environment=[_environment_diff(environment[0], other) for other in environment],
        data=_data_diffs(conn, numbers),
    )


def _numbers(conn: Connection, run_ids: Sequence[str]) -> list[int]:
    query = sa.select(store.runs.c.id, store.runs.c.no).where(store.runs.c.id.in_(run_ids))
    known = {row.id: row.no for row in conn.execute(query)}
    for run_id in run_ids:
        if run_id not in known:
            raise no_run(run_id)
    return [known[run_id] for run_id in run_ids]


def _rows(columns: Sequence[Mapping[str, Value]]) -> dict[str, list[Value | None]]:
    keys = sorted({key for column in columns for key in column})
    return {key: [column.get(key) for column in columns] for key in keys}


def _snapshots(conn: Connection, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    table = store.runs
    query = sa.select(table.c.no, table.c.code, table.c.environment).where(table.c.no.in_(numbers))
    rows = {row.no: row for row in conn.execute(query)}
    return [rows[no].code or {} for no in numbers], [rows[no].environment or {} for no in numbers]


def _code_diff(first: Mapping[str, Any], other: Mapping[str, Any]) -> CodeDiff:
    before, after = (str(code.get("patch") or "").splitlines()[:_PATCH_LINES] for code in (first, other))
    return CodeDiff(
        commit=other.get("commit"),
        same_commit=first.get("commit") == other.get("commit"),
        same_patch=before == after,
        patch_diff=list(difflib.unified_diff(before, after, "first", "other", lineterm="", n=1)),
    )


def _environment_diff(first: Mapping[str, Any], other: Mapping[str, Any]) -> EnvironmentDiff:
    rest = [{key: value for key, value in found.items() if key != "packages"} for found in (first, other)]
    return EnvironmentDiff(
        packages=_changed(first.get("packages") or {}, other.get("packages") or {}), rest=_changed(*rest)
    )


def _changed(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = sorted({*first, *other})
    return {key: (first.get(key), other.get(key)) for key in keys if first.get(key) != other.get(key)}


def _data_diffs(conn: Connection, numbers: Sequence[int]) -> list[DataDiff]:
    table = store.runs
    query = sa.select(table.c.no, table.c.inputs).where(table.c.no.in_(numbers))
    digests = {row.no: row.inputs for row in conn.execute(query)}
    described = inputs_of(conn, numbers)
    read = [{*digests[no], *map(_spoken, described.get(no, []))} for no in numbers]
    return [DataDiff(added=sorted(these - read[0]), removed=sorted(read[0] - these)) for these in read]


def _spoken(item: DatasetInput) -> str:
    return f"{item.name}@{item.digest}"
