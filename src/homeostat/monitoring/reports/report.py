"""`Report([DataDriftPreset()]).run(current, reference)`: one call, both result shapes, one file of HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from homeostat.ground.errors import Conflict, Invalid
from homeostat.monitoring.reports.conditions import Check
from homeostat.monitoring.reports.data import Compared, DataDefinition, as_frame
from homeostat.monitoring.reports.mapping import definition_of
from homeostat.monitoring.reports.section import Metric, MetricResult, Section, plain

Values = dict[str, Any]

MODES = ("calibrated", "evidently")
STATUSES = ("ok", "insufficient", "alarm")
"""From best to worst; the exit codes of `homeostat report` are 0, 3 and 1."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a report found."""

    name: str
    mode: str
    created: datetime
    timestamp: datetime | None
    current_rows: int
    reference_rows: int | None
    sections: tuple[Section, ...]
    metadata: Values = {}
    tags: tuple[str, ...] = ()
    include_tests: bool = False

    @property
    def status(self) -> str:
        """'ok', 'insufficient' (too little data to say) or 'alarm'."""
        found = {section.status for section in self.sections}
        if any(check.status in {"FAIL", "ERROR"} for check in self.checks):
            found.add("alarm")
        return next((status for status in reversed(STATUSES) if status in found), "ok")

    @property
    def dataset_drift(self) -> bool | None:
        """Whether the data have drifted as a whole; None when nothing in the report looks at it."""
        for entry in self.as_dict()["metrics"]:
            if "dataset_drift" in entry["result"]:
                return bool(entry["result"]["dataset_drift"])
        return None

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for section in self.sections for check in section.checks)

    @property
    def tests_results(self) -> list[Values]:
        """The verdicts of conditions, as in `dict()["tests"]`."""
        return [_check_dict(check) for check in self.checks]

    @property
    def metric_results(self) -> list[MetricResult]:
        return [result for section in self.sections for result in section.results]

    def dict(self) -> Values:
        """The current shape: {"metrics": [{"id", "metric_name", "config", "value"}, ...], "tests": [...]}."""
        return {"metrics": [_metric_dict(result) for result in self.metric_results], "tests": self.tests_results}

    def as_dict(self) -> Values:
        """The older shape: {"metrics": [{"metric": "DatasetDriftMetric", "result": {...}}, ...]}."""
        return {"metrics": [plain(entry) for section in self.sections for entry in section.legacy]}

    def json(self) -> str:
        """`dict()` as JSON."""
        return msgspec.json.encode(self.dict()).decode()

    def save_json(self, filename: str | Path) -> None:
        """Write `dict()` to a file."""
        Path(filename).write_text(self.json(), encoding="utf-8")

    def html(self) -> str:
        """One page that needs nothing beside itself: no script or style from elsewhere."""
        from homeostat.monitoring.reports.html import page

        return page(self)

    def save_html(self, filename: str | Path) -> None:
        """Write the page to a file."""
        Path(filename).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        from homeostat.monitoring.reports.html import framed

        return framed(self)

    def show(self) -> Any:
        """The page in a notebook; elsewhere, the snapshot itself."""
        return self

    def as_dataframe(self) -> Any:
        """The metrics, one row each (metric, parameters, label, value): pandas where it is installed, else Polars."""
        rows = [row for result in self.metric_results for row in _rows(result)]
        try:
            import pandas as pd
        except ImportError:
            import polars as pl

            return pl.DataFrame(rows)
        return pd.DataFrame(rows)

    def dumps(self) -> str:
        """Everything that the snapshot holds, for `loads`."""
        return msgspec.json.encode(self, enc_hook=plain).decode()

    @staticmethod
    def loads(text: str) -> Snapshot:
        """What `dumps` wrote.

        Raises:
            Invalid: when it is something else.
        """
        try:
            return msgspec.json.decode(text, type=Snapshot)
        except msgspec.DecodeError as error:
            raise Invalid(
                f"this is no saved snapshot: {error}", field="snapshot", next_step="give what dumps() returned"
            ) from error

    def save(self, filename: str | Path) -> None:
        """Write `dumps()` to a file."""
        Path(filename).write_text(self.dumps(), encoding="utf-8")

    @staticmethod
    def load(filename: str | Path) -> Snapshot:
        """Read what `save` wrote."""
        return Snapshot.loads(Path(filename).read_text(encoding="utf-8"))


Run = Snapshot


class Report:
    """Metrics and presets to compute together.

    `mode` is how drift is decided: 'calibrated' holds the chance that any column is called drifted without drift at
    5 %, whatever the sizes; 'evidently' gives the numbers of that tool's defaults.

    >>> import polars as pl
    >>> from homeostat import DataDriftPreset
    >>> week = pl.DataFrame({"x": [float(number % 97) for number in range(1000)]})
    >>> report = Report(metrics=[DataDriftPreset()])
    >>> report.run(reference_data=week, current_data=week.with_columns(pl.col("x") + 20)).dataset_drift
    True
    """

    def __init__(
        self,
        metrics: Sequence[Metric | Sequence[Metric]],
        *,
        include_tests: bool = False,
        mode: str = "calibrated",
        name: str = "Report",
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        timestamp: datetime | None = None,
        **ignored: Any,
    ) -> None:
        if mode not in MODES:
            raise Invalid(f"mode is {mode!r}", field="mode", next_step=f"give one of {', '.join(MODES)}")
        _refuse_unknown("Report", ignored, {"model_id", "reference_id", "batch_size", "dataset_id", "options", "id"})
        self.metrics = tuple(_flat(metrics))
        self.include_tests = include_tests
        self.mode = mode
        self.name = name
        self.metadata = dict(metadata or {})
        self.tags = tuple(tags)
        self.timestamp = timestamp
        self._last: Snapshot | None = None

    def run(
        self,
        current_data: Any = None,
        reference_data: Any = None,
        *,
        column_mapping: Any = None,
        data_definition: DataDefinition | None = None,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        name: str | None = None,
        **ignored: Any,
    ) -> Snapshot:
        """Compute it: positionally (current, reference), or by name in any order; also kept for `as_dict()` here.

        Frames are pandas, Polars or Arrow, `Dataset`s, dicts of columns, or paths of Parquet and CSV files.

        Raises:
            Invalid: when a frame is missing or unreadable, or a metric asks for a column that is not there.
        """
        _refuse_unknown("run", ignored, {"additional_data", "engine"})
        if current_data is None:
            raise Invalid(
                "there is no current data", field="current_data", next_step="run(reference_data=..., current_data=...)"
            )
        definition = definition_of(column_mapping) if column_mapping is not None else data_definition
        current = as_frame(current_data, name="current_data", definition=definition)
        reference = None
        if reference_data is not None:
            reference = as_frame(reference_data, name="reference_data", definition=definition)
        data = Compared(current, reference, mode=self.mode, include_tests=self.include_tests)
        self._last = Snapshot(
            name=name or self.name,
            mode=self.mode,
            created=datetime.now(UTC),
            timestamp=timestamp or self.timestamp,
            current_rows=len(current),
            reference_rows=None if reference is None else len(reference),
            sections=tuple(metric.compute(data) for metric in self.metrics),
            metadata=self.metadata | dict(metadata or {}),
            tags=(*self.tags, *tags),
            include_tests=self.include_tests,
        )
        return self._last

    @property
    def last(self) -> Snapshot:
        """The latest run.

        Raises:
            Conflict: before there was one.
        """
        if self._last is None:
            raise Conflict("the report has not been run", next_step="call run(current_data, reference_data) first")
        return self._last

    def as_dict(self, include_render: bool = False, **_: Any) -> Values:  # noqa: ARG002, FBT001, FBT002
        """The last run in the older shape."""
        return self.last.as_dict()

    def dict(self) -> Values:
        """The last run in the current shape."""
        return self.last.dict()

    def json(self, **_: Any) -> str:
        """The last run in the older shape as JSON, with 'version' and 'timestamp', as callers of a report expect it."""
        from homeostat import __version__

        last = self.last
        head = {"version": __version__, "timestamp": str(last.timestamp or last.created)}
        return msgspec.json.encode(head | last.as_dict()).decode()

    def save_json(self, filename: str | Path, **_: Any) -> None:
        """Write `json()` to a file."""
        Path(filename).write_text(self.json(), encoding="utf-8")

    def save_html(self, filename: str | Path, **_: Any) -> None:
        """Write the last run's page to a file."""
        self.last.save_html(filename)

    def as_dataframe(self) -> Any:
        """The last run's metrics, one row each."""
        return self.last.as_dataframe()

    def show(self, **_: Any) -> Snapshot:
        """The last run; notebooks draw it."""
        return self.last

    def _repr_html_(self) -> str:
        return self.last._repr_html_()


def _flat(metrics: Sequence[Metric | Sequence[Metric]]) -> list[Metric]:
    flat: list[Metric] = []
    for metric in metrics if isinstance(metrics, Sequence) else [metrics]:
        if isinstance(metric, (list, tuple)):
            flat.extend(metric)
        elif hasattr(metric, "compute") and not isinstance(metric, type):
            flat.append(metric)
        else:
            raise Invalid(
                f"{metric!r:.80} is no metric",
                field="metrics",
                next_step="give instances, such as Report([DataDriftPreset()])",
            )
    if not flat:
        raise Invalid("a report of no metrics", field="metrics", next_step="give one, such as DataDriftPreset()")
    return flat


def _refuse_unknown(what: str, given: Mapping[str, Any], known: set[str]) -> None:
    """Options of the peers that mean nothing here are let pass; a misspelt one is not."""
    if unknown := [name for name in given if name not in known]:
        raise Invalid(f"{what} has no option {unknown[0]!r}", field=unknown[0], next_step="see docs/reports.md")


def _metric_dict(result: MetricResult) -> dict[str, Any]:
    config = {"type": f"evidently:metric_v2:{result.kind}", **plain(result.params)}
    found = {
        "id": _id(result.name),
        "metric_name": result.name,
        "config": config,
        "value": plain(result.value),
    }
    return found | ({"homeostat": plain(result.extra)} if result.extra else {})


def _id(name: str) -> str:
    return blake3(name.encode()).hexdigest(length=16)


def _check_dict(check: Check) -> dict[str, Any]:
    return {
        "id": check.op,
        "name": check.name,
        "description": check.description,
        "metric_config": {
            "metric_id": blake3(check.metric.encode()).hexdigest(length=16),
            "params": plain(check.params),
        },
        "test_config": {"threshold": plain(check.bound)},
        "status": check.status,
        "value": plain(check.value),
    }


def _rows(result: MetricResult) -> list[dict[str, Any]]:
    head = {"metric": result.kind, "params": ", ".join(f"{key}={value}" for key, value in result.params.items())}
    values = result.value if isinstance(result.value, Mapping) else {"": result.value}
    return [head | {"label": str(label), "value": _number(value)} for label, value in values.items()]


def _number(value: Any) -> float | None:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None
