"""What a metric or preset gives: values in both result shapes, checks, and blocks to look at."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from homeostat.monitoring.reports.blocks import Block
from homeostat.monitoring.reports.conditions import Check
from homeostat.monitoring.reports.data import Compared


class MetricResult(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of the current result shape (`Snapshot.dict()["metrics"]`)."""

    kind: str
    """The metric's class, such as 'ValueDrift'."""
    params: dict[str, Any]
    """What it was asked with, such as {'column': 'x', 'method': 'K-S p_value', 'threshold': 0.05}."""
    value: Any
    """A float, {'count': .., 'share': ..}, or values by label; plain Python types."""
    extra: dict[str, Any] = {}
    """What we say beyond the peers' shape, under keys of its own."""

    @property
    def name(self) -> str:
        """As people write it: ValueDrift(column=x,method=K-S p_value,threshold=0.05)."""
        return f"{self.kind}({','.join(f'{key}={value}' for key, value in self.params.items() if value is not None)})"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one entry of `Report([...])`."""

    title: str
    results: tuple[MetricResult, ...] = ()
    legacy: tuple[dict[str, Any], ...] = ()
    """Entries of the older shape (`as_dict()["metrics"]`): {'metric': 'DatasetDriftMetric', 'result': {...}}."""
    blocks: tuple[Block, ...] = ()
    checks: tuple[Check, ...] = ()
    """Verdicts of conditions, the user's own (`tests=[lt(5)]`) and with `include_tests` the default ones."""
    status: str = "ok"
    """'ok', 'alarm' or 'insufficient' (too little data is never 'ok')."""
    notes: tuple[str, ...] = ()
    """What had to be left out or read otherwise, for the reader: never silently."""


class Metric(Protocol):
    """What stands in `Report([...])`."""

    def compute(self, data: Compared) -> Section:
        """Look at the data; bad data is stated in the section, bad options raise `Invalid`."""
        ...


def plain(value: Any) -> Any:
    """The value with Python's own types, as JSON and `json.dumps` take them; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else _key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value


def _key(key: Any) -> Any:
    return key.item() if hasattr(key, "item") else key
